"""Presets: simulations of the size limit and JPEG of each upload platform, with the true JPEG codec on uint8 pixels.

`optim.transforms` has their differentiable counterparts. Most size limits leave photos of working size (256 to 512
pixels) as they are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from importlib import resources
from math import sqrt
from types import MappingProxyType
from typing import Annotated, TypeAlias

import msgspec

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError
from anti_i2v.images.jpeg import Subsampling, decode_jpeg, encode_jpeg
from anti_i2v.images.resize import resize_lanczos

__all__ = ["PRESETS", "Preset", "get_preset", "simulate_platform"]

Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]

Quality: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=100)]

INCOMING_QUALITY = 95
"""Assumed JPEG quality of an uploaded photo; its decoded pixels do not show it."""


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of one platform: its size limits and its encoding.

    Attributes:
        long_edge: limit of the longer side in pixels; larger photos are shrunk to it.
        max_pixels: limit of height times width; larger photos are shrunk to it.
        quality: quality of the delivered JPEG (libjpeg's scale); None: photos are re-encoded only when they shrink.
        only_above_quality: photos of at most this quality are re-encoded only when they shrink.
        subsampling: chroma subsampling.
        max_bytes: limit of the file; the quality is lowered until the file fits.
        confidence, source: how reliable this entry is, and where it comes from.
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
        """Whether a photo within the size limits is encoded again."""
        return self.quality is not None and (self.only_above_quality or 0) < INCOMING_QUALITY


def _load() -> dict[str, Preset]:
    text = resources.files("anti_i2v").joinpath("data", "presets.toml").read_text(encoding="utf-8")
    tables = msgspec.toml.decode(text, type=dict[str, dict[str, object]])
    return {name: msgspec.convert({"name": name, **table}, Preset) for name, table in tables.items()}


PRESETS: Mapping[str, Preset] = MappingProxyType(_load())


def get_preset(name: str) -> Preset:
    """Return one of `PRESETS` by name. Raises RecipeError for an unknown name."""
    try:
        return PRESETS[name]
    except KeyError:
        raise RecipeError(f"unknown preset {name!r}: choose from {', '.join(PRESETS)}") from None


def simulate_platform(pixels: Rgb8, preset: Preset) -> Rgb8:
    """Return the pixels that a viewer of the platform gets: shrunk to its limits, encoded as JPEG and decoded.

    The photo is assumed to be a JPEG of `INCOMING_QUALITY`, so a platform that re-encodes only above 85 does re-encode
    it. Returns `pixels` itself if the platform changes nothing. The size may differ from the input's.
    """
    small = _shrink(pixels, preset)
    if small is pixels and not preset.reencodes:
        return pixels
    return decode_jpeg(_encode_to_fit(small, preset))


def _shrink(pixels: Rgb8, preset: Preset) -> Rgb8:
    height, width = pixels.shape[:2]
    scale = 1.0
    if preset.long_edge is not None:
        scale = min(scale, preset.long_edge / max(height, width))
    if preset.max_pixels is not None:
        scale = min(scale, sqrt(preset.max_pixels / (height * width)))
    # Rounded down, except for floating-point error, so that neither limit is exceeded.
    return resize_lanczos(pixels, int(height * scale + 1e-6), int(width * scale + 1e-6)) if scale < 1 else pixels


def _encode_to_fit(pixels: Rgb8, preset: Preset) -> bytes:
    """Encode at the preset's quality, or the best below it that fits `max_bytes` (quality 1 if none does)."""
    highest, limit = preset.quality or INCOMING_QUALITY, preset.max_bytes
    data = encode_jpeg(pixels, highest, preset.subsampling)
    if limit is None or len(data) <= limit:
        return data
    # File size grows with quality, so bisection finds the best one in about seven encodings.
    fitting = bisect_right(
        range(1, highest), limit, key=lambda quality: len(encode_jpeg(pixels, quality, preset.subsampling))
    )
    return encode_jpeg(pixels, max(1, fitting), preset.subsampling)
