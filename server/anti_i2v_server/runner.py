"""Runs a server until a signal: binds, tells where it is and how to pair, stops gracefully."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import msgspec
import uvicorn

from anti_i2v_server.app import Server, make_server
from anti_i2v_server.errors import NotReady
from anti_i2v_server.pairing.service import CODE_SECONDS, MAX_TRIES
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.security import LOOPBACK
from anti_i2v_server.settings import Settings

__all__ = ["serve"]

BACKLOG = 128


def serve(settings: Settings, token: str | None, tell: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM.

    Args:
        settings: port 0 takes a free one.
        token: of the command line.
        tell: prints a line for the person at the terminal.

    Raises:
        NotReady: the address cannot be listened on.
        TokenFileUnsafe: others can read the tokens.
    """
    listening = _bind(settings)
    with listening:
        settings = msgspec.structs.replace(settings, port=listening.getsockname()[1])
        server = make_server(settings, token=token, on_ready=lambda worker: tell(_describe_worker(worker)))
        server.tokens.entries()  # what is wrong with the file shows now
        tell(f"Listening on {_url(settings)} (stop with Ctrl-C)")
        _print_code(server, settings, tell)
        config = uvicorn.Config(
            server.asgi,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # who asks is never taken from a header
            timeout_graceful_shutdown=max(1, int(settings.stop_grace)),
        )
        asyncio.run(_UvicornServer(config, server, lambda: _print_code(server, settings, tell)).serve([listening]))
        tell("Stopped")


class _UvicornServer(uvicorn.Server):
    """Ends event streams at the first signal: uvicorn waits for open connections before it stops."""

    def __init__(self, config: uvicorn.Config, server: Server, new_code: Callable[[], None]) -> None:
        super().__init__(config)
        self._server, self._new_code = server, new_code
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        if sys.stdin is not None and sys.stdin.isatty():
            threading.Thread(target=self._renew_code_on_enter, daemon=True).start()
        await super().serve(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Unlike uvicorn's: a signal that was obeyed is not raised again, and the exit status is 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.service.stop)
        super().handle_exit(sig, frame)

    def _renew_code_on_enter(self) -> None:
        while sys.stdin.readline():
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._new_code)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With its protocol: asyncio turns Nagle's delay off only where it is named.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError as problem:
        listening.close()
        raise NotReady(
            f"port {settings.port} of {settings.host} cannot be listened on ({problem.strerror}): choose another --port"
        ) from None
    return listening


def _url(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _print_code(server: Server, settings: Settings, tell: Callable[[str], None]) -> None:
    code = server.pairing.new_code()
    again = "; Enter makes a new one" if sys.stdin is not None and sys.stdin.isatty() else ""
    tell(f"Pairing code: {code}  (once, within {CODE_SECONDS / 60:.0f} minutes, {MAX_TRIES} tries{again})")
    if settings.host.strip("[]") in (*LOOPBACK, "::1"):
        tell(f"Or open {_url(settings)}/#code={code}")


def _describe_worker(worker: WorkerHandle) -> str:
    ready = worker.ready
    notes = "" if ready is None or not ready.notes else f"\n  note: {' '.join(ready.notes)}"
    return f"Ready: worker {worker.device!r} runs on {ready.provider if ready else 'nothing'}{notes}"
