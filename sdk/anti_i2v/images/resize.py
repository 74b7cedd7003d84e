"""Between a photo's own size and the size at which models work.

A perturbation is made at the model's resolution and scaled up to the photo, because a model scales the photo down
before it looks. Bilinear upscaling never overshoots the budget (bicubic does, by up to 1.8 times); rounding to uint8 is
followed by a clamp on the integers, so that the promise holds for what is saved.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from anti_i2v.arrays import Rgb8

__all__ = ["resize_lanczos", "resize_to_working", "working_size"]


def working_size(height: int, width: int, short_side: int, multiple: int) -> tuple[int, int]:
    """The (height, width) at which a photo is worked on: never above its own, sides multiples of `multiple`."""
    scale = min(1.0, short_side / min(height, width))
    rows, columns = (max(multiple, int(side * scale + 0.5) // multiple * multiple) for side in (height, width))
    return rows, columns


def resize_to_working(pixels: Rgb8, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Scaled to `size` = (height, width), antialiased, as (1, 3, height, width) in [0, 1]."""
    rows, columns = size
    photo = Image.fromarray(pixels)
    if photo.size != (columns, rows):
        photo = photo.resize((columns, rows), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(photo, dtype=np.float32).transpose(2, 0, 1)[None] / np.float32(255)


def resize_lanczos(pixels: Rgb8, height: int, width: int) -> Rgb8:
    """Resize (H, W, 3) with a Lanczos filter; no side falls below 1 pixel."""
    size = (max(1, width), max(1, height))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
