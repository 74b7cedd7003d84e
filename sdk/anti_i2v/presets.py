"""What happens to a photo once it is posted: models of platforms, and the checks that a receipt runs.

Everything here is on uint8 pixels and with the true JPEG codec, so that it measures; what the optimiser meets is in
`transforms`. All functions work at any size: full-size photos and
working-resolution pixels (256 to 512 px), which most platforms' size limits then leave alone.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Callable, Mapping
from importlib import resources
from math import sqrt
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError

__all__ = ["CHECKS", "PRESETS", "Check", "Preset", "deliver", "jpeg", "jpeg_with_tables", "preset"]


Check: TypeAlias = Callable[[Rgb8], Rgb8]
Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
Quality: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100)]
Subsampling: TypeAlias = Literal["4:2:0", "4:4:4"]

INCOMING_QUALITY = 95
"""JPEG quality that a posted photo is taken to have: the pixels no longer tell."""


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of one platform: what it shrinks, and how it encodes.

    Attributes:
        long_edge: pixels of the longer side that a photo is shrunk to, where it is larger.
        max_pixels: height times width that a photo is shrunk to, where it is larger.
        quality: of the JPEG that comes out (libjpeg's scale); None where photos are not re-encoded unless they shrink.
        only_above_quality: photos of at most this quality are not re-encoded unless they shrink.
        subsampling: of the chroma.
        max_bytes: of the file; the quality is walked down until it fits.
        confidence, source: how far to trust this entry, and who says so.
    """

    name: str
    label: str
    long_edge: Positive | None = None
    max_pixels: Positive | None = None
    quality: Quality | None = None
    only_above_quality: Quality | None = None
    subsampling: Subsampling = "4:2:0"
    max_bytes: Positive | None = None
    confidence: str
    source: str

    @property
    def reencodes(self) -> bool:
        """Whether a photo that need not shrink is encoded again."""
        return self.quality is not None and (self.only_above_quality or 0) < INCOMING_QUALITY


def _load() -> dict[str, Preset]:
    text = resources.files("anti_i2v").joinpath("data", "presets.toml").read_text(encoding="utf-8")
    tables = msgspec.toml.decode(text, type=dict[str, dict[str, object]])
    return {name: msgspec.convert({"name": name, **table}, Preset) for name, table in tables.items()}


PRESETS: Mapping[str, Preset] = MappingProxyType(_load())


def preset(name: str) -> Preset:
    """One of PRESETS. Raises RecipeError for another name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise RecipeError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}") from None


def deliver(pixels: Rgb8, preset: Preset) -> Rgb8:
    """The pixels that a viewer gets after the platform: shrunk where too large, through the JPEG codec, decoded.

    The incoming photo is taken to be a JPEG of INCOMING_QUALITY, so a platform that only re-encodes above 85 does
    re-encode. Returns `pixels` itself where the platform leaves the photo alone. The size may differ from the input's.
    """
    small = _shrink(pixels, preset)
    if small is pixels and not preset.reencodes:
        return pixels
    return _decode(_encode_to_fit(small, preset))


def jpeg(pixels: Rgb8, quality: int, subsampling: Subsampling = "4:2:0") -> Rgb8:
    """Through libjpeg and back, in memory."""
    return _decode(_encode(pixels, quality, subsampling))


def jpeg_with_tables(pixels: Rgb8, quality: int) -> tuple[Rgb8, NDArray[np.float32]]:
    """Through libjpeg with 4:2:0 chroma and back, and the (2, 8, 8) quantisation steps of luma and chroma."""
    with Image.open(io.BytesIO(_encode(pixels, quality, "4:2:0"))) as image:
        tables = getattr(image, "quantization")  # noqa: B009  # of JPEG images alone, which the type does not know
        steps = np.array([tables[index] for index in (0, 1)], np.float32).reshape(2, 8, 8)
        return np.array(image.convert("RGB")), steps


def _shrink(pixels: Rgb8, preset: Preset) -> Rgb8:
    height, width = pixels.shape[:2]
    scale = 1.0
    if preset.long_edge is not None:
        scale = min(scale, preset.long_edge / max(height, width))
    if preset.max_pixels is not None:
        scale = min(scale, sqrt(preset.max_pixels / (height * width)))
    # Rounded down (but for float dust), so that neither limit is exceeded.
    return _resize(pixels, int(height * scale + 1e-6), int(width * scale + 1e-6)) if scale < 1 else pixels


def _resize(pixels: Rgb8, height: int, width: int) -> Rgb8:
    size = (max(1, width), max(1, height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _encode(pixels: Rgb8, quality: int, subsampling: Subsampling) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def _encode_to_fit(pixels: Rgb8, preset: Preset) -> bytes:
    """At the preset's quality, or the best below it that fits `max_bytes` (quality 1 where none does)."""
    highest, limit = preset.quality or INCOMING_QUALITY, preset.max_bytes
    data = _encode(pixels, highest, preset.subsampling)
    if limit is None or len(data) <= limit:
        return data
    # File size grows with quality, so halving finds the best one in about seven encodings.
    fitting = bisect_right(
        range(1, highest), limit, key=lambda quality: len(_encode(pixels, quality, preset.subsampling))
    )
    return _encode(pixels, max(1, fitting), preset.subsampling)


def _decode(data: bytes) -> Rgb8:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def _half_size(pixels: Rgb8) -> Rgb8:
    """Half of each side and back, LANCZOS both ways: what a thumbnail that is enlarged again has lost."""
    height, width = pixels.shape[:2]
    return _resize(_resize(pixels, height // 2, width // 2), height, width)


_TAPS = np.exp(-0.5 * np.arange(-4, 5, dtype=np.float32) ** 2)
_TAPS /= _TAPS.sum()


def _blur(pixels: Rgb8) -> Rgb8:
    """Gaussian of sigma 1 pixel, cut at 4 sigma, edges replicated.

    By hand, for Pillow's GaussianBlur is a box approximation that is up to 7 levels off at this sigma.
    """
    blurred = np.empty_like(pixels)
    for channel in range(3):  # one at a time: a 64-megapixel photo as float costs 256 MB a channel
        plane = pixels[..., channel].astype(np.float32)
        blurred[..., channel] = np.rint(_blur_down(_blur_down(plane).T).T)
    return blurred


def _blur_down(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(plane, ((4, 4), (0, 0)), mode="edge")
    blurred = np.zeros_like(plane)
    for offset, tap in enumerate(_TAPS):
        blurred += tap * padded[offset : offset + len(plane)]
    return blurred


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "as is": lambda pixels: pixels,
        "jpeg75": lambda pixels: jpeg(pixels, 75),
        "half size": _half_size,
        "blur": _blur,
    }
)
"""What a receipt does to clean and protected alike, by plain name, each returning the same size.

"as is": nothing. "jpeg75": the true JPEG codec, quality 75, 4:2:0. "half size": LANCZOS to half of each side and
back. "blur": Gaussian, sigma 1 pixel at the size given.
"""
