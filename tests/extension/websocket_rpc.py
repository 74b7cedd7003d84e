"""JSON-RPC over a web socket, as browsers speak it: one request at a time, with events in between."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import websocket

__all__ = ["JsonRpcSocket", "RpcError"]


class RpcError(Exception):
    """The browser returned an error."""


class JsonRpcSocket:
    def __init__(self, address: str, seconds: float = 30.0) -> None:
        self.socket = websocket.create_connection(address, timeout=seconds, suppress_origin=True)
        self.seconds = seconds
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and return its result. Raise RpcError."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while (answer := self._next()).get("id") != self.number:
            self.events.append(answer)
        if "error" in answer:
            raise RpcError(f"{method}: {answer['error']} {answer.get('message', '')}")
        result: dict[str, Any] = answer.get("result", {})
        return result

    def event(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 15.0) -> dict[str, Any]:
        """Return the first matching event, received already or still to come."""
        until = time.monotonic() + seconds
        while True:
            for event in self.events:
                if wanted(event):
                    self.events.remove(event)
                    return event
            if time.monotonic() > until:
                raise TimeoutError("no such event came")
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.socket.recv())
        return answer

    def close(self) -> None:
        self.socket.close()
