"""The student: a small encoder that imitates the latents of several real ones, trained by this project.

sdk/training/student.py trains it; data/student.json holds its measured error.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import final

import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional as F

from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate, SurrogateInfo
from anti_i2v.surrogates.info import STUDENT
from anti_i2v.tensors import Pixels

__all__ = ["HEADS", "Student", "load_student"]

HEADS = {"taesd": 4, "taesdxl": 4, "taef1": 16}
"""Teacher -> channels of its latent."""

WIDTHS = (16, 32, 64, 96)
"""Channels at full, half, quarter and eighth resolution."""


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        # SiLU, not ReLU: training matches gradients, so they must be smooth.
        return F.silu(feature + self.second(F.silu(self.first(feature))))


@final
class Student(Surrogate):
    """Predicts each teacher's latent as "latent.taesd" and so on, and all of them as "latent".

    It has a stem at full resolution, as its teachers have, then three halvings, and 0.6 million parameters.
    """

    def __init__(self, fingerprint: str = "untrained") -> None:
        super().__init__()
        self.info = SurrogateInfo(
            name=STUDENT, kind="Student", source=STUDENT, fingerprint=fingerprint, licence="Apache-2.0"
        )
        self.multiple = 8
        layers: list[nn.Module] = [nn.Conv2d(3, WIDTHS[0], 3, padding=1), nn.SiLU()]
        for index, width in enumerate(WIDTHS):
            if index:
                layers.append(nn.Conv2d(WIDTHS[index - 1], width, 3, stride=2, padding=1))
            layers += [_Residual(width) for _ in range(1 if index == 0 else 2)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(WIDTHS[-1], sum(HEADS.values()), 3, padding=1)

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        latent = self.head(self.trunk(self.normalised(pixels).contiguous(memory_format=torch.channels_last)))
        parts = latent.split(list(HEADS.values()), dim=1)
        return {"latent": latent} | {f"latent.{name}": part for name, part in zip(HEADS, parts, strict=True)}


def load_student(device: str | torch.device = "cpu") -> Student:
    """Load the trained student that the package ships."""
    data = resources.files("anti_i2v").joinpath("data/student.safetensors").read_bytes()
    # The file is ours and never re-encoded, so a hash of its bytes is enough.
    student = Student(hashlib.sha256(data).hexdigest())
    student.load_state_dict({name: value.float() for name, value in load(data).items()})
    student.eval().requires_grad_(False).to(device)
    # channels_last is faster on a CPU. torch's type information lacks it for modules.
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return student
