"""Pixels to a file: the codecs, what metadata may travel along, and a write that is whole or not at all.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped;
with `keep_metadata` an allow-list of EXIF tags stays: what made the photo (camera, lens, exposure, date) and whose it
is (artist, copyright). Never kept: GPS, maker notes, serial numbers, the owner's name, unique ids, time zones,
free-text comments, XMP, IPTC, and embedded previews, which would show the unprotected photo.
"""

from __future__ import annotations

from typing import Any

from PIL import ExifTags, Image

__all__ = ["read_exif", "safe_exif"]

_KEPT = (
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
    ExifTags.Base.DateTime,
)

_KEPT_OF_THE_EXPOSURE = (
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

_LONGEST_TEXT = 200  # a tag that is meant for a name must not carry a document


def safe_exif(exif: Image.Exif) -> bytes | None:
    """A new EXIF block with the allowed tags alone, upright and sRGB; None when nothing of them is there."""
    kept = Image.Exif()
    exposure: dict[int, Any] = {}
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tags, source, target in ((_KEPT, exif, kept), (_KEPT_OF_THE_EXPOSURE, details, exposure)):
        for tag in tags:
            if (value := _plain(source.get(tag))) is not None:
                target[tag] = value
    if not kept and not exposure:
        return None
    kept[ExifTags.Base.Orientation] = 1
    kept.get_ifd(ExifTags.IFD.Exif).update(exposure | {ExifTags.Base.ColorSpace: 1})
    return kept.tobytes()


def _plain(value: Any) -> Any:
    """A number, a few numbers or one line of text, as it was; None for anything else."""
    if isinstance(value, str):
        return "".join(letter for letter in value if letter.isprintable())[:_LONGEST_TEXT].strip() or None
    if isinstance(value, tuple):
        return value if 0 < len(value) <= 4 and all(_plain(part) is not None for part in value) else None
    return None if value is None or isinstance(value, bytes) or value != value else value


def read_exif(image: Image.Image, notes: list[str]) -> tuple[int, bytes | None]:
    """The orientation tag, 1..8, and the tags that are safe to keep. A photo outlives its broken EXIF."""
    orientation = 1
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        return orientation, safe_exif(exif)
    except Exception:  # as with pixels, broken tags raise from any layer of Pillow
        notes.append("its EXIF data is broken and was dropped")
        return orientation, None
