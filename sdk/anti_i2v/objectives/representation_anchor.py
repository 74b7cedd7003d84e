"""Internal representation anchor (IRA in Anti-I2V): pulls internal features to those of an unrelated target image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["RepresentationAnchor"]


@final
class RepresentationAnchor(Objective):
    """Mean squared distance to the target's features, averaged over layers of the encoder and the denoiser.

    Each layer's distance is divided by the clean photo's own: 1 at the clean photo, 0 at the target. The paper leaves
    the target and the weights of the layers open: recipes name the target, and all layers weigh the same.

    Args:
        target: the unrelated image, (1 or B, 3, h, w) in [0, 1]; it is scaled to the photo's size.
        layers: hook points.

    Raises:
        RecipeError: no layer.
    """

    def __init__(self, target: Pixels, layers: Sequence[str] = ("latent",)) -> None:
        if not layers:
            raise RecipeError("an anchor needs at least one layer")
        self.target, self.layers = target, tuple(layers)

    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        target = self.target.to(clean)
        if target.shape[-2:] != clean.shape[-2:]:
            target = torch.nn.functional.interpolate(target, clean.shape[-2:], mode="bilinear", antialias=True)
        target = target.expand_as(clean)
        target_features, clean_features = surrogate.features(target, inputs), surrogate.features(clean, inputs)
        layers = self._resolve_layers(surrogate)
        bound = {f"target.{layer}": target_features[layer] for layer in layers}
        return bound | {
            f"scale.{layer}": mean_square(clean_features[layer] - target_features[layer]) for layer in layers
        }

    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        terms = [
            mean_square(features[layer] - bound[f"target.{layer}"]) / bound[f"scale.{layer}"].clamp_min(1e-12)
            for layer in self._resolve_layers(surrogate)
        ]
        return torch.stack(terms).mean(0)

    def _resolve_layers(self, surrogate: Surrogate) -> list[str]:
        return [name for layer in self.layers for name in surrogate.resolve_layers(layer)]
