"""How far a latent moved. One definition for torch tensors, which it differentiates, and for numpy arrays."""

from __future__ import annotations

from typing import Any

__all__ = ["mean_square", "relative_shift", "squared_shift"]


def mean_square(feature: Any) -> Any:
    """Mean of squares over everything but the batch: (B, ...) -> (B,)."""
    return (feature * feature).reshape(feature.shape[0], -1).mean(1)


def relative_shift(feature: Any, clean: Any) -> Any:
    """Root mean square change, relative to the clean feature's own spread (0: nothing moved, 1: as far as it is wide).

    The spread is taken around the mean of each photo's feature, so that an offset in the latents does not hide a shift.
    """
    return squared_shift(feature, clean) ** 0.5


def squared_shift(feature: Any, clean: Any) -> Any:
    """The square of `relative_shift`."""
    mean = clean.reshape(clean.shape[0], -1).mean(1)
    spread = clean - mean.reshape(-1, *[1] * (clean.ndim - 1))
    return mean_square(feature - clean) / mean_square(spread).clip(1e-12)
