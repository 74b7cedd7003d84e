"""Encoding pixels to a file.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped,
except the EXIF tags of `exif.safe_exif` with `keep_metadata`.
"""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v.images.formats import FORMATS, NEEDS_HEIF

if TYPE_CHECKING:
    from anti_i2v.images.photo import Photo

__all__ = ["check_format", "encode"]


def encode(
    photo: Photo,
    pixels: npt.NDArray[np.uint8],
    *,
    format: str | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
) -> bytes:
    """Encode `pixels` with the transparency of `photo`.

    Alpha is stored exactly, except in HEIF, whose encoder may move it by one level.

    Args:
        photo: source of the alpha, the default format and the safe metadata.
        pixels: (H, W, 3) uint8 sRGB, upright, of the size of the photo.
        format: key of `FORMATS`; None for the photo's own.
        quality: 1..100; None for 95 (JPEG, WebP) or 90 (AVIF, HEIF). PNG, TIFF and BMP are lossless and ignore it.
            WebP is lossless at 100.
        keep_metadata: write `photo.exif`, if the format can hold EXIF (BMP cannot).

    Raises:
        OutputError: the format cannot hold the photo, or its encoder fails or is missing.
        RecipeError: the quality is out of its range.
    """
    name = photo.format if format is None else format.upper()
    if name not in FORMATS:
        raise OutputError(f"unknown format {name}: choose one of {', '.join(FORMATS)}")
    if quality is not None and not 1 <= quality <= 100:
        raise RecipeError(f"quality must be 1..100, got {quality}")
    if pixels.dtype != np.uint8 or pixels.shape != photo.pixels.shape:
        raise ValueError(f"pixels must be uint8 {photo.pixels.shape}, got {pixels.dtype} {pixels.shape}")
    check_format(photo, name)
    options = _encoder_options(photo, name, quality, keep_metadata)
    image = Image.fromarray(np.ascontiguousarray(_with_alpha(pixels, photo.alpha, name)))
    try:
        return _compress(image, name, options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # KeyError: a Pillow built without the codec
        raise OutputError(f"{name} cannot be written here ({type(error).__name__}): choose PNG") from error


def _encoder_options(photo: Photo, name: str, quality: int | None, keep_metadata: bool) -> dict[str, Any]:
    """Return the options of Pillow's `save`."""
    format = FORMATS[name]
    options = dict(format.options)
    if format.quality is not None:
        options["quality"] = format.quality if quality is None else quality
    if name == "AVIF" and photo.alpha is not None:
        options["advanced"] = {"a:cq-level": "0"}  # alpha exact; only the colours follow the quality
    if name == "WEBP" and quality == 100:
        options["lossless"] = True
    if keep_metadata and format.exif and photo.exif is not None:
        options["exif"] = photo.exif
        if name == "TIFF":  # Pillow's compressing TIFF writer cannot nest the exposure tags, its plain one can
            options["compression"] = "raw"
    return options


def check_format(photo: Photo, format: str) -> None:
    """Check that a format can hold a photo and be written here.

    Raises:
        OutputError: the encoder is missing, the photo is too large for the format, or the format would lose its
            transparency.
    """
    if format == "HEIF" and find_spec("pillow_heif") is None:
        raise OutputError(NEEDS_HEIF)
    if format in ("AVIF", "WEBP") and not features.check(format.lower()):
        raise OutputError(f"{format} cannot be written here (this Pillow was built without it): choose PNG")
    if max(photo.pixels.shape) > FORMATS[format].max_side:
        raise OutputError(f"{format} holds at most {FORMATS[format].max_side} pixels a side: choose PNG or TIFF")
    if photo.alpha is not None and not FORMATS[format].alpha and photo.alpha.min() < 255:
        able = ", ".join(name for name, other in FORMATS.items() if other.alpha)
        raise OutputError(f"{format} cannot hold the transparency of this photo: choose one of {able}")


def _with_alpha(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, name: str) -> npt.NDArray[np.uint8]:
    """Return (H, W, 4) if there is alpha and the format can hold it."""
    return np.dstack([pixels, alpha]) if alpha is not None and FORMATS[name].alpha else pixels


def _compress(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    target = BytesIO()
    if name == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise OutputError(NEEDS_HEIF) from None
        pillow_heif.from_pillow(image).save(target, **options)
    else:
        image.save(target, name, **options)
    return target.getvalue()
