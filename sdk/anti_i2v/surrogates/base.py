"""What the optimiser asks of a surrogate: an encoder today, a denoiser with its hook points by the same interface."""

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
"""Hook point -> feature. "latent" is always among them; normalisation happens inside the surrogate."""

DenoiserInputs = Mapping[str, torch.Tensor]
"""One draw of each of a surrogate's `draws`, its `context`, and what it `settle`d; empty for encoders."""


class Surrogate(nn.Module, ABC):
    """A frozen, differentiable part of an image-to-video model.

    Attributes:
        info: name, source, hash and licence.
        multiple: both sides of the pixels are multiples of it.
        decodes: whether `decode` works.
        denoises: whether it has a denoiser, whose features and predictions the collapse and denoising terms look at.
        normalisation: what `normalised` does.
        latent_scale: factor between the autoencoder's own latents and the latents that `features` gives.
        draws: what is drawn anew for each step (a denoiser: timestep, noise), by name.
        context: what stays the same for every photo and step (a prompt's embedding), by name.
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
        """Pixels in [0, 1] as the network expects them."""
        known = self.normalisation
        mean, deviation = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (known.mean, known.deviation))
        return (pixels - mean) / deviation

    def precompute(self, clean: Pixels, *, seed: int = 0, on_step: Callable[[], None] | None = None) -> DenoiserInputs:
        """What is computed once a clean photo and given to every call of `features` beside the draw.

        Args:
            seed: of what is drawn for it.
            on_step: called now and then where this takes long; what it raises ends the work.
        """
        return {}

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        """The (late, early) hook points that collapse onto each other; none but in denoisers."""
        return ()

    def resolve_layers(self, layer: str) -> tuple[str, ...]:
        """The hook points that a recipe's name of a layer stands for."""
        return (layer,)

    @abstractmethod
    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        """Features at the hook points, (B, ...) each, for pixels in [0, 1]."""

    def decode(self, latent: Feature) -> Pixels:
        """Pixels of a latent, about [0, 1], unclamped so that gradients live. Only where `decodes`."""
        raise TypeError(f"{self.info.name} has no decoder")  # a programming error: `decodes` says so beforehand
