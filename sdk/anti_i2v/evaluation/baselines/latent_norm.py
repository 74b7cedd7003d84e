"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from typing import final

from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["LatentNorm"]


@final
class LatentNorm(Objective):
    """The latent's norm, minimised (DCT-Shield's loss; PhotoGuard's published code), beside the clean photo's own.

    1 at the clean photo, 0 where the latent says nothing.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"scale": mean_square(surrogate.features(clean, draw)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        norm: PerImage = mean_square(features["latent"]) / bound["scale"].clamp_min(1e-12)
        return norm
