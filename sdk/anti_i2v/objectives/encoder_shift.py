"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.metrics.latents import squared_shift
from anti_i2v.objectives.base import SHIFT_FLOOR, Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["LatentShift"]


@final
class LatentShift(Objective):
    """Untargeted displacement of a feature (PhotoGuard's encoder attack, untargeted): minus the log relative shift.

    The logarithm gives surrogates that hardly budge the same say as those that budge easily. The gradient is zero at
    the clean photo itself: start from a draft or a random perturbation.
    """

    def __init__(self, layer: str = "latent") -> None:
        self.layer = layer

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"clean": surrogate.features(clean, draw)[self.layer]}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        ratio = squared_shift(features[self.layer], bound["clean"])
        return -0.5 * torch.log(ratio + SHIFT_FLOOR)
