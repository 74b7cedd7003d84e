"""The worker process, `python -m anti_i2v_server.protection.worker_process`: owns the ONNX Runtime sessions.

Three threads: the main thread protects photos; one reads messages, so that a cancel arrives between two steps; one
sends heartbeats and ends the process when it holds too much memory. The process also ends when the server does.
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

from anti_i2v.errors import AntiI2VError
from anti_i2v.images.decode import open_photo
from anti_i2v.optim.pgd import Step
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
"""Loaded before the worker is ready, because every recipe begins with it."""

WARM_UP_PHOTO = np.zeros((64, 64, 3), np.uint8)

HEARTBEAT_INTERVAL = 0.5
MEMORY_CHECK_INTERVAL = 0.1
"""Seconds."""


class WorkerProcess:
    """Protects one photo at a time."""

    def __init__(self, channel: Channel, setup: Setup) -> None:
        self._channel, self._setup = channel, setup
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._cancels: dict[str, threading.Event] = {}
        self._protector = cache(self._load_protector)

    def run(self) -> None:
        """Load the models and protect photos until the process ends."""
        for target in (self._receive_messages, self._send_heartbeats):
            threading.Thread(target=target, daemon=True).start()
        protector = self._protector(PRELOADED_RECIPE)
        receipt = protector.protect(WARM_UP_PHOTO, effects=False).receipt
        if receipt.device.startswith("cpu"):
            limit_memory(self._setup.memory_limit)
        self._channel.send(Ready(receipt.device, receipt.notes))
        if self._tasks.empty():  # load the receipt's imports and graphs while idle
            protector.protect(WARM_UP_PHOTO)
        while True:
            self._run_task(self._tasks.get())

    def protect(self, task: Task, cancel: threading.Event) -> Done:
        """Protect the photo of a task and send its progress.

        Raises:
            AntiI2VError: the SDK's error, Cancelled among them.
        """

        def send_progress(step: Step) -> None:
            self._channel.send(Progress(task.id, step.index, step.steps, float(np.mean(step.loss))))

        photo = open_photo(task.photo, max_pixels=self._setup.max_pixels)
        protection = self._protector(task.recipe).protect(
            photo, preset=task.preset, deadline=task.deadline, seed=task.seed, on_step=send_progress, cancel=cancel
        )
        file, receipt = protection.encode_with_receipt(task.format, keep_metadata=task.keep_metadata)
        return Done(task.id, file, task.format or photo.format, receipt.to_json())

    def _load_protector(self, recipe: str) -> Protector:
        return Protector(recipe, surrogates=self._setup.surrogates, engine=ENGINE, device=self._setup.device)

    def _receive_messages(self) -> None:
        while (message := self._channel.receive()) is not None:
            if isinstance(message, Task):
                self._cancels[message.id] = threading.Event()
                self._tasks.put(message)
            elif isinstance(message, Cancel) and (cancel := self._cancels.get(message.id)) is not None:
                cancel.set()
        os._exit(0)  # the server ended: nobody waits for a result

    def _send_heartbeats(self) -> None:
        last = 0.0
        while True:
            resident = resident_bytes()
            if resident > self._setup.memory_limit:
                os._exit(EXIT_OVER_MEMORY)
            if (now := time.monotonic()) - last >= HEARTBEAT_INTERVAL:
                last = now
                self._channel.send(Heartbeat(resident))
            time.sleep(MEMORY_CHECK_INTERVAL)

    def _run_task(self, task: Task) -> None:
        try:
            self._channel.send(self.protect(task, self._cancels[task.id]))
        except AntiI2VError as error:
            self._channel.send(SdkError(task.id, type(error).__name__, str(error)))
        except MemoryError:
            os._exit(EXIT_OVER_MEMORY)
        except Exception as error:
            self._channel.send(WorkerFault(task.id, type(error).__name__, _raised_at(error)))
        finally:
            del self._cancels[task.id]


def _raised_at(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{os.path.basename(frame.filename)}:{frame.lineno}"


def main() -> None:
    """Run the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server handles Ctrl-C and then closes the pipe
    channel = Channel.from_stdio()
    setup = channel.receive()
    if not isinstance(setup, Setup):
        sys.exit("this is a worker of `anti-i2v serve`, which starts it: do not run it by hand")
    WorkerProcess(channel, setup).run()


if __name__ == "__main__":
    main()
