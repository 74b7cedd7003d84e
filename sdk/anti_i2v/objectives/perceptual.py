"""Perceptual terms: the decoder's error, and the auxiliary distances of Anti-I2V (L_aux: LPIPS and CLIP)."""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.latents import mean_square
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import SHIFT_FLOOR, BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["ClipDistance", "DecoderDistance", "LpipsDistance"]


@final
class DecoderDistance(Objective):
    """Minus the log error of the decoded photo, and optionally minus its LPIPS.

    Costs about twice as much as `LatentShift` and is closer to what a person sees. Needs a surrogate with a decoder.

    Args:
        lpips: adds the perceptual term.
        lpips_weight: how much one LPIPS unit counts, relative to a factor of e in the error.
    """

    def __init__(self, lpips: Lpips | None = None, lpips_weight: float = 4.0) -> None:
        self.lpips, self.lpips_weight = lpips, lpips_weight

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"decoded": surrogate.decode(surrogate.features(clean, inputs)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        decoded, expected = surrogate.decode(features["latent"]), bound["decoded"]
        loss = -0.5 * torch.log(mean_square(decoded - expected) + SHIFT_FLOOR**2)
        if self.lpips is None:
            return loss
        distance: PerImage = self.lpips(decoded, expected)
        return loss - self.lpips_weight * distance


@final
class LpipsDistance(Objective):
    """Minus LPIPS between the candidate and the clean photo.

    Does not depend on the surrogate: add it with a small weight to an objective that does.
    """

    def __init__(self, lpips: Lpips) -> None:
        self.lpips = lpips

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"clean": clean}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        distance: PerImage = self.lpips(features["pixels"], bound["clean"])
        return -distance


@final
class ClipDistance(Objective):
    """The cosine similarity of the candidate's and the clean photo's CLIP embeddings, minus one.

    Does not depend on the surrogate, as `LpipsDistance`.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        return {"clean": self.clip(clean)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        similarity: PerImage = torch.nn.functional.cosine_similarity(self.clip(features["pixels"]), bound["clean"])
        return similarity - 1
