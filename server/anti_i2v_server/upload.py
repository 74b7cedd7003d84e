"""The photo in a request: raw `image/*`, or one part of multipart/form-data. Always in memory, never in a file."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from anti_i2v_server.errors import BodyTooLarge, BodyTooSlow, MalformedRequest, UnsupportedMedia
from anti_i2v_server.settings import Settings

__all__ = ["FORM_TYPE", "PHOTO_PART", "PHOTO_TYPES", "read_photo"]

PHOTO_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/avif",
    "image/tiff",
    "image/bmp",
    "image/heic",
    "image/heif",
)
PHOTO_TYPE_ALIASES = ("image/jpg", "image/pjpeg", "image/x-ms-bmp")
"""Other names of the same, which some systems send."""

FORM_TYPE = "multipart/form-data"
PHOTO_PART = "photo"

DRAIN_SECONDS = 2.0
"""Seconds for which a body that is refused is still read and thrown away: a client that is busy sending would
otherwise meet a closed connection before it sees the answer."""


async def read_photo(request: Request[Any, Any, Any], settings: Settings) -> bytes:
    """The photo's file, as it was sent.

    Raises:
        UnsupportedMedia: a type that is not read here.
        BodyTooLarge, BodyTooSlow: see Settings.
        MalformedRequest: a form that holds no photo.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    kind = kind.lower()
    if kind not in (*PHOTO_TYPES, *PHOTO_TYPE_ALIASES, FORM_TYPE):
        known = ", ".join((*PHOTO_TYPES, FORM_TYPE))
        raise UnsupportedMedia(f"a body of type {kind or 'unknown'} is not read here: send one of {known}"[:400])
    body = await _read_body(request, settings)
    return _photo_of_form(body, options.get("boundary", "")) if kind == FORM_TYPE else body


async def _read_body(request: Request[Any, Any, Any], settings: Settings) -> bytes:
    stream = request.stream()
    try:
        async with asyncio.timeout(settings.body_timeout):
            return b"".join([chunk async for chunk in stream])
    except TimeoutError:
        raise BodyTooSlow(f"the photo did not arrive within {settings.body_timeout:g} s: send it again") from None
    except HTTPException as refusal:
        if refusal.status_code != 413:
            raise MalformedRequest("the client went away before the photo had arrived") from None
        await _drain(request)
        raise BodyTooLarge(
            f"the body is larger than {settings.body_limit / 1e6:g} MB: send a smaller photo, or raise --body-limit"
        ) from None


async def _drain(request: Request[Any, Any, Any]) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while (await request.receive()).get("more_body"):
                pass
    except TimeoutError:
        return


def _photo_of_form(body: bytes, boundary: str) -> bytes:
    photos: list[bytes] = []
    part: list[bytes] = []
    wanted = False
    try:
        with PushMultipartParser(boundary, max_segment_count=8, strict=True) as parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    part, wanted = [], event.name == PHOTO_PART
                elif event is None and wanted:
                    photos.append(b"".join(part))
                elif event is not None and wanted:
                    part.append(bytes(event))
    except MultipartError as problem:
        raise MalformedRequest(f"the form cannot be read ({problem}): send the photo as it is, as image/*") from None
    if len(photos) != 1:
        raise MalformedRequest(f"the form must have one part named {PHOTO_PART!r}, it has {len(photos)}")
    return photos[0]
