"""POST /v1/protect: takes a photo and returns the protected photo."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency, Provide

from anti_i2v_server.jobs.dependencies import client_disconnect, protect_options
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.responses import photo_response
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.openapi import RECEIPT_HEADER_SPEC, PhotoInOutOperation, problem_responses
from anti_i2v_server.security import Principal
from anti_i2v_server.upload import read_photo

__all__ = ["protect"]


@post(
    "/v1/protect",
    status_code=200,
    operation_class=PhotoInOutOperation,
    dependencies={"options": Provide(protect_options)},
    response_headers=[RECEIPT_HEADER_SPEC],
    responses=problem_responses(400, 408, 409, 413, 415, 422, 503),
)
async def protect(
    request: Request[Principal, Any, Any], service: NamedDependency[JobService], options: NamedDependency[JobOptions]
) -> Response[bytes]:
    """Protect a photo and wait for the result. It runs before bulk jobs; disconnecting cancels it."""
    photo = await read_photo(request, service.settings)
    result = await service.protect(options, photo, request.user.id, client_disconnect(request))
    return photo_response(result)
