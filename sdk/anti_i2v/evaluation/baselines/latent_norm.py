"""The latent's norm, minimised (DCT-Shield, arXiv 2504.17894, and PhotoGuard's published code)."""

from __future__ import annotations

from typing import final

from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["LatentNorm"]


@final
class LatentNorm(Objective):
    """The latent's mean square, divided by the clean photo's: 1 at the clean photo, 0 for a latent of zeros."""

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"scale": mean_square(surrogate.features(clean, inputs)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        norm: PerImage = mean_square(features["latent"]) / bound["scale"].clamp_min(1e-12)
        return norm
