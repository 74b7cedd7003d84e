"""Assemble the server: the routes, inside the security middleware, inside the access log."""

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
from anti_i2v_server.jobs.job_store import JobStore
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.operations import routes as operations
from anti_i2v_server.operations.docs import openapi_config
from anti_i2v_server.operations.metrics import Metrics
from anti_i2v_server.pairing import routes as pairing
from anti_i2v_server.pairing.service import PairingService
from anti_i2v_server.problems import encode_problem, problem_of
from anti_i2v_server.protection import catalogue
from anti_i2v_server.protection import routes as protection
from anti_i2v_server.protection.worker_handle import WorkerHandle
from anti_i2v_server.protection.worker_pool import WorkerPool
from anti_i2v_server.security import Security
from anti_i2v_server.security_middleware import SecurityMiddleware
from anti_i2v_server.settings import Settings
from anti_i2v_server.tokens import TokenStore

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
    pairing.pair,
    pairing.open_code,
    operations.health,
    operations.ready,
    operations.metrics,
    operations.page,
]


@dataclass(frozen=True)
class Server:
    """An assembled server.

    Attributes:
        asgi: the whole application, for an ASGI server.
        litestar: the application without the middleware.
        jobs, pairing, tokens: its services.
    """

    asgi: ASGIApp
    litestar: Litestar
    jobs: JobService
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
    """Assemble a server. Its workers start with the application's lifespan.

    Args:
        token: the command line's token, valid beside the paired ones.
        tokens: the token file; None uses the one in the home folder.
        log: where log lines go; None writes to standard error.
        on_ready: called with every worker that becomes ready.
    """
    log = log or make_logger()
    tokens = tokens or TokenStore()
    store = JobStore(settings)
    pool = WorkerPool(store, settings, log, on_ready)
    service = JobService(settings, store, pool)
    pairing_service, metrics = PairingService(tokens), Metrics(store, pool)
    dependencies = {
        "service": service,
        "store": store,
        "pool": pool,
        "pairing": pairing_service,
        "metrics": metrics,
    }
    litestar = _make_litestar(settings, service, dependencies, log)
    protected = SecurityMiddleware(litestar, Security(settings, tokens, token))
    return Server(AccessLog(protected, log, metrics), litestar, service, pairing_service, tokens)


def _make_litestar(
    settings: Settings, service: JobService, dependencies: dict[str, Any], log: FilteringBoundLogger
) -> Litestar:
    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with service.running():
            yield

    def handle_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        if not isinstance(error, AntiI2VError | HTTPException):
            log.error("unexpected error", error=type(error).__name__, stack=_stack_locations(error))
        problem = problem_of(error)
        body, headers = encode_problem(problem)
        return Response(body, status_code=problem.status, headers=headers, media_type=headers.pop("content-type"))

    mimetypes.add_type("text/javascript", ".js")  # some Windows registries say text/plain, which nosniff refuses
    static = create_static_files_router("/static", [operations.STATIC_FOLDER], include_in_schema=False)
    return Litestar(
        [*HANDLERS, static],
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        exception_handlers={Exception: handle_error},
        lifespan=[lifespan],
        logging_config=None,
        openapi_config=openapi_config(),
        request_max_body_size=settings.body_limit,
    )


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _stack_locations(error: Exception) -> list[str]:
    """Return where an error was raised, without its text and source lines: they may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]
