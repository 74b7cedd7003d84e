"""The interface of an objective.

An objective is bound once to a clean photo, so that constant work stays out of the loop, and is then called on the
features of each candidate. Every term is dimensionless: surrogates of different latent scales can be added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["SHIFT_FLOOR", "BoundValues", "Objective"]

BoundValues = Mapping[str, torch.Tensor]
"""Values that an objective computed from the clean photo, by name."""

SHIFT_FLOOR = 1e-3
"""Keeps the logarithms finite at the clean photo."""


class Objective(ABC):
    """A loss term, one number a photo."""

    @abstractmethod
    def bind(self, surrogate: Surrogate, clean: Pixels, inputs: DenoiserInputs | None = None) -> BoundValues:
        """Compute the values that are the same for every candidate of a clean photo."""

    @abstractmethod
    def __call__(self, surrogate: Surrogate, features: Features, bound: BoundValues) -> PerImage:
        """Return the loss of each photo; lower is better for the protector."""
