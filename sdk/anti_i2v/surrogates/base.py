"""What the optimiser asks of a surrogate: an encoder today, a denoiser with its hook points by the same interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import msgspec
import torch
from torch import nn

from anti_i2v._types import Feature, Pixels

__all__ = ["Draw", "Features", "Surrogate", "SurrogateInfo"]

Features = Mapping[str, Feature]
"""Hook point -> feature. "latent" is always among them; normalisation happens inside the surrogate."""

Draw = Mapping[str, torch.Tensor]
"""What a surrogate draws anew for each step (a denoiser: timestep, noise); empty for encoders."""


class SurrogateInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a surrogate comes from: what a receipt says of it.

    Attributes:
        name: as in `anti-i2v surrogates list`, or the folder's name.
        kind: the class that reads it.
        source: hub repository, folder name or "embedded".
        fingerprint: SHA-256 over its weights' values (see `fingerprint`).
        licence: of the weights.
    """

    name: str
    kind: str
    source: str
    fingerprint: str
    licence: str


class Surrogate(nn.Module, ABC):
    """A frozen, differentiable part of an image-to-video model.

    Attributes:
        info: name, source, hash and licence.
        multiple: both sides of the pixels are multiples of it.
        decodes: whether `decode` works.
    """

    info: SurrogateInfo
    multiple: int
    decodes: ClassVar[bool] = False

    def draw(self, clean: Pixels, generator: torch.Generator) -> Draw:
        """Fresh randomness for one step, the same for all candidates that are to be compared."""
        return {}

    @abstractmethod
    def features(self, pixels: Pixels, draw: Draw | None = None) -> Features:
        """Features at the hook points, (B, ...) each, for pixels in [0, 1]."""

    def decode(self, latent: Feature) -> Pixels:
        """Pixels of a latent, about [0, 1], unclamped so that gradients live. Only where `decodes`."""
        raise TypeError(f"{self.info.name} has no decoder")  # a programming error: `decodes` says so beforehand
