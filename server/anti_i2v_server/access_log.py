"""One line a request, and the numbers for /metrics. No query, no id, no file name, nothing of a photo."""

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


def make_logger() -> FilteringBoundLogger:
    """Lines on standard error: for people on a terminal, JSON elsewhere."""
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
    """ASGI: notes the method, the route's template, the status and the time of each request."""

    def __init__(self, app: ASGIApp, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._app, self._log, self._metrics = app, log, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 499  # as some servers say it: the client left before an answer

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, record_status)
        finally:
            # The template, for a path may hold the id of a job. Only a route that was found has one.
            route = scope.get("path_template") or UNKNOWN_ROUTE
            seconds = time.perf_counter() - begun
            self._metrics.count_request(scope["method"], route, status, seconds)
            self._log.info(
                "request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1000, 1)
            )
