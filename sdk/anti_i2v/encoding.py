"""Pixels to a file: the codecs, what metadata may travel along, and a write that is whole or not at all.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped;
with `keep_metadata` an allow-list of EXIF tags stays: what made the photo (camera, lens, exposure, date) and whose it
is (artist, copyright). Never kept: GPS, maker notes, serial numbers, the owner's name, unique ids, time zones,
free-text comments, XMP, IPTC, and embedded previews, which would show the unprotected photo.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, features

from anti_i2v.errors import OutputError, RecipeError

if TYPE_CHECKING:
    from anti_i2v.photo import Photo

__all__ = [
    "FORMATS",
    "NEEDS_HEIF",
    "check_holds",
    "check_target",
    "encode",
    "format_of",
    "safe_exif",
    "write_atomic",
]

NEEDS_HEIF = 'HEIC photos need another package: run  pip install "anti-i2v-sdk[heif]"'


@dataclass(frozen=True)
class _Codec:
    """What a format can hold and how this project writes it. `quality` is the default; None means lossless only."""

    suffixes: tuple[str, ...]
    longest_side: int
    quality: int | None = None
    alpha: bool = True
    exif: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)


# Chroma stays at full resolution wherever the codec can: 4:2:0 would average the colour perturbation away.
# Lossy WebP knows 4:2:0 only; its quality 100 is therefore written lossless.
# AVIF and HEIF run at their fast settings, six to ten times sooner: a photo is about an eighth larger at the same
# quality (12 to 13 % where it was measured), a synthetic picture up to half as large again or more (56 to 92 %).
# `exact` keeps the colour under transparent pixels, which the WebP encoder would otherwise blacken.
_CODECS = {
    "JPEG": _Codec(
        (".jpg", ".jpeg", ".jpe", ".jfif"), 65_500, 95, alpha=False, options={"subsampling": "4:4:4", "optimize": True}
    ),
    "PNG": _Codec((".png",), 2**31 - 1),
    "WEBP": _Codec((".webp",), 16_383, 95, options={"method": 4, "exact": True}),
    "AVIF": _Codec((".avif",), 65_536, 90, options={"subsampling": "4:4:4", "speed": 9}),
    "TIFF": _Codec((".tif", ".tiff"), 2**31 - 1, options={"compression": "tiff_adobe_deflate"}),
    "BMP": _Codec((".bmp",), 2**31 - 1, alpha=False, exif=False),
    "HEIF": _Codec(
        (".heic", ".heif", ".hif"), 16_384, 90, options={"chroma": 444, "enc_params": {"preset": "ultrafast"}}
    ),
}

FORMATS = tuple(_CODECS)
"""The names of the formats that are read and written, as Pillow spells them."""

_SUFFIXES = {suffix: name for name, codec in _CODECS.items() for suffix in codec.suffixes}


def format_of(path: Path) -> str:
    """The format that a file name's suffix asks for.

    Raises:
        OutputError: the suffix is missing or of no format that is written here.
    """
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise OutputError(f"{path.name} does not say which format to write: end its name in one of {known}") from None


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
    if name not in _CODECS:
        raise OutputError(f"unknown format {name}: choose one of {', '.join(FORMATS)}")
    if quality is not None and not 1 <= quality <= 100:
        raise RecipeError(f"quality must be 1..100, got {quality}")
    if pixels.dtype != np.uint8 or pixels.shape != photo.pixels.shape:
        raise ValueError(f"pixels must be uint8 {photo.pixels.shape}, got {pixels.dtype} {pixels.shape}")
    codec = _CODECS[name]
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
    codec = _CODECS[format]
    if format == "HEIF" and find_spec("pillow_heif") is None:
        raise OutputError(NEEDS_HEIF)
    if format in ("AVIF", "WEBP") and not features.check(format.lower()):
        raise OutputError(f"{format} cannot be written here (this Pillow was built without it): choose PNG")
    if max(photo.pixels.shape) > codec.longest_side:
        raise OutputError(f"{format} holds at most {codec.longest_side} pixels a side: choose PNG or TIFF")
    if photo.alpha is not None and not codec.alpha and photo.alpha.min() < 255:
        able = ", ".join(other for other, codec in _CODECS.items() if codec.alpha)
        raise OutputError(f"{format} cannot hold the transparency of this photo: choose one of {able}")


def _with_alpha(pixels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8] | None, name: str) -> npt.NDArray[np.uint8]:
    """(H, W, 4) when there is transparency to keep; an opaque alpha may go where the format has none."""
    return np.dstack([pixels, alpha]) if alpha is not None and _CODECS[name].alpha else pixels


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


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Whether a file may be written at a path, before any work for it is done.

    Raises:
        OutputError: the path exists and `overwrite` is off, it is a folder, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist: create it first, or choose another")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: add a file name to it")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def write_atomic(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a file that appears whole or not at all, with the permissions of any new file (the umask decides).

    Raises:
        OutputError: the path exists and `overwrite` is off, its folder is missing, or the system refuses the write.
    """
    check_target(path, overwrite=overwrite)  # the link below settles races
    draft = path.parent / f".anti-i2v-{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(draft, path)
        else:
            _claim(draft, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    finally:
        with suppress(OSError):  # the replaced draft is gone already; one that cannot be removed hides no better error
            draft.unlink()


def _claim(draft: Path, path: Path) -> None:
    """Give the draft its name unless something has that name already, with no moment in between.

    Raises:
        FileExistsError: somebody else was first.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here (FAT, some network drives): reserve the name, then fill it
        path.open("xb").close()
        try:
            os.replace(draft, path)
        except OSError:
            path.unlink()
            raise


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} exists: choose another name or pass --overwrite")
