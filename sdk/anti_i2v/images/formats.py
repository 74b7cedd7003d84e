"""File formats that the SDK reads and writes: their capabilities, their names, and how to recognise them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from anti_i2v.errors import OutputError

__all__ = ["FORMATS", "NEEDS_HEIF", "Format", "format_of", "sniff_format"]

NEEDS_HEIF = 'HEIC photos need another package: run  pip install "anti-i2v-sdk[heif]"'


@dataclass(frozen=True, kw_only=True)
class Format:
    """The capabilities of a format, and how this SDK writes it.

    Attributes:
        suffixes: suffixes of file names, in lower case.
        media_types: the standard one first, then others that clients send.
        signatures: first bytes of a file. WebP, AVIF and HEIF have none; see `sniff_format`.
        max_side: in pixels.
        quality: default quality; None for a format that is only lossless.
        alpha, exif: whether files can hold them.
        options: options of Pillow's encoder.
    """

    suffixes: tuple[str, ...]
    media_types: tuple[str, ...]
    signatures: tuple[bytes, ...] = ()
    max_side: int
    quality: int | None = None
    alpha: bool = True
    exif: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def media_type(self) -> str:
        """The standard media type."""
        return self.media_types[0]


# Chroma stays at full resolution where the codec allows it: 4:2:0 would average the colour perturbation away.
# Lossy WebP has only 4:2:0; its quality 100 is therefore written lossless. `exact` keeps the colour under transparent
# pixels, which the WebP encoder would otherwise blacken.
# AVIF and HEIF use fast settings, which take a sixth to a tenth of the time: photos are about an eighth larger at the
# same quality (12 to 13 % where it was measured), synthetic pictures 56 to 92 %.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "JPEG": Format(
            suffixes=(".jpg", ".jpeg", ".jpe", ".jfif"),
            media_types=("image/jpeg", "image/jpg", "image/pjpeg"),
            signatures=(b"\xff\xd8\xff",),
            max_side=65_500,
            quality=95,
            alpha=False,
            options={"subsampling": "4:4:4", "optimize": True},
        ),
        "PNG": Format(
            suffixes=(".png",), media_types=("image/png",), signatures=(b"\x89PNG\r\n\x1a\n",), max_side=2**31 - 1
        ),
        "WEBP": Format(
            suffixes=(".webp",),
            media_types=("image/webp",),
            max_side=16_383,
            quality=95,
            options={"method": 4, "exact": True},
        ),
        "AVIF": Format(
            suffixes=(".avif",),
            media_types=("image/avif",),
            max_side=65_536,
            quality=90,
            options={"subsampling": "4:4:4", "speed": 9},
        ),
        "TIFF": Format(
            suffixes=(".tif", ".tiff"),
            media_types=("image/tiff",),
            signatures=(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
            max_side=2**31 - 1,
            options={"compression": "tiff_adobe_deflate"},
        ),
        "BMP": Format(
            suffixes=(".bmp",),
            media_types=("image/bmp", "image/x-ms-bmp"),
            signatures=(b"BM",),
            max_side=2**31 - 1,
            alpha=False,
            exif=False,
        ),
        "HEIF": Format(
            suffixes=(".heic", ".heif", ".hif"),
            media_types=("image/heif", "image/heic"),
            max_side=16_384,
            quality=90,
            options={"chroma": 444, "enc_params": {"preset": "ultrafast"}},
        ),
    }
)
"""Name, as Pillow spells it -> format."""

_SUFFIXES = {suffix: name for name, format in FORMATS.items() for suffix in format.suffixes}


def format_of(path: Path) -> str:
    """Return the format that a file name's suffix stands for.

    Raises:
        OutputError: the suffix is missing or unknown.
    """
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        known = ", ".join(_SUFFIXES)
        raise OutputError(f"{path.name} does not say which format to write: end its name in one of {known}") from None


_OTHER_SIGNATURES = {
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
_SIGNATURES = {
    signature: name for name, format in FORMATS.items() for signature in format.signatures
} | _OTHER_SIGNATURES


def sniff_format(data: bytes) -> str | None:
    """Recognise a file by its first bytes: a key of `FORMATS`, another kind of file ("a GIF"), or None."""
    if data[4:8] == b"ftyp":
        return _sniff_container(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if b"<svg" in data[:1024]:
        return "an SVG drawing"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def _sniff_container(data: bytes) -> str:
    """Tell AVIF, HEIC, raw files and videos apart by the brands of their common container (ISO/IEC 14496-12)."""
    end = min(int.from_bytes(data[:4]), 256)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}:
        return "HEIF"
    return "a camera's raw file" if b"crx " in brands else "a video"
