"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import Bound, Objective
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["ScoreDistillation"]


@final
class ScoreDistillation(Objective):
    """Score distillation on the photo's latent (Xue et al., ICLR 2024, arXiv 2311.12832): the denoiser's error is
    pushed down without the denoiser's Jacobian.

    There an image model denoises the photo's own latent. Here the photo is a condition, which the gradient would reach
    through that very Jacobian alone. So what is noised is the photo's latent as a video that stands still, whatever the
    reference; the photo is the condition as well, without a gradient. With z(t) that noisy video, the gradient is
    (prediction - target) dz(t)/dlatent, as if the prediction were constant: no backward pass through the denoiser.
    Whether a denoiser predicts noise or velocity scales the bracket by a positive number that depends on the noise
    level alone, which the signs of one draw do not see.

    The value is the squared error itself, beside the clean photo's: 1 at the clean photo. A positive weight descends,
    the paper's SDS(-), which it recommends and which blurs; a negative one ascends, its SDS(+).
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        _denoiser_of(surrogate)
        given = {f"draw.{name}": value for name, value in (draw or {}).items() if name != "reference"}
        _, error = _distilled(surrogate, surrogate.features(clean)["latent"], clean, given)
        return given | {"scale": mean_square(error)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        scale = bound["scale"].clamp_min(1e-12)
        noisy, error = _distilled(surrogate, features["latent"], features["pixels"], bound)
        pull = (error * noisy).flatten(1).mean(1) / scale
        value: PerImage = mean_square(error) / scale
        return value + pull - pull.detach()


def _denoiser_of(surrogate: Surrogate) -> Backbone:
    if not isinstance(surrogate, Backbone):
        raise RecipeError(f"{surrogate.info.name} has no denoiser to distil: choose a recipe for encoders")
    return surrogate


def _distilled(
    surrogate: Surrogate, latent: torch.Tensor, pixels: Pixels, bound: Bound
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noisy still video of a latent, with its gradient, and the denoiser's error about it, without."""
    backbone = _denoiser_of(surrogate)
    draw = {name.removeprefix("draw."): value for name, value in bound.items() if name.startswith("draw.")}
    noisy, target = backbone.add_noise(backbone.static_video(latent), draw)
    with torch.no_grad(), backbone.without_hooks():
        condition, told = backbone.encode_condition(pixels.detach(), draw)
        error = backbone.denoise(noisy.detach(), condition, pixels.detach(), told).to(latent.dtype) - target.detach()
    # A first frame that is the photo itself, which no noise reaches, has no error.
    return noisy[:, :, 1:] if backbone.in_place else noisy, error
