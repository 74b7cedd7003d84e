"""POST /v1/pair: the one-time code for a token."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from anti_i2v_server.errors import OriginRefused
from anti_i2v_server.openapi import NO_TOKEN, problem_responses
from anti_i2v_server.pairing.service import CODE_SECONDS, PairingService
from anti_i2v_server.security import EXTENSION_ORIGIN

__all__ = ["open_code", "pair"]

MAX_BODY_BYTES = 4096
"""Bytes of a body that holds a code."""


class PairRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code from the server's terminal."""

    code: str


class PairReply(msgspec.Struct, frozen=True):
    """A token, good only together with this origin."""

    token: str
    origin: str | None


class CodeReply(msgspec.Struct, frozen=True, rename="camel"):
    """A code to pair another client with; it holds for `expiresIn` seconds."""

    code: str
    expires_in: int


@post(
    "/v1/pair",
    request_max_body_size=MAX_BODY_BYTES,
    security=NO_TOKEN,
    responses=problem_responses(400, 413, 429, token=False),
)
async def pair(
    request: Request[Any, Any, Any], pairing: NamedDependency[PairingService], data: JSONBody[PairRequest]
) -> PairReply:
    """Exchange the one-time code for a token. It is bound to the Origin of this request, or to having none."""
    origin = request.headers.get("origin")
    return PairReply(pairing.exchange(data.code, origin), origin)


@post("/v1/pair/code", responses=problem_responses())
async def open_code(request: Request[Any, Any, Any], pairing: NamedDependency[PairingService]) -> CodeReply:
    """Open a new one-time code, to pair another client. Extensions may not: only the server's page or its owner."""
    if EXTENSION_ORIGIN.fullmatch(request.headers.get("origin", "")):
        raise OriginRefused("an extension cannot pair others: open the code on the server's page")
    return CodeReply(pairing.new_code(), int(CODE_SECONDS))
