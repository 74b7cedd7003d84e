"""Outermost middleware: applies the security checks and headers to every request, known route or not.

It refuses foreign hosts, unpaired origins and missing tokens, answers CORS preflights, and adds the headers that forbid
caching, sniffing, framing and reading by unpaired pages.
"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.enums import ScopeType
from litestar.response.base import ASGIResponse
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from anti_i2v_server.errors import ServerError
from anti_i2v_server.problems import encode_problem, problem_of
from anti_i2v_server.security import Security

__all__ = ["RECEIPT_HEADER", "SecurityMiddleware"]

RECEIPT_HEADER = "anti-i2v-receipt"

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
ALLOWED_HEADERS = "accept, authorization, content-type, idempotency-key, last-event-id"
EXPOSED_HEADERS = f"{RECEIPT_HEADER}, content-disposition, location, retry-after"


class SecurityMiddleware:
    """ASGI middleware: passes on to `app` what `security` allows."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app, self._security = app, security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._handle_http(scope, receive, send)
        elif scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not supported"})
        else:  # the server's start and stop
            await self._app(scope, receive, send)

    async def _handle_http(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin: str | None = None
        try:
            host = self._security.check_host(headers)
            origin = self._security.check_origin(path, headers, host)
            if method == "OPTIONS" and origin is not None and "access-control-request-method" in headers:
                response = ASGIResponse(status_code=204, headers={**SECURITY_HEADERS, **_preflight(origin, headers)})
                await response(scope, receive, send)
                return
            scope["user"] = self._security.authenticate(method, path, headers, origin, host)
        except ServerError as refusal:
            problem = problem_of(refusal)
            body, more = encode_problem(problem)
            all_headers = {**SECURITY_HEADERS, **_cors_headers(origin), **more}
            await ASGIResponse(body=body, status_code=problem.status, headers=all_headers)(scope, receive, send)
            return
        await self._app(scope, receive, _with_headers(send, {**SECURITY_HEADERS, **_cors_headers(origin)}))


def _cors_headers(origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": EXPOSED_HEADERS,
        "vary": "origin",
    }


def _preflight(origin: str, headers: Mapping[str, str]) -> dict[str, str]:
    private = {"access-control-allow-private-network": "true"}
    return {
        **_cors_headers(origin),
        **(private if "access-control-request-private-network" in headers else {}),
        "access-control-allow-methods": "GET, POST, DELETE",
        "access-control-allow-headers": ALLOWED_HEADERS,
        "access-control-max-age": "600",
    }


def _with_headers(send: Send, more: Mapping[str, str]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode("latin-1")) for name, value in more.items()]
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in present)]
        await send(message)

    return wrapped
