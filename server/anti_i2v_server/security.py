"""Who may ask, decided from a request's head alone."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from anti_i2v.errors import RecipeError
from anti_i2v_server.errors import HostRefused, OriginRefused, Unauthorised
from anti_i2v_server.pairing.tokens import TokenStore, digest
from anti_i2v_server.settings import Settings

__all__ = ["LOOPBACK", "PUBLIC_ROUTES", "Principal", "Security", "check_binding"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

PAIR_ROUTE = ("POST", "/v1/pair")
PUBLIC_ROUTES = frozenset(
    {("GET", "/health"), ("GET", "/"), ("GET", "/docs"), ("GET", "/docs/openapi.json"), PAIR_ROUTE}
)
"""What needs no token: whether the server lives, what a browser must load before it can hold a token (the page and the
documentation, the same on every machine), and pairing, which the code guards. Beside these, the page's own files."""

STATIC_PATH = re.compile(r"/static/[\w-][\w.-]*")
EXTENSION_ORIGIN = re.compile(r"(chrome|moz|safari-web)-extension://[\w-]+")

MIN_TOKEN_LENGTH = 20
"""Characters of a token that a person chose: guessing must be hopeless."""

COMMAND_LINE_ID = "command line"


@dataclass(frozen=True)
class Principal:
    """Who asks: the id of a token, or the command line's."""

    id: str


class Security:
    """Checks Host, Origin and token. `token`: the one of the command line, beside those that were paired."""

    def __init__(self, settings: Settings, tokens: TokenStore, token: str | None = None) -> None:
        self._tokens = tokens
        self._hash = None if token is None else digest(token)
        bound = () if settings.host in ("0.0.0.0", "::") else (settings.host,)  # noqa: S104  # compared, not bound
        self._hosts = {f"{name}:{settings.port}" for name in (*LOOPBACK, *bound)}
        self._hosts |= {name.lower() for name in settings.allow_hosts}

    def check_host(self, headers: Mapping[str, str]) -> str:
        """The Host header. A page whose name resolves here (DNS rebinding) fails on it. Raises HostRefused."""
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise HostRefused("this server has another name: start it with --allow-host NAME:PORT to add one")
        return host

    def check_origin(self, method: str, path: str, headers: Mapping[str, str], host: str) -> str | None:
        """The Origin header, None where there is none. Raises OriginRefused."""
        origin = headers.get("origin")
        if origin is None or origin in (f"http://{host}", f"https://{host}") or origin in self._tokens.origins():
            return origin
        if path == PAIR_ROUTE[1] and EXTENSION_ORIGIN.fullmatch(origin):  # it is here to be paired
            return origin
        raise OriginRefused("this page or extension is not paired with the server: pair it with the code it shows")

    def authenticate(
        self, method: str, path: str, headers: Mapping[str, str], origin: str | None, host: str
    ) -> Principal | None:
        """Who asks; None on a route that needs no token. Raises Unauthorised."""
        if is_public(method, path):
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("send the header  Authorization: Bearer TOKEN  with a token from pairing")
        own_page = origin in (f"http://{host}", f"https://{host}")
        if self._hash is not None and hmac.compare_digest(self._hash, digest(token)):
            if origin is None or own_page:
                return Principal(COMMAND_LINE_ID)
            raise Unauthorised("the token of the command line is not for extensions: pair the extension")
        entry = self._tokens.find(token)
        if entry is None:
            raise Unauthorised("this token is not valid here, or was revoked: pair again")
        # Browsers leave Origin out of some requests that only read; on all others they send it.
        if origin != entry.origin and not (origin is None and method in ("GET", "HEAD")):
            raise Unauthorised("this token was given to another origin: pair this one")
        return Principal(entry.id)


def is_public(method: str, path: str) -> bool:
    """Whether a route needs no token."""
    method = "GET" if method == "HEAD" else method
    return (method, path) in PUBLIC_ROUTES or (method == "GET" and STATIC_PATH.fullmatch(path) is not None)


def check_binding(host: str, token: str | None, example: str) -> None:
    """Whether the server may listen there.

    Args:
        host: a loopback address, or another one, which needs a token.
        token: of the command line.
        example: a token to suggest.

    Raises:
        RecipeError: a token is missing or too short; says what listening elsewhere means.
    """
    if token is not None and len(token) < MIN_TOKEN_LENGTH:
        raise RecipeError(f"a token must have at least {MIN_TOKEN_LENGTH} characters: for example --token {example}")
    if token is None and host not in ("127.0.0.1", "localhost", "::1"):
        raise RecipeError(
            f"listening on {host} lets other machines reach this server, and photos and tokens travel unencrypted "
            f"unless a TLS proxy stands before it: if you mean that, add --token {example}"
        )
