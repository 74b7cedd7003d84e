"""A small video model that sees a large photo through random square windows.

A model that was trained on small clips cannot read a photo of 1000 pixels, and people crop to the person before they
animate a photo. Each step therefore shows the model another square of the photo, from the model's own side up to the
photo's short side, downscaled by area averaging.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

import torch

from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.surrogates.info import RandomInput
from anti_i2v.tensors import Feature, Pixels

__all__ = ["FRAMES", "SIDE", "Windowed", "window"]

SIDE = 256
"""Side of a window in pixels: twice the side of the training clips, as at evaluation. At 128 the same steps transferred
less to other models, and were more visible in smooth areas (docs/evidence.md)."""

FRAMES = 2
"""Latent frames of the video. With all eight of the training clips, steps took longer and achieved no more."""

PLACE, CLEAN = "place", "clean"


def window(pixels: Pixels, place: torch.Tensor, side: int = SIDE) -> Pixels:
    """Cut one square out of each photo and downscale it by area averaging: (B, 3, side, side).

    Args:
        pixels: (B, 3, H, W).
        place: (B, 3) in [0, 1]: the square's size, from `side` (or a smaller photo's short side) to the short side, and
            its position down and right. A photo of `side` x `side` is returned unchanged.
    """
    # Computed from ranges, not read from the shape: a traced graph runs on photos of any size.
    down, across = (
        torch.arange(length, device=place.device, dtype=place.dtype) for length in (pixels.shape[-2], pixels.shape[-1])
    )
    height, width = down[-1] + 1, across[-1] + 1
    short = torch.minimum(height, width)
    least = short.clamp_max(side)
    size = least + place[:, 0] * (short - least)
    rows = _averaging_weights(place[:, 1] * (height - size), size, down, side)
    columns = _averaging_weights(place[:, 2] * (width - size), size, across, side)
    seen: Pixels = rows[:, None] @ pixels @ columns[:, None].mT
    return seen


def _averaging_weights(start: torch.Tensor, size: torch.Tensor, pixel: torch.Tensor, side: int) -> torch.Tensor:
    """Compute the weight of each photo pixel in each window pixel along one axis, (B, side, length)."""
    part = (size / side).view(-1, 1, 1)
    steps = torch.arange(side, device=start.device, dtype=start.dtype).view(1, -1, 1)
    begins = start.view(-1, 1, 1) + steps * part
    shared = torch.minimum(begins + part, pixel + 1) - torch.maximum(begins, pixel)
    return shared.clamp_min(0) / part


@final
class Windowed(Surrogate):
    """A video model of `side` pixels as a surrogate for photos of any size. Its features are those of one window.

    The reference video is the clean photo's window, standing still. On photos of `side` x `side` it equals the model.

    Args:
        side: side of a window in pixels.
    """

    decodes: ClassVar[bool] = True
    denoises: ClassVar[bool] = True

    def __init__(self, model: Backbone, side: int = SIDE) -> None:
        super().__init__()
        self.model, self.side = model, side
        self.info, self.multiple = model.info, model.multiple
        self.context, self.latent_scale = model.context, model.latent_scale
        inner = {name: random.for_size(side, side) for name, random in model.random_inputs.items()}
        self.random_inputs = {**inner, PLACE: RandomInput(kind="uniform", shape=("B", 3))}

    def precompute(self, clean: Pixels, *, seed: int = 0, on_step: Callable[[], None] | None = None) -> DenoiserInputs:
        return {CLEAN: clean}

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        return self.model.collapse_pairs()

    def resolve_layers(self, layer: str) -> tuple[str, ...]:
        return self.model.resolve_layers(layer)

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        if inputs is None:
            middle = pixels.new_tensor([[1.0, 0.5, 0.5]]).expand(pixels.shape[0], -1)
            return self.model.features(window(pixels, middle, self.side))
        place = inputs[PLACE].to(pixels)
        seen = window(pixels, place, self.side)
        with torch.no_grad():
            clean = window(inputs[CLEAN].to(pixels), place, self.side)
            reference = self.model.static_video(self.model.encode(clean))
        return self.model.features(seen, {**inputs, "reference": reference})

    def decode(self, latent: Feature) -> Pixels:
        return self.model.decode(latent)
