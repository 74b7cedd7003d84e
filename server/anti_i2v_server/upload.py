"""Read the photo of a request: raw `image/*`, or one part of multipart/form-data.

Litestar's form parser spools parts over 1 MB to a temporary file. Forms are parsed here to keep photos in memory.
"""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from anti_i2v_server.errors import BodyTooLarge, BodyTooSlow, MalformedRequest, UnsupportedMedia
from anti_i2v_server.media_types import FORM, PHOTO_TYPE_ALIASES, PHOTO_TYPES
from anti_i2v_server.settings import Settings

__all__ = ["PHOTO_PART", "read_photo"]

PHOTO_PART = "photo"

DRAIN_SECONDS = 2.0
"""Seconds for which the rest of a refused body is read and discarded. A client that is still sending would otherwise
see a closed connection instead of the response."""


async def read_photo(request: Request[Any, Any, Any], settings: Settings) -> bytes:
    """Return the uploaded file unchanged.

    Raises:
        UnsupportedMedia: the content type is not supported.
        BodyTooLarge, BodyTooSlow: see `body_limit` and `body_timeout` of Settings.
        MalformedRequest: the form does not hold exactly one photo, or the client disconnected.
    """
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    content_type = content_type.lower()
    if content_type not in (*PHOTO_TYPES, *PHOTO_TYPE_ALIASES, FORM):
        supported = ", ".join((*PHOTO_TYPES, FORM))
        raise UnsupportedMedia(
            f"content type {content_type or 'unknown'} is not supported: send one of {supported}"[:400]
        )
    body = await _read_body(request, settings)
    return _photo_of_form(body, options.get("boundary", "")) if content_type == FORM else body


async def _read_body(request: Request[Any, Any, Any], settings: Settings) -> bytes:
    stream = request.stream()
    try:
        async with asyncio.timeout(settings.body_timeout):
            return b"".join([chunk async for chunk in stream])
    except TimeoutError:
        raise BodyTooSlow(f"the photo did not arrive within {settings.body_timeout:g} s: send it again") from None
    except HTTPException as error:
        if error.status_code != 413:
            raise MalformedRequest("the client disconnected before the photo had arrived") from None
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
    is_photo = False
    try:
        with PushMultipartParser(boundary, max_segment_count=8, strict=True) as parser:
            for event in parser.parse(body):
                if isinstance(event, MultipartSegment):
                    part, is_photo = [], event.name == PHOTO_PART
                elif event is None and is_photo:
                    photos.append(b"".join(part))
                elif event is not None and is_photo:
                    part.append(bytes(event))
    except MultipartError as error:
        raise MalformedRequest(f"the form cannot be parsed ({error}): send the file itself, as image/*") from None
    if len(photos) != 1:
        raise MalformedRequest(f"the form must have one part named {PHOTO_PART!r}, it has {len(photos)}")
    return photos[0]
