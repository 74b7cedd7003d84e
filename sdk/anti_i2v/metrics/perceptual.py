"""LPIPS (Zhang et al. 2018), version 0.1 with AlexNet, from one safetensors file.

Differentiable: both a metric and the auxiliary objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import LPIPS_WEIGHTS
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["Lpips"]

_CONVOLUTIONS = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))
"""AlexNet's five convolutions: (stride, padding)."""

_POOLED = {1, 2}
"""Convolutions after a 3x3 max pooling of stride 2."""


@final
class Lpips(nn.Module):
    """Perceptual distance of two batches, one number per photo, 0 for equal photos.

    Args:
        weights: `features.i.weight|bias` (AlexNet) and `heads.i.weight` (LPIPS v0.1).
    """

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        try:
            self.convolutions = nn.ParameterList([weights[f"features.{i}.weight"].float() for i in range(5)])
            self.biases = nn.ParameterList([weights[f"features.{i}.bias"].float() for i in range(5)])
            self.heads = nn.ParameterList([weights[f"heads.{k}.weight"].float().reshape(1, -1, 1, 1) for k in range(5)])
        except KeyError as missing:
            raise SurrogateError(f"not an LPIPS AlexNet file: it has no {missing}") from None
        self.requires_grad_(False)
        # LPIPS's own scaling layer: ImageNet statistics on the [-1, 1] scale.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load a safetensors file. Raises SurrogateError if it is missing or holds something else."""
        if not path.is_file():
            raise SurrogateError(f"no LPIPS weights at {path}: point ANTI_I2V_HOME at a folder with {LPIPS_WEIGHTS}")
        try:
            weights = load_file(path)
        except SafetensorError:
            raise SurrogateError(f"{path} is not a safetensors file: download it again") from None
        return cls(weights)

    def _features(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        current, features = (pixels * 2 - 1 - self.shift) / self.scale, []
        for index, (stride, padding) in enumerate(_CONVOLUTIONS):
            if index in _POOLED:
                current = F.max_pool2d(current, 3, 2)
            current = F.relu(F.conv2d(current, self.convolutions[index], self.biases[index], stride, padding))
            features.append(current)
        return features

    def forward(self, first: Pixels, second: Pixels) -> PerImage:
        """Return the LPIPS of two batches of one size in [0, 1], sides at least 32 pixels."""
        total = first.new_zeros(first.shape[0])
        for one, other, head in zip(self._features(first), self._features(second), self.heads, strict=True):
            total = total + (head * (_unit(one) - _unit(other)).square()).sum(1).mean((1, 2))
        return total


def _unit(features: torch.Tensor) -> torch.Tensor:
    # vector_norm: the gradient of sqrt(sum of squares) is NaN where every channel is zero.
    norm: torch.Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    # clamp_min instead of LPIPS's "+ 1e-10": onnxscript drops so small an addend, and flat areas would become 0 / 0.
    return features / norm.clamp_min(1e-10)
