"""Run a server until a signal: bind the address, print the URL and the pairing code, stop gracefully."""

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


def serve(settings: Settings, token: str | None, print_line: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        settings: port 0 takes a free port.
        token: the command line's token.
        print_line: prints a line on the terminal.

    Raises:
        NotReady: the address cannot be bound.
        TokenFileUnsafe: other users can read the token file, or it is damaged.
    """
    listener = _bind(settings)
    with listener:
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        server = make_server(settings, token=token, on_ready=lambda worker: print_line(_describe_worker(worker)))
        server.tokens.entries()  # a problem with the file shows before the start
        print_line(f"Listening on {_url(settings)} (stop with Ctrl-C)")
        _print_code(server, settings, print_line)
        config = uvicorn.Config(
            server.asgi,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the client's address is never taken from a header
            timeout_graceful_shutdown=max(1, int(settings.stop_grace)),
        )
        asyncio.run(_UvicornServer(config, server, lambda: _print_code(server, settings, print_line)).serve([listener]))
        print_line("Stopped")


class _UvicornServer(uvicorn.Server):
    """Ends event streams at the first signal, because uvicorn waits for open connections before it stops."""

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
        """Unlike uvicorn's, do not raise a handled signal again: the exit status is 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._server.jobs.stop)
        super().handle_exit(sig, frame)

    def _renew_code_on_enter(self) -> None:
        while sys.stdin.readline():
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._new_code)


def _bind(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol is explicit because asyncio disables Nagle's algorithm only on sockets that name TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise NotReady(
            f"cannot listen on port {settings.port} of {settings.host} ({error.strerror}): choose another --port"
        ) from None
    return listener


def _url(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _print_code(server: Server, settings: Settings, print_line: Callable[[str], None]) -> None:
    code = server.pairing.new_code()
    renewal = "; Enter makes a new one" if sys.stdin is not None and sys.stdin.isatty() else ""
    print_line(f"Pairing code: {code}  (once, within {CODE_SECONDS / 60:.0f} minutes, {MAX_TRIES} tries{renewal})")
    if settings.host.strip("[]") in (*LOOPBACK, "::1"):
        print_line(f"Or open {_url(settings)}/#code={code}")


def _describe_worker(worker: WorkerHandle) -> str:
    ready = worker.ready
    notes = "" if ready is None or not ready.notes else f"\n  note: {' '.join(ready.notes)}"
    return f"Ready: worker {worker.device!r} runs on {ready.provider if ready else 'nothing'}{notes}"
