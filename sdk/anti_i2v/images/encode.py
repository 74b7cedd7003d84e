"""Pixels to a file: the codecs, what metadata may travel along, and a write that is whole or not at all.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped;
with `keep_metadata` an allow-list of EXIF tags stays: what made the photo (camera, lens, exposure, date) and whose it
is (artist, copyright). Never kept: GPS, maker notes, serial numbers, the owner's name, unique ids, time zones,
free-text comments, XMP, IPTC, and embedded previews, which would show the unprotected photo.
"""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v.images.formats import CODECS, FORMATS, NEEDS_HEIF

if TYPE_CHECKING:
    from anti_i2v.images.photo import Photo

__all__ = ["check_holds", "encode"]


def encode(
    photo: Photo,
    pixels: npt.NDArray[np.uint8],
    *,
    format: str | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
) -> bytes:
    """The file that holds `pixels` with the transparency of `photo`.

    Alpha comes back exactly, except from HEIF, whose encoder may move it by one level.

    Args:
        photo: where alpha, the default format and the metadata that is safe to keep come from.
        pixels: (H, W, 3) uint8 sRGB, upright, of the size of the photo.
        format: one of `FORMATS`; the photo's own when None.
        quality: 1..100; when None 95 for JPEG and WebP, 90 for AVIF and HEIF. PNG, TIFF and BMP are lossless and
            ignore it. WebP is lossless at 100.
        keep_metadata: keep `photo.exif`, as far as the format can hold EXIF (BMP cannot).

    Raises:
        OutputError: the format cannot hold the photo, or its encoder refuses or is missing.
        RecipeError: the quality is out of its range.
    """
    name = photo.format if format is None else format.upper()
    if name not in CODECS:
        raise OutputError(f"unknown format {name}: choose one of {', '.join(FORMATS)}")
    if quality is not None and not 1 <= quality <= 100:
        raise RecipeError(f"quality must be 1..100, got {quality}")
    if pixels.dtype != np.uint8 or pixels.shape != photo.pixels.shape:
        raise ValueError(f"pixels must be uint8 {photo.pixels.shape}, got {pixels.dtype} {pixels.shape}")
    codec = CODECS[name]
    check_holds(photo, name)

    options = dict(codec.options)
    if codec.quality is not None:
        options["quality"] = codec.quality if quality is None else quality
    if name == "AVIF" and photo.alpha is not None:
        options["advanced"] = {"a:cq-level": "0"}  # alpha exact; only the colours follow the quality
    if name == "WEBP" and quality == 100:
        options["lossless"] = True
    if keep_metadata and codec.exif and photo.exif is not None:
        options["exif"] = photo.exif
        if name == "TIFF":  # Pillow's compressing TIFF writer cannot nest the exposure tags, its plain one can
            options["compression"] = "raw"
    image = Image.fromarray(np.ascontiguousarray(_with_alpha(pixels, photo.alpha, name)))
    try:
        return _compress(image, name, options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:  # KeyError: a Pillow built without the codec
        raise OutputError(f"{name} cannot be written here ({type(error).__name__}): choose PNG") from error


def check_holds(photo: Photo, format: str) -> None:
    """Whether a format can hold a photo and be written here, before any work on it is done.

    Raises:
        OutputError: the encoder is missing, the photo is too large for the format, or has transparency that the
            format would lose.
    """
    codec = CODECS[format]
    if format == "HEIF" and find_spec("pillow_heif") is None:
        raise OutputError(NEEDS_HEIF)
    if format in ("AVIF", "WEBP") and not features.check(format.lower()):
        raise OutputError(f"{format} cannot be written here (this Pillow was built without it): choose PNG")
    if max(photo.pixels.shape) > codec.longest_side:
        raise OutputError(f"{format} holds at most {codec.longest_side} pixels a side: choose PNG or TIFF")
    if photo.alpha is not None and not codec.alpha and photo.alpha.min() < 255:
        able = ", ".join(other for other, codec in CODECS.items() if codec.alpha)
        raise OutputError(f"{format} cannot hold the transparency of this photo: choose one of {able}")


def _with_alpha(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, name: str) -> npt.NDArray[np.uint8]:
    """(H, W, 4) when there is transparency to keep; an opaque alpha may go where the format has none."""
    return np.dstack([pixels, alpha]) if alpha is not None and CODECS[name].alpha else pixels


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
