"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.latents import mean_square
from anti_i2v.objectives.base import Bound, Objective
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["RepresentationAnchor"]


@final
class RepresentationAnchor(Objective):
    """Internal representation anchor on encoder layers (Anti-I2V's IRA): the features of an unrelated target attract.

    Each layer's squared distance to the target is divided by the clean photo's own: 1 at the clean photo, 0 at the
    target.

    Args:
        target: the unrelated photo, (1, 3, h, w) in [0, 1]; it is scaled to the photo's size.
        layers: hook points; the loss is their mean.
    """

    def __init__(self, target: Pixels, layers: Sequence[str] = ("latent",)) -> None:
        if not layers:
            raise RecipeError("an anchor needs at least one layer")
        self.target, self.layers = target, tuple(layers)

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        target = self.target.to(clean)
        if target.shape[-2:] != clean.shape[-2:]:
            target = torch.nn.functional.interpolate(target, clean.shape[-2:], mode="bilinear", antialias=True)
        target = target.expand_as(clean)
        targets, cleans = surrogate.features(target, draw), surrogate.features(clean, draw)
        layers = self._layers_of(surrogate)
        bound = {f"target.{layer}": targets[layer] for layer in layers}
        return bound | {f"scale.{layer}": mean_square(cleans[layer] - targets[layer]) for layer in layers}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        terms = [
            mean_square(features[layer] - bound[f"target.{layer}"]) / bound[f"scale.{layer}"].clamp_min(1e-12)
            for layer in self._layers_of(surrogate)
        ]
        return torch.stack(terms).mean(0)

    def _layers_of(self, surrogate: Surrogate) -> list[str]:
        return [name for layer in self.layers for name in surrogate.resolve_layers(layer)]
