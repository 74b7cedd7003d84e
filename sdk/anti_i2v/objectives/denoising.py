"""The denoiser's training loss, maximised (DM in Anti-I2V; AdvDM, Liang et al. 2023)."""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import SHIFT_FLOOR, BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["DenoisingLoss"]


@final
class DenoisingLoss(Objective):
    """Minus the log of the denoiser's root mean square error with the photo as condition.

    The error is divided by the clean photo's, with the same noise and timestep: 0 at the clean photo.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"scale": _squared_error(surrogate, surrogate.features(clean, inputs))}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        return -0.5 * torch.log(_squared_error(surrogate, features) / bound["scale"].clamp_min(1e-12) + SHIFT_FLOOR**2)


def _squared_error(surrogate: Surrogate, features: Features) -> PerImage:
    if "prediction" not in features:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to mislead: choose a recipe for encoders")
    error: PerImage = mean_square(features["prediction"] - features["target"])
    return error
