"""Adding a perturbation to a photo at full size, and the check of its budget.

A perturbation is made at the model's resolution and scaled up to the photo, because a model scales the photo down
first. Bilinear upscaling never exceeds the budget (bicubic does, by up to 1.8 times); after rounding to uint8 the
integers are clamped, so that the saved pixels keep it too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import BudgetError

__all__ = ["add_delta", "check_budget"]

STRIP = 256
"""Rows per pass: a 12-megapixel photo needs no second copy in floating point."""


def add_delta(clean: Rgb8, delta: npt.NDArray[np.float32], budget: int) -> Rgb8:
    """Return the protected photo at full size.

    Args:
        clean: (H, W, 3).
        delta: (3, h, w) in units of the [0, 1] range, at the working size.
        budget: levels; no value of the result differs by more.
    """
    height, width = clean.shape[:2]
    planes = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR)) for plane in delta * 255
    ]
    protected = np.empty_like(clean)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        for channel, plane in enumerate(planes):
            levels = np.rint(plane[rows]).clip(-budget, budget).astype(np.int16)
            levels += clean[rows, :, channel]
            protected[rows, :, channel] = levels.clip(0, 255)
    return protected


def check_budget(clean: Rgb8, protected: Rgb8, budget: int) -> int:
    """Return the largest difference in levels between the uint8 pixels.

    Raises:
        BudgetError: it exceeds the budget. The photo must not be saved then.
    """
    spent = 0
    for top in range(0, clean.shape[0], STRIP):
        rows = slice(top, top + STRIP)
        spent = max(spent, int(np.abs(protected[rows].astype(np.int16) - clean[rows]).max()))
    if spent > budget:
        raise BudgetError(f"the protected photo differs by {spent} levels, its budget is {budget}: please report this")
    return spent
