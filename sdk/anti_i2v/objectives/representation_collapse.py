"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["RepresentationCollapse"]


@final
class RepresentationCollapse(Objective):
    """Internal representation collapse (Anti-I2V's IRC): late features of the denoiser fall back onto early ones.

    Each pair's squared distance is divided by the clean photo's own: 1 at the clean photo, 0 where the late block says
    what the early one said. Where widths or sizes differ (U-Nets), both are pooled to the smaller of each.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        features = surrogate.features(clean, draw)
        return {f"scale.{late}": _apart(features, late, early) for late, early in _pairs(surrogate)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        terms = [
            _apart(features, late, early) / bound[f"scale.{late}"].clamp_min(1e-12) for late, early in _pairs(surrogate)
        ]
        return torch.stack(terms).mean(0)


def _pairs(surrogate: Surrogate) -> tuple[tuple[str, str], ...]:
    pairs = surrogate.collapse_pairs()
    if not pairs:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to collapse: choose a recipe for encoders")
    return pairs


def _apart(features: Features, late: str, early: str) -> PerImage:
    one, other = features[late], features[early]
    if one.shape != other.shape:
        sides = [min(pair) for pair in zip(one.shape[1:], other.shape[1:], strict=True)]
        one, other = _pooled(one, sides), _pooled(other, sides)
    apart: PerImage = mean_square(one - other)
    return apart


def _pooled(feature: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """The means over equal parts, on every axis but the photos'."""
    for axis, side in enumerate(sides, start=1):
        if feature.shape[axis] != side:
            moved = feature.movedim(axis, -1)
            flat = torch.nn.functional.adaptive_avg_pool1d(moved.flatten(1, -2), side)
            feature = flat.reshape(*moved.shape[:-1], side).movedim(-1, axis)
    return feature
