"""Puts the server together: the routes inside, the gate around them, the journal around all."""

from __future__ import annotations

import mimetypes
import os
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from anti_i2v.errors import AntiI2VError
from anti_i2v_server.access_log import AccessLog, make_logger
from anti_i2v_server.jobs import routes as jobs
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.openapi import openapi_config
from anti_i2v_server.operations import routes as operations
from anti_i2v_server.operations.metrics import Metrics
from anti_i2v_server.operations.routes import STATIC_FOLDER
from anti_i2v_server.pairing import routes as pairing_routes
from anti_i2v_server.pairing.service import PairingService
from anti_i2v_server.pairing.tokens import TokenStore
from anti_i2v_server.problems import encode_problem, problem_of
from anti_i2v_server.protection import catalogue
from anti_i2v_server.protection import routes as protection
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.security import Security
from anti_i2v_server.security_middleware import SecurityMiddleware
from anti_i2v_server.settings import Settings

__all__ = ["Server", "make_server"]

HANDLERS = [
    protection.protect,
    jobs.submit,
    jobs.status,
    jobs.events,
    jobs.result,
    jobs.receipt,
    jobs.cancel,
    catalogue.recipes,
    catalogue.presets,
    catalogue.surrogates,
    pairing_routes.pair,
    pairing_routes.open_code,
    operations.health,
    operations.ready,
    operations.metrics,
    operations.page,
]


@dataclass(frozen=True)
class Server:
    """What runs: `asgi` is for an ASGI server, the rest for who started it."""

    asgi: ASGIApp
    litestar: Litestar
    service: JobService
    pairing: PairingService
    tokens: TokenStore


def make_server(
    settings: Settings,
    *,
    token: str | None = None,
    tokens: TokenStore | None = None,
    log: FilteringBoundLogger | None = None,
    on_ready: Callable[[WorkerHandle], None] = lambda _: None,
) -> Server:
    """A server that has started nothing yet.

    Args:
        token: valid beside those that were paired.
        tokens: the file of those; None takes the one in the home folder.
        log: where lines go; None takes standard error.
        on_ready: told of every worker that is ready.
    """
    log = log or make_logger()
    tokens = tokens or TokenStore()
    pairing, service = PairingService(tokens), JobService(settings, log, on_ready)
    metrics = Metrics(service)
    inner = _make_litestar(settings, service, pairing, metrics, log)
    gate = SecurityMiddleware(inner, Security(settings, tokens, token))
    return Server(AccessLog(gate, log, metrics), inner, service, pairing, tokens)


def _make_litestar(
    settings: Settings, service: JobService, pairing: PairingService, metrics: Metrics, log: FilteringBoundLogger
) -> Litestar:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with service.running():
            yield

    def explain(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        if not isinstance(error, AntiI2VError | HTTPException):
            log.error("unforeseen", error=type(error).__name__, where=_stack_locations(error))
        problem = problem_of(error)
        body, headers = encode_problem(problem)
        return Response(body, status_code=problem.status, headers=headers, media_type=headers.pop("content-type"))

    mimetypes.add_type("text/javascript", ".js")  # some Windows registries say text/plain, which nosniff refuses
    static = create_static_files_router("/static", [STATIC_FOLDER], include_in_schema=False)
    return Litestar(
        [*HANDLERS, static],
        dependencies={
            "service": Provide(lambda: service, sync_to_thread=False),
            "pairing": Provide(lambda: pairing, sync_to_thread=False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False),
        },
        exception_handlers={Exception: explain},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=openapi_config(),
        request_max_body_size=settings.body_limit,
    )


def _stack_locations(error: Exception) -> list[str]:
    """Where it happened, without its words and without source lines: they may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
