"""Random controls at the victims' size: perturbations without intent that a protection is compared with.

They are drawn on the crop that victims animate and scaled up into the photo, because per-pixel noise would vanish when
the photo is scaled down. Degradations can then be applied to the whole photo, as to the protected one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.evaluation.crops import Square, crop_square
from anti_i2v.metrics.random_controls import paste_perturbation, random_levels, random_psnr

__all__ = ["control_of_levels", "control_of_psnr"]

GAIN_STEPS = 8
"""Corrections of the strength that scaling to the photo's size and back changes."""


def control_of_psnr(clean: Rgb8, protected: Rgb8, square: Square, side: int, seed: int) -> Rgb8:
    """Return the clean photo with a random perturbation that has the protection's PSNR in the crop."""
    crops = crop_square(clean, square, side), crop_square(protected, square, side)
    return _draw_on_crop(clean, square, side, lambda crop: random_psnr(crop, crops[1], seed), _power(*crops))


def control_of_levels(clean: Rgb8, levels: int, square: Square, side: int, seed: int) -> Rgb8:
    """Return the clean photo with every value of the crop moved up or down by `levels`, at most 127."""
    return _draw_on_crop(clean, square, side, lambda crop: random_levels(crop, min(levels, 127), seed))


def _draw_on_crop(
    clean: Rgb8, square: Square, side: int, draw: Callable[[Rgb8], Rgb8], power: float | None = None
) -> Rgb8:
    """Return the photo with a perturbation that is drawn on its crop and scaled up.

    Args:
        draw: crop -> perturbed crop.
        power: mean square in levels that the perturbation must have in the crop; None accepts the one that
            scaling leaves.
    """
    crop = crop_square(clean, square, side)
    delta = draw(crop).astype(np.int16) - crop
    place = square.slices(clean)
    found, gain = paste_perturbation(clean, place, delta), 1.0
    if not power or square.side == side:
        return found
    for _ in range(GAIN_STEPS):
        gain *= math.sqrt(power / max(_power(crop, crop_square(found, square, side)), 1e-6))
        found = paste_perturbation(clean, place, delta, gain)
    return found


def _power(first: Rgb8, second: Rgb8) -> float:
    return float(np.square(first.astype(np.float64) - second).mean())
