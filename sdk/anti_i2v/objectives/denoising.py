"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import SHIFT_FLOOR, Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["DenoisingError"]


@final
class DenoisingError(Objective):
    """The denoiser's own training loss with the photo as condition, maximised (Anti-I2V's DM; AdvDM, Liang 2023).

    Minus the log of the error's root mean square beside the clean photo's, with the same noise and timestep: 0 at the
    clean photo.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"scale": _misprediction(surrogate, surrogate.features(clean, draw))}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        return -0.5 * torch.log(_misprediction(surrogate, features) / bound["scale"].clamp_min(1e-12) + SHIFT_FLOOR**2)


def _misprediction(surrogate: Surrogate, features: Features) -> PerImage:
    if "prediction" not in features:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to mislead: choose a recipe for encoders")
    error: PerImage = mean_square(features["prediction"] - features["target"])
    return error
