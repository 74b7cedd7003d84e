"""Degradations after which a receipt measures the remaining latent shift.

They work on uint8 pixels of any size and use the true JPEG codec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.images.jpeg import jpeg_round_trip
from anti_i2v.images.resize import resize_lanczos

__all__ = ["SURVIVAL_CHECKS", "Degradation"]

Degradation: TypeAlias = Callable[[Rgb8], Rgb8]


def _half_size(pixels: Rgb8) -> Rgb8:
    height, width = pixels.shape[:2]
    return resize_lanczos(resize_lanczos(pixels, height // 2, width // 2), height, width)


def _blur(pixels: Rgb8) -> Rgb8:
    from scipy.ndimage import gaussian_filter  # Pillow's GaussianBlur is up to 7 levels off at this sigma

    blurred = np.empty_like(pixels)
    for channel in range(3):  # one at a time: a 64-megapixel photo takes 256 MB a channel in floating point
        plane = pixels[..., channel].astype(np.float32)
        blurred[..., channel] = np.rint(gaussian_filter(plane, 1, mode="nearest", truncate=4))
    return blurred


SURVIVAL_CHECKS: Mapping[str, Degradation] = MappingProxyType(
    {
        "as is": lambda pixels: pixels,
        "jpeg75": lambda pixels: jpeg_round_trip(pixels, 75),
        "half size": _half_size,
        "blur": _blur,
    }
)
"""Name -> degradation that a receipt applies to clean and protected photos alike; each keeps the size.

"as is": none. "jpeg75": JPEG of quality 75, 4:2:0. "half size": Lanczos to half of each side and back. "blur": Gaussian
of sigma 1 pixel, edges replicated.
"""
