"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.latents import mean_square
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import SHIFT_FLOOR, Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["ClipDistance", "DecoderError", "LpipsDistance"]


@final
class DecoderError(Objective):
    """What the surrogate's own decoder loses: minus the log error of the decoded photo, and minus its LPIPS.

    Twice the cost of a displacement, and nearer to what a person sees. Needs a surrogate that decodes.

    Args:
        lpips: adds the perceptual term where weights are at hand.
        lpips_weight: how much one LPIPS unit counts beside a factor of e in the error.
    """

    def __init__(self, lpips: Lpips | None = None, lpips_weight: float = 4.0) -> None:
        self.lpips, self.lpips_weight = lpips, lpips_weight

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"decoded": surrogate.decode(surrogate.features(clean, draw)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        decoded, expected = surrogate.decode(features["latent"]), bound["decoded"]
        loss = -0.5 * torch.log(mean_square(decoded - expected) + SHIFT_FLOOR**2)
        if self.lpips is None:
            return loss
        seen: PerImage = self.lpips(decoded, expected)
        return loss - self.lpips_weight * seen


@final
class LpipsDistance(Objective):
    """The auxiliary term: minus LPIPS between the candidate itself and the clean photo (method: L_aux).

    It does not look at the surrogate; add it with a small weight beside an objective that does.
    """

    def __init__(self, lpips: Lpips) -> None:
        self.lpips = lpips

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"clean": clean}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        seen: PerImage = self.lpips(features["pixels"], bound["clean"])
        return -seen


@final
class ClipDistance(Objective):
    """The auxiliary term on CLIP (method: L_aux): minus one, plus the cosine of the candidate's embedding to the clean
    photo's. Like `Auxiliary` it does not look at the surrogate.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        return {"clean": self.clip(clean)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        likeness: PerImage = torch.nn.functional.cosine_similarity(self.clip(features["pixels"]), bound["clean"])
        return likeness - 1
