"""Media types that a client may upload, and that the server returns."""

from __future__ import annotations

from anti_i2v.images.formats import FORMATS

__all__ = ["EVENT_STREAM", "FORM", "IMAGE_TYPES", "PHOTO_TYPES", "PHOTO_TYPE_ALIASES", "PROBLEM_JSON"]

IMAGE_TYPES = {name: format.media_type for name, format in FORMATS.items()}
"""Format of `anti_i2v.images.formats.FORMATS` -> media type of a result."""

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
"""Media types of an upload, in the order in which messages list them."""

PHOTO_TYPE_ALIASES = ("image/jpg", "image/pjpeg", "image/x-ms-bmp")
"""Other names of these types that some systems send."""

FORM = "multipart/form-data"
EVENT_STREAM = "text/event-stream"
PROBLEM_JSON = "application/problem+json"
