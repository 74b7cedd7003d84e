"""The server's side of one worker process: starts it, gives it one task at a time, notices when it is lost."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from anti_i2v import errors as sdk_errors
from anti_i2v.errors import AntiI2VError
from anti_i2v_server.errors import JobFailed, WorkerLost
from anti_i2v_server.protection.ipc import (
    Cancel,
    Done,
    FromWorker,
    Heartbeat,
    Progress,
    Ready,
    SdkError,
    Setup,
    Task,
    WorkerFault,
    encode_frame,
    read_frame,
)
from anti_i2v_server.protection.memory_limit import EXIT_OVER_MEMORY
from anti_i2v_server.settings import Settings

__all__ = ["WorkerHandle"]

WORKER_COMMAND = ("-m", "anti_i2v_server.protection.worker_process")
"""What a worker runs."""

TOKEN_VARIABLE = "ANTI_I2V_TOKEN"  # noqa: S105  # a name
"""Of the environment: a worker has no use for the token."""

WATCH_INTERVAL = 0.25
"""Seconds between two looks at whether the worker is still heard of."""


class WorkerHandle:
    """One device's process. `start` again after it was lost.

    Attributes:
        device: as it was asked for.
        ready: what it said when it was ready; None while it is not.
        resident: its memory in bytes, as last heard.
        gone: set while there is no process.
    """

    def __init__(self, device: str, settings: Settings) -> None:
        self.device, self._settings = device, settings
        self.ready: Ready | None = None
        self.resident_bytes = 0
        self.exited = asyncio.Event()
        self.exited.set()
        self._process: asyncio.subprocess.Process | None = None
        self._last_message_at = 0.0
        self._lost_because: str | None = None
        self._background_tasks: list[asyncio.Task[None]] = []
        self._started: asyncio.Future[Ready] | None = None
        self._current: tuple[Task, asyncio.Future[Done], Callable[[Progress], None]] | None = None

    async def start(self) -> Ready:
        """Start the process and wait until its models are loaded. Raises WorkerLost."""
        await self.stop()
        loop = asyncio.get_running_loop()
        self._process = await _spawn_process()
        self.exited.clear()
        self._lost_because, self._last_message_at, self._started = None, time.monotonic(), loop.create_future()
        self._background_tasks = [
            loop.create_task(self._read_messages(self._process)),
            loop.create_task(self._watch_heartbeat()),
        ]
        settings = self._settings
        setup = Setup(self.device, settings.surrogates, settings.worker_memory, settings.pixel_limit)
        try:
            async with asyncio.timeout(settings.start_timeout):
                await self._send(setup)
                self.ready = await self._started
        except TimeoutError:
            await self.stop()
            raise WorkerLost(f"it did not start within {settings.start_timeout:g} s") from None
        return self.ready

    async def run(self, task: Task, on_progress: Callable[[Progress], None], limit: float) -> Done:
        """Have one photo protected.

        Args:
            task: what.
            on_progress: called after each step.
            limit: seconds after which the worker is taken to hang.

        Raises:
            AntiI2VError: the SDK's own error.
            WorkerLost: the worker is gone, and must be started again.
            JobFailed: a fault of ours, in a worker that goes on.
        """
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._current = (task, future, on_progress)
        try:
            if self.exited.is_set():
                raise WorkerLost(self._lost_because or "it ended")
            async with asyncio.timeout(limit):
                await self._send(task)
                return await future
        except TimeoutError:
            self.kill(f"it took longer than {limit:g} s")
            await self.exited.wait()
            raise WorkerLost(f"it took longer than {limit:g} s") from None
        finally:
            self._current = None
            if future.done() and not future.cancelled():
                future.exception()  # retrieved, in case nobody waited for it any more

    async def cancel(self, task_id: str) -> None:
        """Have a task end before its next step; a worker that does not come to it in time is replaced."""
        if self._current is None or self._current[0].id != task_id:
            return
        future = self._current[1]
        await self._send(Cancel(task_id))
        await asyncio.wait({future}, timeout=self._settings.cancel_grace)
        if not future.done():
            self.kill("it did not stop a cancelled job in time")

    def kill(self, why: str) -> None:
        """End the process now."""
        self._lost_because = self._lost_because or why
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the process and wait until it is gone."""
        self.kill("the server stops")
        if self._background_tasks:
            reader, watch = self._background_tasks
            await reader  # it ends with the process
            watch.cancel()
        self._background_tasks = []

    async def _send(self, message: Setup | Task | Cancel) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None:
            return
        with suppress(ConnectionError):  # a process that is gone is told by the end of its output
            pipe.write(encode_frame(message))
            await pipe.drain()

    async def _watch_heartbeat(self) -> None:
        limit = self._settings.heartbeat_timeout
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            loading = self._started is not None and not self._started.done()  # that has a limit of its own
            if not loading and time.monotonic() - self._last_message_at > limit:
                self.kill(f"it was not heard of for {limit:g} s")

    async def _read_messages(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        try:
            while True:
                message = await read_frame(process.stdout)
                self._last_message_at = time.monotonic()
                self._handle(message)
        except asyncio.IncompleteReadError:
            pass
        except (msgspec.MsgspecError, ValueError):
            self.kill("it spoke nonsense")
        status = await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._mark_lost(_exit_reason(status) if self._lost_because is None else self._lost_because)

    def _handle(self, message: FromWorker) -> None:
        if isinstance(message, Heartbeat):
            self.resident_bytes = message.resident_bytes
        elif isinstance(message, Ready):
            if self._started is not None and not self._started.done():
                self._started.set_result(message)
        elif self._current is not None and self._current[0].id == message.id:
            self._handle_task_message(message, *self._current[1:])

    def _handle_task_message(
        self,
        message: Progress | Done | SdkError | WorkerFault,
        future: asyncio.Future[Done],
        on_progress: Callable[[Progress], None],
    ) -> None:
        if future.done():
            return
        if isinstance(message, Progress):
            on_progress(message)
        elif isinstance(message, Done):
            future.set_result(message)
        elif isinstance(message, SdkError):
            future.set_exception(_sdk_error(message))
        else:
            future.set_exception(
                JobFailed(f"the worker ran into a fault of its own ({message.error} at {message.where}): report it")
            )

    def _mark_lost(self, why: str) -> None:
        self._lost_because, self.ready, self.resident_bytes = why, None, 0
        self.exited.set()
        waiting: list[asyncio.Future[Ready] | asyncio.Future[Done] | None] = [
            self._started,
            self._current[1] if self._current is not None else None,
        ]
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(WorkerLost(why))


async def _spawn_process() -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what lies in the current folder is not imported
            *WORKER_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
            start_new_session=True,  # the terminal's Ctrl-C is not for it
        )
    except OSError as problem:
        raise WorkerLost(f"the system refuses a process ({problem.strerror})") from None


def _sdk_error(message: SdkError) -> AntiI2VError:
    kind = getattr(sdk_errors, message.error, None)
    if isinstance(kind, type) and issubclass(kind, AntiI2VError):
        return kind(message.message)
    return AntiI2VError(message.message)


def _exit_reason(status: int) -> str:
    if status == EXIT_OVER_MEMORY:
        return "it passed its memory limit"
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"
