"""The interface of a surrogate: an encoder, or a whole video model with a denoiser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import nn

from anti_i2v.surrogates.info import Normalisation, RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["DenoiserInputs", "Features", "Surrogate", "SurrogateInfo"]

Features = Mapping[str, Feature]
"""Hook point -> feature. "latent" is always present."""

DenoiserInputs = Mapping[str, torch.Tensor]
"""A sample of each of a surrogate's `random_inputs`, its `context`, and the `precompute` result; empty for encoders."""


class Surrogate(nn.Module, ABC):
    """A frozen, differentiable part of an image-to-video model. It normalises pixels itself.

    Attributes:
        info: name, source, hash and licence.
        multiple: both sides of the pixels must be multiples of it.
        decodes: whether `decode` works.
        denoises: whether it has a denoiser, which the collapse and denoising terms need.
        normalisation: mean and deviation that `normalised` applies.
        latent_scale: factor from the autoencoder's own latents to the latents of `features`.
        random_inputs: inputs sampled anew for each step (a denoiser's timestep and noise), by name.
        context: inputs that are the same for every photo and step (a prompt's embedding), by name.
    """

    info: SurrogateInfo
    multiple: int
    decodes: ClassVar[bool] = False
    denoises: ClassVar[bool] = False
    normalisation: ClassVar[Normalisation] = Normalisation()
    latent_scale: float = 1.0
    random_inputs: Mapping[str, RandomInput] = {}
    context: Mapping[str, torch.Tensor] = {}

    def normalised(self, pixels: Pixels) -> torch.Tensor:
        """Scale pixels in [0, 1] to the range that the network expects."""
        known = self.normalisation
        mean, deviation = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (known.mean, known.deviation))
        return (pixels - mean) / deviation

    def precompute(self, clean: Pixels, *, seed: int = 0, on_step: Callable[[], None] | None = None) -> DenoiserInputs:
        """Compute the inputs of `features` that depend on the clean photo only, such as a reference video.

        Args:
            seed: seed of any noise that this needs.
            on_step: called repeatedly in long work; an exception from it ends the work.
        """
        return {}

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        """List the (late, early) hook points that the collapse term pulls together; only denoisers have any."""
        return ()

    def resolve_layers(self, layer: str) -> tuple[str, ...]:
        """List the hook points of a recipe's layer name, such as "late"."""
        return (layer,)

    @abstractmethod
    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        """Compute the features at the hook points, (B, ...) each, for pixels in [0, 1]."""

    def decode(self, latent: Feature) -> Pixels:
        """Decode a latent to pixels, about [0, 1] and not clamped, which would stop gradients. Needs `decodes`."""
        raise TypeError(f"{self.info.name} has no decoder")  # a programming error: check `decodes` first
