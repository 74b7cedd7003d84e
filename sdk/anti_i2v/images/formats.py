"""Pixels to a file: the codecs, what metadata may travel along, and a write that is whole or not at all.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped;
with `keep_metadata` an allow-list of EXIF tags stays: what made the photo (camera, lens, exposure, date) and whose it
is (artist, copyright). Never kept: GPS, maker notes, serial numbers, the owner's name, unique ids, time zones,
free-text comments, XMP, IPTC, and embedded previews, which would show the unprotected photo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anti_i2v.errors import OutputError

__all__ = ["CODECS", "FORMATS", "NEEDS_HEIF", "format_of", "sniff_format"]

NEEDS_HEIF = 'HEIC photos need another package: run  pip install "anti-i2v-sdk[heif]"'


@dataclass(frozen=True)
class Codec:
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
CODECS = {
    "JPEG": Codec(
        (".jpg", ".jpeg", ".jpe", ".jfif"), 65_500, 95, alpha=False, options={"subsampling": "4:4:4", "optimize": True}
    ),
    "PNG": Codec((".png",), 2**31 - 1),
    "WEBP": Codec((".webp",), 16_383, 95, options={"method": 4, "exact": True}),
    "AVIF": Codec((".avif",), 65_536, 90, options={"subsampling": "4:4:4", "speed": 9}),
    "TIFF": Codec((".tif", ".tiff"), 2**31 - 1, options={"compression": "tiff_adobe_deflate"}),
    "BMP": Codec((".bmp",), 2**31 - 1, alpha=False, exif=False),
    "HEIF": Codec(
        (".heic", ".heif", ".hif"), 16_384, 90, options={"chroma": 444, "enc_params": {"preset": "ultrafast"}}
    ),
}

FORMATS = tuple(CODECS)
"""The names of the formats that are read and written, as Pillow spells them."""

_SUFFIXES = {suffix: name for name, codec in CODECS.items() for suffix in codec.suffixes}


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


_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"8BPS": "a Photoshop document",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\0\0\1\0": "an icon",
    b"FUJIFILMCCD-RAW": "a camera's raw file",
    b"IIRO": "a camera's raw file",
    b"IIU\0": "a camera's raw file",
}


def sniff_format(data: bytes) -> str | None:
    """One of `FORMATS`, or what else a file is ("a GIF"), or None, by its first bytes."""
    if data[4:8] == b"ftyp":
        return _kind_of_container(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if b"<svg" in data[:1024]:
        return "an SVG drawing"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def _kind_of_container(data: bytes) -> str:
    """AVIF, HEIC, raw files and videos share one container; its brands tell them apart (ISO/IEC 14496-12)."""
    end = min(int.from_bytes(data[:4]), 256)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}:
        return "HEIF"
    return "a camera's raw file" if b"crx " in brands else "a video"
