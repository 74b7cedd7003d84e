"""Inside a worker process: `python -m anti_i2v_server.protection.worker_process`. It owns the ONNX Runtime sessions, and protects.

Three threads: this one protects; one reads messages, so that a cancel arrives between two steps; one says twice a
second that the process lives, and ends it when it holds too much memory. When the server is gone, so is the worker.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from functools import cache

import numpy as np

from anti_i2v.descent import Step
from anti_i2v.errors import AntiI2VError
from anti_i2v.photo import open_photo
from anti_i2v.protector import Protector
from anti_i2v_server.protection.ipc import (
    Cancel,
    Channel,
    Done,
    Heartbeat,
    Progress,
    Ready,
    SdkError,
    Setup,
    Task,
    WorkerFault,
)
from anti_i2v_server.protection.memory_limit import EXIT_OVER_MEMORY, limit_memory, resident_bytes

__all__ = ["WorkerProcess", "main"]

ENGINE = "onnx"
PRELOADED_RECIPE = "draft"
"""The recipe that is loaded before the worker says that it is ready: it is everybody's beginning."""

WARM_UP_PHOTO = np.zeros((64, 64, 3), np.uint8)
"""A photo of nothing, which shows what the models run on."""

HEARTBEAT_INTERVAL = 0.5
MEMORY_CHECK_INTERVAL = 0.1
"""Seconds between two heartbeats, and two looks at the memory."""


class WorkerProcess:
    """Protects what it is told to, one photo at a time."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        self._channel, self._setup = channel, setup
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._cancels: dict[str, threading.Event] = {}
        self._protector = cache(self._load_protector)

    def run(self) -> None:
        """Until the process ends."""
        for job in (self._receive_messages, self._send_heartbeats):
            threading.Thread(target=job, daemon=True).start()
        protector = self._protector(PRELOADED_RECIPE)
        made = protector.protect(WARM_UP_PHOTO, effects=False).receipt
        if made.device.startswith("cpu"):
            limit_memory(self._setup.memory_limit)
        self._channel.send(Ready(made.device, made.notes))
        if self._tasks.empty():  # what the first photo would wait for: the receipt's imports and graphs
            protector.protect(WARM_UP_PHOTO)
        while True:
            self._run_task(self._tasks.get())

    def _load_protector(self, recipe: str) -> Protector:
        return Protector(recipe, surrogates=self._setup.surrogates, engine=ENGINE, device=self._setup.device)

    def _receive_messages(self) -> None:
        while (message := self._channel.receive()) is not None:
            if isinstance(message, Task):
                self._cancels[message.id] = threading.Event()
                self._tasks.put(message)
            elif isinstance(message, Cancel) and (cancel := self._cancels.get(message.id)) is not None:
                cancel.set()
        os._exit(0)  # the server is gone: nobody waits for what is being done

    def _send_heartbeats(self) -> None:
        last = 0.0
        while True:
            held = resident_bytes()
            if held > self._setup.memory_limit:
                os._exit(EXIT_OVER_MEMORY)
            if (now := time.monotonic()) - last >= HEARTBEAT_INTERVAL:
                last = now
                self._channel.send(Heartbeat(held))
            time.sleep(MEMORY_CHECK_INTERVAL)

    def _run_task(self, task: Task) -> None:
        cancel = self._cancels[task.id]
        try:
            self._channel.send(self._protect(task, cancel))
        except AntiI2VError as problem:
            self._channel.send(SdkError(task.id, type(problem).__name__, str(problem)))
        except MemoryError:
            os._exit(EXIT_OVER_MEMORY)
        except Exception as fault:
            self._channel.send(WorkerFault(task.id, type(fault).__name__, _raised_at(fault)))
        finally:
            del self._cancels[task.id]

    def _protect(self, task: Task, cancel: threading.Event) -> Done:
        def tell(step: Step) -> None:
            self._channel.send(Progress(task.id, step.index, step.steps, float(np.mean(step.loss))))

        photo = open_photo(task.photo, max_pixels=self._setup.max_pixels)
        protection = self._protector(task.recipe).protect(
            photo, preset=task.preset, deadline=task.deadline, seed=task.seed, on_step=tell, cancel=cancel
        )
        file, receipt = protection.finished(task.format, keep_metadata=task.keep_metadata)
        return Done(task.id, file, task.format or photo.format, receipt.to_json())


def _raised_at(fault: Exception) -> str:
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    return f"{os.path.basename(frame.filename)}:{frame.lineno}"


def main() -> None:
    """The entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then closes the pipe
    channel = Channel.from_stdio()
    setup = channel.receive()
    if not isinstance(setup, Setup):
        sys.exit("this is a worker of `anti-i2v serve`: it is started by that command alone")
    WorkerProcess(channel, setup).run()


if __name__ == "__main__":
    main()
