"""Untargeted shift of an encoder's latent (the encoder attack of PhotoGuard, Salman et al. 2023, without a target)."""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.metrics.latents import squared_shift
from anti_i2v.objectives.base import SHIFT_FLOOR, BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["LatentShift"]


@final
class LatentShift(Objective):
    """Minus the log of a feature's shift, relative to the clean photo's feature.

    The logarithm gives robust and sensitive surrogates equal weight. The gradient is zero at the clean photo itself:
    start from a draft or a random perturbation.

    Args:
        layer: hook point of the feature.
    """

    def __init__(self, layer: str = "latent") -> None:
        self.layer = layer

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"clean": surrogate.features(clean, inputs)[self.layer]}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        ratio = squared_shift(features[self.layer], bound["clean"])
        return -0.5 * torch.log(ratio + SHIFT_FLOOR)
