"""Perceptual mask: contrast masking (Legge and Foley 1980) decides how much budget each pixel may use.

Texture hides changes; smooth skin, sky and flat cloth show them. The weight is the local contrast of the luma, in
[floor, 1]. It only lowers the budget, so the L-infinity bound still holds.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from anti_i2v.tensors import Budget, Pixels

__all__ = ["initial_candidate", "texture_mask"]

LUMA = (0.299, 0.587, 0.114)
"""Rec. 601, as in JPEG."""

FULL_CONTRAST = 0.05
"""Local standard deviation of the luma, in [0, 1], from which the whole budget may be used."""

WINDOW = 9
"""Side in pixels of the window of local contrast, and of the minimum filter that avoids halos at edges."""


def initial_candidate(
    clean: Pixels, pattern: Pixels, budget: float | torch.Tensor, floor: float | torch.Tensor
) -> tuple[Pixels, Budget]:
    """Return the first candidate and the radius of each pixel. For recipes without steps the candidate is the result.

    Args:
        pattern: in [-1, 1], of the photos' shape: see `initialisation.initial_pattern`.
        budget: in units of the [0, 1] range.
        floor: share of the budget that flat areas may use.

    Returns:
        The candidate, (B, 3, H, W), and the radius, (B, 1, H, W).
    """
    radius = budget * texture_mask(clean, floor)
    return (clean + radius * pattern).clamp(0, 1), radius


def texture_mask(clean: Pixels, floor: float | torch.Tensor) -> Budget:
    """Return the mask, (B, 1, H, W) in [floor, 1]: 1 on texture, `floor` on flat areas.

    An edge between two flat areas is not texture: the lowest contrast around a pixel counts, then it is smoothed.
    """
    luma = (clean * clean.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    mean = _box_filter(luma)
    contrast = (_box_filter(luma.square()) - mean.square()).clamp_min(0).sqrt()
    eroded = -F.max_pool2d(-contrast, WINDOW, 1, WINDOW // 2)
    share = (_box_filter(eroded) / FULL_CONTRAST).clamp(0, 1)
    return floor + (1 - floor) * share


def _box_filter(plane: torch.Tensor) -> torch.Tensor:
    padded = F.pad(plane, [WINDOW // 2] * 4, mode="reflect")
    return F.avg_pool2d(padded, WINDOW, 1)
