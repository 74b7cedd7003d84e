"""Projection onto the L-infinity ball and the valid range (PGD, Madry et al. 2018)."""

from __future__ import annotations

import torch

from anti_i2v.tensors import Budget, Pixels

__all__ = ["project"]


def project(candidate: Pixels, clean: Pixels, budget: Budget) -> Pixels:
    """Return the nearest pixels within `budget` of the clean photo, and within [0, 1]."""
    return torch.minimum(torch.maximum(candidate, clean - budget), clean + budget).clamp(0, 1)
