"""Score distillation on the photo's latent (SDS; Xue et al., ICLR 2024, arXiv 2311.12832)."""

from __future__ import annotations

from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["ScoreDistillation"]


@final
class ScoreDistillation(Objective):
    """The denoiser's error on the noised photo, minimised without the denoiser's Jacobian.

    The paper's image model denoises the photo's own latent. In a video model the photo is a condition, which a gradient
    reaches only through that Jacobian. So the latent of a static video of the photo is noised instead, whatever the
    reference video; the photo is the condition too, without a gradient. With the noisy video z(t), the gradient is
    (prediction - target) dz(t)/dlatent, as if the prediction were constant: no backward pass through the denoiser.
    Predicting velocity instead of noise scales the bracket by a positive number that depends only on the noise level,
    which does not change the signs of one sample.

    The value is the squared error, divided by the clean photo's: 1 at the clean photo. A positive weight descends
    (SDS(-), which the paper recommends, and which blurs), a negative one ascends (SDS(+)).
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        _require_backbone(surrogate)
        given = {f"draw.{name}": value for name, value in (inputs or {}).items() if name != "reference"}
        _, error = _noise_and_denoise(surrogate, surrogate.features(clean)["latent"], clean, given)
        return given | {"scale": mean_square(error)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        scale = bound["scale"].clamp_min(1e-12)
        noisy, error = _noise_and_denoise(surrogate, features["latent"], features["pixels"], bound)
        surrogate_loss = (error * noisy).flatten(1).mean(1) / scale  # carries the gradient, adds nothing to the value
        value: PerImage = mean_square(error) / scale
        return value + surrogate_loss - surrogate_loss.detach()


def _require_backbone(surrogate: Surrogate) -> Backbone:
    if not isinstance(surrogate, Backbone):
        raise RecipeError(f"{surrogate.info.name} has no denoiser to distil: choose a recipe for encoders")
    return surrogate


def _noise_and_denoise(
    surrogate: Surrogate, latent: torch.Tensor, pixels: Pixels, bound: BoundValues
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the noisy static video of a latent, with its gradient, and the denoiser's error on it, without one."""
    backbone = _require_backbone(surrogate)
    inputs = {name.removeprefix("draw."): value for name, value in bound.items() if name.startswith("draw.")}
    noisy, target = backbone.add_noise(backbone.static_video(latent), inputs)
    with torch.no_grad(), backbone.without_hooks():
        condition, conditioning = backbone.encode_condition(pixels.detach(), inputs)
        error = backbone.denoise(noisy.detach(), condition, pixels.detach(), conditioning).to(latent.dtype)
        error = error - target.detach()
    # A first frame that is the photo itself receives no noise and has no error.
    return noisy[:, :, 1:] if backbone.replaces_first_frame else noisy, error
