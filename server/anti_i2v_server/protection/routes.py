"""POST /v1/protect: a photo in, the protected photo out."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency, Provide

from anti_i2v_server.jobs.dependencies import departure, protect_wishes
from anti_i2v_server.jobs.job_options import Wishes
from anti_i2v_server.jobs.responses import photo_reply
from anti_i2v_server.jobs.service import Service
from anti_i2v_server.openapi import RECEIPT, PhotoInOutOperation, problems
from anti_i2v_server.security import Principal
from anti_i2v_server.upload import read_photo

__all__ = ["protect"]


@post(
    "/v1/protect",
    status_code=200,
    operation_class=PhotoInOutOperation,
    dependencies={"wishes": Provide(protect_wishes)},
    response_headers=[RECEIPT],
    responses=problems(400, 408, 409, 413, 415, 422, 503),
)
async def protect(
    request: Request[Principal, Any, Any], service: NamedDependency[Service], wishes: NamedDependency[Wishes]
) -> Response[bytes]:
    """Protect a photo, and wait for it. It goes before bulk jobs; a client that leaves frees its worker."""
    photo = await read_photo(request, service.settings)
    result = await service.protect(wishes, photo, request.user.id, departure(request))
    return photo_reply(result, request.headers.get("accept", ""))
