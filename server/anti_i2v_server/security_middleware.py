"""The outermost layer: every request passes it, known route or not, preflights included.

It refuses foreign hosts and origins and missing tokens, answers preflights, and adds the headers that keep an answer
from being cached, sniffed, framed, or read by a page that is not paired.
"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.enums import ScopeType
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
    """ASGI: `app` behind `security`."""

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app, self._security = app, security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._http(scope, receive, send)
        elif scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1008, "reason": "there are no web sockets here"})
        else:  # the server's start and stop
            await self._app(scope, receive, send)

    async def _http(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        origin: str | None = None
        try:
            host = self._security.check_host(headers)
            origin = self._security.check_origin(method, path, headers, host)
            if method == "OPTIONS" and origin is not None and "access-control-request-method" in headers:
                await _send_response(send, 204, b"", {**SECURITY_HEADERS, **_preflight_headers(origin, headers)})
                return
            scope["user"] = self._security.authenticate(method, path, headers, origin, host)
        except ServerError as refusal:
            body, more = encode_problem(problem_of(refusal))
            await _send_response(
                send, problem_of(refusal).status, body, {**SECURITY_HEADERS, **_cors_headers(origin), **more}
            )
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


def _preflight_headers(origin: str, headers: Mapping[str, str]) -> dict[str, str]:
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
            named = {name.lower() for name, _ in message["headers"]}
            added = [(name.encode(), value.encode("latin-1")) for name, value in more.items()]
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in named)]
        await send(message)

    return wrapped


async def _send_response(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})
