"""/v1/jobs: submit a photo, follow it, fetch it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, Response, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from anti_i2v.receipt import Receipt
from anti_i2v_server.jobs.dependencies import job_options
from anti_i2v_server.jobs.job import Job
from anti_i2v_server.jobs.job_options import JobOptions
from anti_i2v_server.jobs.responses import JobStatus, event_frame, photo_response
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

LOCATION = ResponseHeader(name="location", documentation_only=True, description="Where the job is: /v1/jobs/ID.")
LastEventId = Annotated[
    int,
    HeaderParameter(name="Last-Event-ID", ge=0, description="The last event that was seen: what came later is told."),
]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=r"^[!-~]{16,200}$",
        description="Unguessable, made by the client for one submission: who lost the answer submits again under the "
        "same key and gets the same job, for as long as the server knows it.",
    ),
]

RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a client that lost the stream, or whose stream was long enough, comes back."""

AuthenticatedRequest = Request[Principal, Any, Any]


@post(
    "/v1/jobs",
    status_code=202,
    operation_class=PhotoInOperation,
    dependencies={"options": Provide(job_options)},
    response_headers=[LOCATION],
    responses=problem_responses(400, 408, 413, 415, 422, 503),
)
async def submit(
    request: AuthenticatedRequest,
    service: NamedDependency[JobService],
    options: NamedDependency[JobOptions],
    idempotency_key: IdempotencyKey = None,
) -> Response[JobStatus]:
    """Put a photo in the queue."""
    photo = await read_photo(request, service.settings)
    job = service.submit(options, photo, request.user.id, idempotency_key)
    return Response(JobStatus.of(job), headers={"location": f"/v1/jobs/{job.id}"})


@get("/v1/jobs/{job_id:str}", responses=problem_responses(404))
async def status(
    request: AuthenticatedRequest, service: NamedDependency[JobService], job_id: FromPath[str]
) -> JobStatus:
    """How a job stands."""
    return JobStatus.of(service.status(job_id, request.user.id))


@get("/v1/jobs/{job_id:str}/events", operation_class=EventsOperation, responses=problem_responses(400, 404))
async def events(
    request: AuthenticatedRequest,
    service: NamedDependency[JobService],
    job_id: FromPath[str],
    last_event_id: LastEventId = 0,
) -> Stream:
    """Follow a job: queued (position), started (attempt), step (step, steps, loss), effect, then done, failed or
    cancelled. A stream ends after some seconds at most: come back with Last-Event-ID."""
    job = service.status(job_id, request.user.id)
    return Stream(_event_messages(service, job, last_event_id), media_type="text/event-stream")


@get(
    "/v1/jobs/{job_id:str}/result",
    operation_class=PhotoOutOperation,
    response_headers=[RECEIPT_HEADER_SPEC],
    responses=problem_responses(404, 409, 422, 503),
)
async def result(
    request: AuthenticatedRequest, service: NamedDependency[JobService], job_id: FromPath[str]
) -> Response[bytes]:
    """The protected photo of a job that is done; of one that failed, the problem."""
    found = service.result(job_id, request.user.id)
    return photo_response(found, request.headers.get("accept", ""))


@get("/v1/jobs/{job_id:str}/receipt", responses=problem_responses(404, 409, 422, 503))
async def receipt(
    request: AuthenticatedRequest, service: NamedDependency[JobService], job_id: FromPath[str]
) -> Response[Receipt]:
    """The whole receipt of a job that is done."""
    return Response(service.result(job_id, request.user.id).receipt)


@delete("/v1/jobs/{job_id:str}", responses=problem_responses(404))
async def cancel(request: AuthenticatedRequest, service: NamedDependency[JobService], job_id: FromPath[str]) -> None:
    """Cancel a job within one step, or drop one that has ended, with its result."""
    service.cancel(job_id, request.user.id)


async def _event_messages(service: NamedDependency[JobService], job: Job, after: int) -> AsyncIterator[bytes]:
    yield RETRY
    async for event in service.events(job, after):
        yield event_frame(event)
