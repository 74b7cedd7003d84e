"""Log one line a request, and count requests. Queries, job ids, file names and image content are never logged."""

from __future__ import annotations

import logging
import sys
import time

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from anti_i2v_server.operations.metrics import Metrics

__all__ = ["AccessLog", "make_logger"]

UNKNOWN_ROUTE = "-"

CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that disconnected before the response."""


def make_logger() -> FilteringBoundLogger:
    """Return a logger to standard error: readable lines on a terminal, JSON elsewhere."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    made: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    return made


class AccessLog:
    """ASGI middleware: logs method, route template, status and duration of each request."""

    def __init__(self, app: ASGIApp, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._app, self._log, self._metrics = app, log, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), CLIENT_CLOSED_REQUEST

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        finally:
            # The template, because a path may hold a job id. Unknown routes have no template.
            route = scope.get("path_template") or UNKNOWN_ROUTE
            seconds = time.perf_counter() - began
            self._metrics.count_request(scope["method"], route, status, seconds)
            self._log.info(
                "request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1000, 1)
            )
