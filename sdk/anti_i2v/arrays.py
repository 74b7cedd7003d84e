"""Numpy array types. `tensors` has those of torch, which is imported only there."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Matrix", "PixelArray", "Plane", "Rgb8", "Video8", "Window"]

Rgb8: TypeAlias = NDArray[np.uint8]
"""An upright sRGB photo, (H, W, 3) in 0..255."""

Video8: TypeAlias = NDArray[np.uint8]
"""sRGB frames, (F, H, W, 3) in 0..255."""

PixelArray: TypeAlias = NDArray[np.float32]
"""sRGB photos, (B, 3, H, W) in [0, 1]."""

Plane: TypeAlias = NDArray[np.float32]
"""One channel, (H, W)."""

Matrix: TypeAlias = NDArray[np.float32]
"""A linear map of rows or columns, (n, m)."""

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of a crop."""
