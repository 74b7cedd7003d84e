"""OpenAPI parts that handler types cannot express: raw bodies, images, problems and the token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus

from litestar.datastructures import ResponseHeader
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)

from anti_i2v_server.media_types import EVENT_STREAM, FORM, IMAGE_TYPES, PHOTO_TYPES, PROBLEM_JSON
from anti_i2v_server.problems import PROBLEMS, Problem
from anti_i2v_server.security_middleware import RECEIPT_HEADER
from anti_i2v_server.upload import PHOTO_PART

__all__ = [
    "NO_TOKEN",
    "RECEIPT_HEADER_SPEC",
    "EventsOperation",
    "PhotoInOperation",
    "PhotoInOutOperation",
    "PhotoOutOperation",
    "problem_responses",
]

NO_TOKEN: list[dict[str, list[str]]] = [{}]
RECEIPT_HEADER_SPEC = ResponseHeader(
    name=RECEIPT_HEADER,
    documentation_only=True,
    description="A short receipt as JSON: budget spent, PSNR, SSIM, dE2000, effects, and the share of the shift that "
    "each change leaves, as [protected, random control]. GET /v1/jobs/ID/receipt returns the whole receipt.",
)
BINARY = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)


def problem_responses(*statuses: int, token: bool = True) -> dict[int, ResponseSpec]:
    """Return the problems that a route may answer with: its own and those that every route has."""
    common = (401, 403, 421, 500) if token else (403, 421, 500)
    return {status: _problem_response(status) for status in sorted({*statuses, *common})}


def _problem_response(status: int) -> ResponseSpec:
    titles = dict.fromkeys(title for code, _, title in PROBLEMS.values() if code == status)
    description = ". ".join(titles) or HTTPStatus(status).phrase
    return ResponseSpec(Problem, generate_examples=False, description=description, media_type=PROBLEM_JSON)


def _describe_upload(operation: Operation) -> None:
    part = Schema(
        type=OpenAPIType.OBJECT, properties={PHOTO_PART: BINARY}, required=[PHOTO_PART], additional_properties=False
    )
    content = {kind: OpenAPIMediaType(schema=BINARY) for kind in PHOTO_TYPES} | {FORM: OpenAPIMediaType(schema=part)}
    operation.request_body = RequestBody(
        required=True, description="The photo's file, or a form with one part.", content=content
    )


def _set_response_types(operation: Operation, media_types: Iterable[str], schema: Schema) -> None:
    success = (operation.responses or {}).get("200")
    if isinstance(success, OpenAPIResponse):
        success.content = {kind: OpenAPIMediaType(schema=schema) for kind in media_types}


@dataclass
class PhotoInOperation(Operation):
    """Describe a route that takes a photo."""

    def __post_init__(self) -> None:
        _describe_upload(self)


@dataclass
class PhotoOutOperation(Operation):
    """Describe a route that returns a photo."""

    def __post_init__(self) -> None:
        _set_response_types(self, IMAGE_TYPES.values(), BINARY)


@dataclass
class PhotoInOutOperation(Operation):
    """Describe a route that takes a photo and returns one."""

    def __post_init__(self) -> None:
        _describe_upload(self)
        _set_response_types(self, IMAGE_TYPES.values(), BINARY)


@dataclass
class EventsOperation(Operation):
    """Describe a route that streams events."""

    def __post_init__(self) -> None:
        _set_response_types(self, (EVENT_STREAM,), Schema(type=OpenAPIType.STRING))
