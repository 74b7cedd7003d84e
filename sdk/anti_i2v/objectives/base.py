"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["SHIFT_FLOOR", "Bound", "Objective"]

Bound = Mapping[str, torch.Tensor]

SHIFT_FLOOR = 1e-3
"""Keeps the logarithms finite at the clean photo."""


class Objective(ABC):
    """Binds to clean photos, then judges features."""

    @abstractmethod
    def bind(self, surrogate: Surrogate, clean: Pixels, draw: DenoiserInputs | None = None) -> Bound:
        """Everything that does not change while candidates do."""

    @abstractmethod
    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        """The loss of each photo; lower is better for the protector."""
