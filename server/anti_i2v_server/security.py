"""Security checks on the headers of a request: Host, Origin and token."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from anti_i2v.errors import RecipeError
from anti_i2v_server.errors import HostRefused, OriginRefused, Unauthorised
from anti_i2v_server.settings import Settings
from anti_i2v_server.tokens import TokenStore, digest

__all__ = ["EXTENSION_ORIGIN", "LOOPBACK", "PUBLIC_ROUTES", "Principal", "Security", "check_binding"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

PAIR_ROUTE = ("POST", "/v1/pair")
PUBLIC_ROUTES = frozenset(
    {("GET", "/health"), ("GET", "/"), ("GET", "/docs"), ("GET", "/docs/openapi.json"), PAIR_ROUTE}
)
"""Routes without a token: health, the page and the documentation (a browser loads them before it has a token, and they
are the same on every machine), and pairing, which the code protects. The page's static files are public too."""

STATIC_PATH = re.compile(r"/static/[\w-][\w.-]*")
EXTENSION_ORIGIN = re.compile(r"(chrome|moz|safari-web)-extension://[\w-]+")

MIN_TOKEN_LENGTH = 20
"""Characters of a token that a person chose, so that it cannot be guessed."""

COMMAND_LINE_ID = "command line"


@dataclass(frozen=True)
class Principal:
    """An authenticated client: the id of its token, or COMMAND_LINE_ID."""

    id: str


class Security:
    """Checks Host, Origin and token. `token` is the command line's, valid beside the paired ones."""

    def __init__(self, settings: Settings, tokens: TokenStore, token: str | None = None) -> None:
        self._tokens = tokens
        self._hash = None if token is None else digest(token)
        bound = () if settings.host in ("0.0.0.0", "::") else (settings.host,)  # noqa: S104  # compared, not bound
        self._hosts = {f"{name}:{settings.port}" for name in (*LOOPBACK, *bound)}
        self._hosts |= {name.lower() for name in settings.allow_hosts}

    def check_host(self, headers: Mapping[str, str]) -> str:
        """Return the Host header. Refusing foreign names stops DNS rebinding. Raises HostRefused."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise HostRefused(
                "the Host header does not name this server: allow a name with anti-i2v serve --allow-host NAME:PORT"
            )
        return host

    def check_origin(self, path: str, headers: Mapping[str, str], host: str) -> str | None:
        """Return the Origin header, or None without one. Raises OriginRefused."""
        origin = headers.get("origin")
        if origin is None or _is_own_page(origin, host) or origin in self._tokens.origins():
            return origin
        if path == PAIR_ROUTE[1] and EXTENSION_ORIGIN.fullmatch(origin):  # it is about to be paired
            return origin
        raise OriginRefused("this page or extension is not paired: pair it with the code in the server's terminal")

    def authenticate(
        self, method: str, path: str, headers: Mapping[str, str], origin: str | None, host: str
    ) -> Principal | None:
        """Return the client, or None on a public route. Raises Unauthorised."""
        if _is_public(method, path):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("send the header  Authorization: Bearer TOKEN  with a token from pairing")
        if self._hash is not None and hmac.compare_digest(self._hash, digest(token)):
            if origin is None or _is_own_page(origin, host):
                return Principal(COMMAND_LINE_ID)
            raise Unauthorised("an extension cannot use the command line's token: pair the extension")
        entry = self._tokens.find(token)
        if entry is None:
            raise Unauthorised("this token is invalid or was revoked: pair again")
        # Browsers omit Origin on some reads, and send it on every other request.
        if origin != entry.origin and not (origin is None and method in ("GET", "HEAD")):
            raise Unauthorised("this token belongs to another origin: pair this one")
        return Principal(entry.id)


def _is_own_page(origin: str | None, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}")


def _is_public(method: str, path: str) -> bool:
    method = "GET" if method == "HEAD" else method
    return (method, path) in PUBLIC_ROUTES or (method == "GET" and STATIC_PATH.fullmatch(path) is not None)


def check_binding(host: str, token: str | None, example: str) -> None:
    """Check that the server may listen on `host`: every address except loopback needs a token.

    Args:
        host: the address to listen on.
        token: the command line's token.
        example: a token to suggest in the message.

    Raises:
        RecipeError: the token is missing or too short.
    """
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise RecipeError(f"a token must have at least {MIN_TOKEN_LENGTH} characters: for example --token {example}")
    if token is None and host not in ("127.0.0.1", "localhost", "::1"):
        raise RecipeError(
            f"listening on {host} lets other machines reach this server, and photos and tokens travel unencrypted "
            f"unless a TLS proxy stands before it: to allow that, add --token {example}"
        )
