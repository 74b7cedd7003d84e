"""EXIF: the orientation, and an allow-list of tags that `keep_metadata` writes.

Kept: how the photo was made (camera, lens, exposure, date) and whose it is (artist, copyright). Never kept: GPS, maker
notes, serial numbers, the owner's name, unique ids, time zones, free-text comments, XMP, IPTC, and embedded previews,
which would show the unprotected photo.
"""

from __future__ import annotations

from typing import Any

from PIL import ExifTags, Image

__all__ = ["read_exif", "safe_exif"]

_SAFE_TAGS = (
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
    ExifTags.Base.DateTime,
)

_SAFE_EXPOSURE_TAGS = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.DateTimeDigitized,
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ExposureProgram,
    ExifTags.Base.ISOSpeedRatings,
    ExifTags.Base.ShutterSpeedValue,
    ExifTags.Base.ApertureValue,
    ExifTags.Base.BrightnessValue,
    ExifTags.Base.ExposureBiasValue,
    ExifTags.Base.MaxApertureValue,
    ExifTags.Base.MeteringMode,
    ExifTags.Base.LightSource,
    ExifTags.Base.Flash,
    ExifTags.Base.FocalLength,
    ExifTags.Base.FocalLengthIn35mmFilm,
    ExifTags.Base.ExposureMode,
    ExifTags.Base.WhiteBalance,
    ExifTags.Base.SceneCaptureType,
    ExifTags.Base.LensSpecification,
    ExifTags.Base.LensMake,
    ExifTags.Base.LensModel,
)

_MAX_TEXT = 200  # a tag for a name must not carry a document


def safe_exif(exif: Image.Exif) -> bytes | None:
    """Return a new EXIF block with only the allowed tags, upright and sRGB; None if the photo has none of them."""
    kept = Image.Exif()
    exposure: dict[int, Any] = {}
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tags, source, target in ((_SAFE_TAGS, exif, kept), (_SAFE_EXPOSURE_TAGS, details, exposure)):
        for tag in tags:
            if (value := _plain_value(source.get(tag))) is not None:
                target[tag] = value
    if not kept and not exposure:
        return None
    kept[ExifTags.Base.Orientation] = 1
    kept.get_ifd(ExifTags.IFD.Exif).update(exposure | {ExifTags.Base.ColorSpace: 1})
    return kept.tobytes()


def _plain_value(value: Any) -> Any:
    """Return a number, a few numbers or one line of text; None for anything else."""
    if isinstance(value, str):
        return "".join(letter for letter in value if letter.isprintable())[:_MAX_TEXT].strip() or None
    if isinstance(value, tuple):
        return value if 0 < len(value) <= 4 and all(_plain_value(part) is not None for part in value) else None
    return None if value is None or isinstance(value, bytes) or value != value else value


def read_exif(image: Image.Image, notes: list[str]) -> tuple[int, bytes | None]:
    """Return the orientation, 1..8, and the tags that are safe to keep. Broken EXIF is dropped with a note."""
    orientation = 1
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        return orientation, safe_exif(exif)
    except Exception:  # as with pixels, broken tags raise from any layer of Pillow
        notes.append("its EXIF data is broken and was dropped")
        return orientation, None
