"""Internal representation collapse (IRC in Anti-I2V): pulls late features of the denoiser back to early ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["RepresentationCollapse"]


@final
class RepresentationCollapse(Objective):
    """Mean squared distance between late and early features of the denoiser, averaged over the late layers.

    Each pair's distance is divided by the clean photo's own: 1 at the clean photo, 0 where the features are equal.
    Where their shapes differ (U-Nets), both are average-pooled to the smaller size; the paper leaves this open.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        features = surrogate.features(clean, inputs)
        return {f"scale.{late}": _squared_distance(features, late, early) for late, early in _pairs(surrogate)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        terms = [
            _squared_distance(features, late, early) / bound[f"scale.{late}"].clamp_min(1e-12)
            for late, early in _pairs(surrogate)
        ]
        return torch.stack(terms).mean(0)


def _pairs(surrogate: Surrogate) -> tuple[tuple[str, str], ...]:
    pairs = surrogate.collapse_pairs()
    if not pairs:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to collapse: choose a recipe for encoders")
    return pairs


def _squared_distance(features: Features, late: str, early: str) -> PerImage:
    one, other = features[late], features[early]
    if one.shape != other.shape:
        sides = [min(pair) for pair in zip(one.shape[1:], other.shape[1:], strict=True)]
        one, other = _average_pool(one, sides), _average_pool(other, sides)
    distance: PerImage = mean_square(one - other)
    return distance


def _average_pool(feature: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """Pool every axis but the batch's to the given sizes."""
    for axis, side in enumerate(sides, start=1):
        if feature.shape[axis] != side:
            last = feature.movedim(axis, -1)
            pooled = torch.nn.functional.adaptive_avg_pool1d(last.flatten(1, -2), side)
            feature = pooled.reshape(*last.shape[:-1], side).movedim(-1, axis)
    return feature
