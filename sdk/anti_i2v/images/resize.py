"""Resizing: to the working size of the models, and with a Lanczos filter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from anti_i2v.arrays import Rgb8

__all__ = ["resize_lanczos", "resize_to_working", "working_size"]


def working_size(height: int, width: int, short_side: int, multiple: int) -> tuple[int, int]:
    """Return the (height, width) that models receive: never above the photo's own, sides multiples of `multiple`."""
    scale = min(1.0, short_side / min(height, width))
    rows, columns = (max(multiple, int(side * scale + 0.5) // multiple * multiple) for side in (height, width))
    return rows, columns


def resize_to_working(pixels: Rgb8, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Scale to `size` = (height, width), antialiased, as (1, 3, height, width) in [0, 1]."""
    rows, columns = size
    photo = Image.fromarray(pixels)
    if photo.size != (columns, rows):
        photo = photo.resize((columns, rows), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(photo, dtype=np.float32).transpose(2, 0, 1)[None] / np.float32(255)


def resize_lanczos(pixels: Rgb8, height: int, width: int) -> Rgb8:
    """Resize (H, W, 3) with a Lanczos filter; sides are at least 1 pixel."""
    size = (max(1, width), max(1, height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
