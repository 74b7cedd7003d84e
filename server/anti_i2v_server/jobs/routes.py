"""Routes of /v1/jobs: submit a photo, follow the job, fetch the result, cancel."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, HeaderParameter
from litestar.response import ServerSentEvent

from anti_i2v.receipts.receipt import Receipt
from anti_i2v_server.jobs.dependencies import job_options
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.responses import event_stream, photo_response
from anti_i2v_server.jobs.schemas import JobStatus
from anti_i2v_server.jobs.service import JobService
from anti_i2v_server.openapi import (
    RECEIPT_HEADER_SPEC,
    EventsOperation,
    PhotoInOperation,
    PhotoOutOperation,
    problem_responses,
)
from anti_i2v_server.security import Principal
from anti_i2v_server.upload import read_photo

__all__ = ["cancel", "events", "receipt", "result", "status", "submit"]

LOCATION = ResponseHeader(name="location", documentation_only=True, description="Path of the job: /v1/jobs/ID.")
LastEventId = Annotated[
    int,
    HeaderParameter(name="Last-Event-ID", ge=0, description="The last event received: the stream starts after it."),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=r"^[!-~]{16,200}$",
        description="An unguessable key, made by the client for one submission. Submitting again under the same key "
        "returns the same job, for as long as the server keeps it.",
    ),
]

Authenticated = Request[Principal, Any, Any]


@post(
    "/v1/jobs",
    status_code=202,
    operation_class=PhotoInOperation,
    dependencies={"options": Provide(job_options)},
    response_headers=[LOCATION],
    responses=problem_responses(400, 408, 413, 415, 422, 503),
)
async def submit(
    request: Authenticated,
    service: NamedDependency[JobService],
    options: NamedDependency[JobOptions],
    idempotency_key: IdempotencyKey = None,
) -> Response[JobStatus]:
    """Queue a photo."""
    photo = await read_photo(request, service.settings)
    job = service.submit(options, photo, request.user.id, idempotency_key)
    return Response(JobStatus.of(job), headers={"location": f"/v1/jobs/{job.id}"})


@get("/v1/jobs/{job_id:str}", responses=problem_responses(404))
async def status(request: Authenticated, service: NamedDependency[JobService], job_id: FromPath[str]) -> JobStatus:
    """Return the status of a job."""
    return JobStatus.of(service.status(job_id, request.user.id))


@get("/v1/jobs/{job_id:str}/events", operation_class=EventsOperation, responses=problem_responses(400, 404))
async def events(
    request: Authenticated,
    service: NamedDependency[JobService],
    job_id: FromPath[str],
    last_event_id: LastEventId = 0,
) -> ServerSentEvent:
    """Stream the events of a job.

    They are queued (position), started (attempt), step (step, steps, loss), effect, then done, failed or cancelled.
    A stream ends after a while: reconnect with Last-Event-ID.
    """
    job = service.status(job_id, request.user.id)
    return event_stream(service.events(job, last_event_id))


@get(
    "/v1/jobs/{job_id:str}/result",
    operation_class=PhotoOutOperation,
    response_headers=[RECEIPT_HEADER_SPEC],
    responses=problem_responses(404, 409, 422, 503),
)
async def result(
    request: Authenticated, service: NamedDependency[JobService], job_id: FromPath[str]
) -> Response[bytes]:
    """Return the protected photo of a finished job, or the problem of a failed one."""
    return photo_response(service.result(job_id, request.user.id))


@get("/v1/jobs/{job_id:str}/receipt", responses=problem_responses(404, 409, 422, 503))
async def receipt(
    request: Authenticated, service: NamedDependency[JobService], job_id: FromPath[str]
) -> Response[Receipt]:
    """Return the whole receipt of a finished job."""
    return Response(service.result(job_id, request.user.id).receipt)


@delete("/v1/jobs/{job_id:str}", responses=problem_responses(404))
async def cancel(request: Authenticated, service: NamedDependency[JobService], job_id: FromPath[str]) -> None:
    """Cancel a job within one step, or delete an ended job and its result."""
    service.cancel(job_id, request.user.id)
