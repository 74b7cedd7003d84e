"""What the API's description says beyond the handlers' types: raw bodies, images, problems, the token."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from litestar.datastructures import ResponseHeader
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)

from anti_i2v.receipt import versions
from anti_i2v_server.jobs.responses import IMAGE_TYPES, MULTIPART
from anti_i2v_server.operations.docs import DocsPage
from anti_i2v_server.problems import MEDIA_TYPE, PROBLEMS, Problem
from anti_i2v_server.security_middleware import RECEIPT_HEADER
from anti_i2v_server.upload import FORM_TYPE, PHOTO_PART, PHOTO_TYPES

__all__ = [
    "NO_TOKEN",
    "RECEIPT_HEADER_SPEC",
    "EventsOperation",
    "PhotoInOperation",
    "PhotoInOutOperation",
    "PhotoOutOperation",
    "openapi_config",
    "problem_responses",
]

NO_TOKEN: list[dict[str, list[str]]] = [{}]
RECEIPT_HEADER_SPEC = ResponseHeader(
    name=RECEIPT_HEADER,
    documentation_only=True,
    description="The receipt as compact JSON: budget spent, PSNR, SSIM, dE2000, effects and what is left under each "
    "change as [protected, random control]. The whole receipt comes with Accept: multipart/mixed.",
)
BINARY = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)


def problem_responses(*statuses: int, token: bool = True) -> dict[int, ResponseSpec]:
    """The problems that a route may answer with, beside those that every route has."""
    everywhere = (401, 403, 421, 500) if token else (403, 421, 500)
    return {status: _problem_response(status) for status in sorted({*statuses, *everywhere})}


def _problem_response(status: int) -> ResponseSpec:
    titles = dict.fromkeys(title for code, _, title in PROBLEMS.values() if code == status)
    description = ". ".join(titles) or HTTPStatus(status).phrase
    return ResponseSpec(Problem, generate_examples=False, description=description, media_type=MEDIA_TYPE)


def _take_photo(operation: Operation) -> None:
    part = Schema(
        type=OpenAPIType.OBJECT, properties={PHOTO_PART: BINARY}, required=[PHOTO_PART], additional_properties=False
    )
    operation.request_body = RequestBody(
        required=True,
        description="The photo's file as it is, or one part of a form.",
        content={kind: OpenAPIMediaType(schema=BINARY) for kind in PHOTO_TYPES}
        | {FORM_TYPE: OpenAPIMediaType(schema=part)},
    )


def _set_response_types(operation: Operation, kinds: tuple[str, ...], schema: Schema) -> None:
    found = (operation.responses or {}).get("200")
    if isinstance(found, OpenAPIResponse):
        found.content = {kind: OpenAPIMediaType(schema=schema) for kind in kinds}


@dataclass
class PhotoInOperation(Operation):
    """A route that takes a photo."""

    def __post_init__(self) -> None:
        _take_photo(self)


@dataclass
class PhotoOutOperation(Operation):
    """A route that gives a photo."""

    def __post_init__(self) -> None:
        _set_response_types(self, (*IMAGE_TYPES.values(), MULTIPART), BINARY)


@dataclass
class PhotoInOutOperation(Operation):
    """A route that takes one and gives one."""

    def __post_init__(self) -> None:
        _take_photo(self)
        _set_response_types(self, (*IMAGE_TYPES.values(), MULTIPART), BINARY)


@dataclass
class EventsOperation(Operation):
    """A route that gives a stream of events."""

    def __post_init__(self) -> None:
        _set_response_types(self, ("text/event-stream",), Schema(type=OpenAPIType.STRING))


def openapi_config() -> OpenAPIConfig:
    """The description, and where it is served: as a page and as JSON."""
    return OpenAPIConfig(
        title="Anti-I2V",
        version=versions()["anti-i2v-sdk"],
        summary="Protects photos on your own machine.",
        description="Every request needs the header Authorization: Bearer TOKEN, but for those that say otherwise. "
        "Errors are problem details (RFC 9457).",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http", scheme="bearer", description="From POST /v1/pair, or the command line's --token."
                )
            }
        ),
        security=[{"token": []}],
        use_handler_docstrings=True,
        path="/docs",
        render_plugins=[DocsPage(path="/"), JsonRenderPlugin(path="/openapi.json")],
    )
