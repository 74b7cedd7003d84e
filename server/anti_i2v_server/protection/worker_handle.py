"""The server's handle of one worker process: starts it, sends one task at a time, detects its loss."""

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
    ToWorker,
    WorkerFault,
    encode_frame,
    read_frame,
)
from anti_i2v_server.protection.memory_limit import EXIT_OVER_MEMORY
from anti_i2v_server.settings import Settings

__all__ = ["WorkerHandle"]

WORKER_COMMAND = ("-m", "anti_i2v_server.protection.worker_process")
"""Arguments of the Python interpreter."""

TOKEN_VARIABLE = "ANTI_I2V_TOKEN"  # noqa: S105  # a name
"""Environment variable withheld from workers, which have no use for the token."""

WATCH_INTERVAL = 0.25
"""Seconds between two checks of the last message's age."""


class WorkerHandle:
    """One device's worker process. Call `start` again after a loss.

    Attributes:
        device: as in Settings.
        ready: the worker's Ready message; None until it is ready.
        resident_bytes: its memory, from the last heartbeat.
        exited: set while there is no process.
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

    @property
    def pid(self) -> int | None:
        """The process id; None before the first start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> Ready:
        """Start the process and wait until its models are loaded. Raises WorkerLost."""
        await self.stop()
        loop, settings = asyncio.get_running_loop(), self._settings
        self._process = await _spawn_process()
        self.exited.clear()
        self._lost_because, self._last_message_at = None, time.monotonic()
        self._started = loop.create_future()
        self._background_tasks = [
            loop.create_task(self._read_messages(self._process)),
            loop.create_task(self._watch_messages()),
        ]
        setup = Setup(self.device, settings.surrogates, settings.worker_memory, settings.pixel_limit)
        try:
            async with asyncio.timeout(settings.start_timeout):
                await self._send(setup)
                self.ready = await self._started
        except TimeoutError:
            await self.stop()
            raise WorkerLost(f"it did not start within {settings.start_timeout:g} s") from None
        return self.ready

    async def run(self, task: Task, on_progress: Callable[[Progress], None], timeout: float) -> Done:
        """Run a task.

        Args:
            on_progress: called after each step.
            timeout: seconds after which the worker counts as hung.

        Raises:
            AntiI2VError: the SDK's own error.
            WorkerLost: the worker ended, and must be started again.
            JobFailed: an internal error in a worker that goes on.
        """
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._current = (task, future, on_progress)
        try:
            if self.exited.is_set():
                raise WorkerLost(self._lost_because or "it ended")
            async with asyncio.timeout(timeout):
                await self._send(task)
                return await future
        except TimeoutError:
            self.kill(f"it took longer than {timeout:g} s")
            await self.exited.wait()
            raise WorkerLost(f"it took longer than {timeout:g} s") from None
        finally:
            self._current = None
            if future.done() and not future.cancelled():
                future.exception()  # marks it as retrieved, or asyncio would warn

    async def cancel(self, task_id: str) -> None:
        """Stop a task before its next step. A worker that does not stop in time is killed."""
        if self._current is None or self._current[0].id != task_id:
            return
        future = self._current[1]
        await self._send(Cancel(task_id))
        await asyncio.wait({future}, timeout=self._settings.cancel_grace)
        if not future.done():
            self.kill("it did not stop a cancelled job in time")

    def kill(self, reason: str) -> None:
        """End the process now."""
        self._lost_because = self._lost_because or reason
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the process and wait for its exit."""
        self.kill("the server stops")
        if self._background_tasks:
            reader, watcher = self._background_tasks
            await reader  # it ends with the process
            watcher.cancel()
        self._background_tasks = []

    async def _send(self, message: ToWorker) -> None:
        pipe = self._process.stdin if self._process is not None else None
        if pipe is None:
            return
        with suppress(ConnectionError):  # the reader notices that the process ended
            pipe.write(encode_frame(message))
            await pipe.drain()

    async def _watch_messages(self) -> None:
        timeout = self._settings.heartbeat_timeout
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            loading = self._started is not None and not self._started.done()  # start_timeout applies
            if not loading and time.monotonic() - self._last_message_at > timeout:
                self.kill(f"it sent no heartbeat for {timeout:g} s")

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
            self.kill("it sent an invalid message")
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
                JobFailed(f"an internal error occurred in the worker ({message.error} at {message.where}): report it")
            )

    def _mark_lost(self, reason: str) -> None:
        self._lost_because, self.ready, self.resident_bytes = reason, None, 0
        self.exited.set()
        waiting: list[asyncio.Future[Ready] | asyncio.Future[Done] | None] = [
            self._started,
            self._current[1] if self._current is not None else None,
        ]
        for future in waiting:
            if future is not None and not future.done():
                future.set_exception(WorkerLost(reason))


async def _spawn_process() -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # do not import from the current folder
            *WORKER_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE},
            start_new_session=True,  # the terminal's Ctrl-C does not reach it
        )
    except OSError as error:
        raise WorkerLost(f"the system could not start a process ({error.strerror})") from None


def _sdk_error(message: SdkError) -> AntiI2VError:
    kind = getattr(sdk_errors, message.error, None)
    if isinstance(kind, type) and issubclass(kind, AntiI2VError):
        return kind(message.message)
    return AntiI2VError(message.message)


def _exit_reason(status: int) -> str:
    if status == EXIT_OVER_MEMORY:
        return "it exceeded its memory limit"
    return f"it was ended by signal {-status}" if status < 0 else f"it ended with status {status}"
