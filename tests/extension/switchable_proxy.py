"""A TCP proxy in front of a server that tests can switch off: then the server does not answer, but keeps its jobs."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class SwitchableProxy:
    """Listens on a free port of this machine; `target` is the port it forwards to."""

    def __init__(self) -> None:
        self.target = 0
        self.received = b""
        """What clients have sent since the last `on`, as far as it is forwarded."""
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[socket.socket] = set()
        self._accept()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def on(self) -> None:
        """Accept connections. Does nothing while it is on."""
        self.received = b""
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)
            self._accept()

    def off(self) -> None:
        """Refuse new connections and cut those that are open."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for connection in list(self._connections):
            cut(connection)

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=64)

    def _accept(self) -> None:
        def accept(listener: socket.socket) -> None:
            with suppress(OSError):  # switched off
                while True:
                    self._connect(listener.accept()[0])

        threading.Thread(target=accept, args=(self._listener,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        self._connections |= {client, server}
        threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
        threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, record: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if record:
                    self.received += data
                target.sendall(data)
        for connection in (source, target):
            cut(connection)
        self._connections -= {source, target}


def cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
