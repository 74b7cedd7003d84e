"""What happens to a photo once it is posted: models of platforms, and the checks that a receipt runs.

Everything here is on uint8 pixels and with the true JPEG codec, so that it measures; what the optimiser meets is in
`transforms`. All functions work at any size: full-size photos and
working-resolution pixels (256 to 512 px), which most platforms' size limits then leave alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8
from anti_i2v.images.jpeg import jpeg_round_trip
from anti_i2v.images.resize import resize_lanczos

__all__ = ["SURVIVAL_CHECKS", "Degradation"]

Degradation: TypeAlias = Callable[[Rgb8], Rgb8]


def _half_size(pixels: Rgb8) -> Rgb8:
    """Half of each side and back, LANCZOS both ways: what a thumbnail that is enlarged again has lost."""
    height, width = pixels.shape[:2]
    return resize_lanczos(resize_lanczos(pixels, height // 2, width // 2), height, width)


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


SURVIVAL_CHECKS: Mapping[str, Degradation] = MappingProxyType(
    {
        "as is": lambda pixels: pixels,
        "jpeg75": lambda pixels: jpeg_round_trip(pixels, 75),
        "half size": _half_size,
        "blur": _blur,
    }
)
"""What a receipt does to clean and protected alike, by plain name, each returning the same size.

"as is": nothing. "jpeg75": the true JPEG codec, quality 75, 4:2:0. "half size": LANCZOS to half of each side and
back. "blur": Gaussian, sigma 1 pixel at the size given.
"""
