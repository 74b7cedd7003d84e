"""Distances of latents, for torch tensors (differentiable) and numpy arrays alike."""

from __future__ import annotations

from typing import Any

__all__ = ["mean_square", "relative_shift", "squared_shift"]


def mean_square(feature: Any) -> Any:
    """Average the squares over every axis but the batch: (B, ...) -> (B,)."""
    return (feature * feature).reshape(feature.shape[0], -1).mean(1)


def relative_shift(feature: Any, clean: Any) -> Any:
    """Return the root mean square change, divided by the clean feature's standard deviation: (B,).

    The deviation is around each photo's own mean, so that an offset in the latents does not hide a shift.
    """
    return squared_shift(feature, clean) ** 0.5


def squared_shift(feature: Any, clean: Any) -> Any:
    """Return the square of `relative_shift`."""
    mean = clean.reshape(clean.shape[0], -1).mean(1)
    spread = clean - mean.reshape(-1, *[1] * (clean.ndim - 1))
    return mean_square(feature - clean) / mean_square(spread).clip(1e-12)
