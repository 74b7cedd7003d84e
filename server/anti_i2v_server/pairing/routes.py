"""POST /v1/pair exchanges a one-time code for a token; POST /v1/pair/code makes a new code."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from anti_i2v_server.errors import OriginRefused
from anti_i2v_server.openapi import NO_TOKEN, problem_responses
from anti_i2v_server.pairing.schemas import CodeReply, PairReply, PairRequest
from anti_i2v_server.pairing.service import CODE_SECONDS, PairingService
from anti_i2v_server.security import EXTENSION_ORIGIN

__all__ = ["open_code", "pair"]

MAX_BODY_BYTES = 4096


@post(
    "/v1/pair",
    request_max_body_size=MAX_BODY_BYTES,
    security=NO_TOKEN,
    responses=problem_responses(400, 413, 429, token=False),
)
async def pair(
    request: Request[Any, Any, Any], pairing: NamedDependency[PairingService], data: JSONBody[PairRequest]
) -> PairReply:
    """Exchange the one-time code for a token. The token is bound to this request's Origin, or to having none."""
    origin = request.headers.get("origin")
    return PairReply(pairing.exchange(data.code, origin), origin)


@post("/v1/pair/code", responses=problem_responses())
async def open_code(request: Request[Any, Any, Any], pairing: NamedDependency[PairingService]) -> CodeReply:
    """Make a new one-time code for pairing another client. Only the server's page and its owner may, not extensions."""
    if EXTENSION_ORIGIN.fullmatch(request.headers.get("origin", "")):
        raise OriginRefused("an extension cannot pair other clients: make the code on the server's page")
    return CodeReply(pairing.new_code(), int(CODE_SECONDS))
