"""Trained purifiers: a denoiser and an upscaler that an adversary could use to remove a perturbation.

Both are small and trained by this project (sdk/training/purifiers.py, a few minutes on a CPU); common ones are larger
and remove more. Imports torch, so `degradations` imports this module only where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any, TypeVar, cast, final

import numpy as np
import torch
from safetensors.torch import load
from torch import nn
from torch.nn import functional as F

from anti_i2v.arrays import Rgb8
from anti_i2v.tensors import Pixels

__all__ = [
    "MAX_NOISE_LEVEL",
    "NOISE_LEVEL",
    "Denoiser",
    "Upscaler",
    "apply_in_tiles",
    "denoise",
    "load_denoiser",
    "load_upscaler",
    "upscale",
]


MAX_NOISE_LEVEL = 25.0
"""The strongest noise that the denoiser was trained on, a standard deviation in levels."""

NOISE_LEVEL = 8.0
"""Noise level that `denoise` assumes: the highest at which the output is no farther from the clean photo than the
protected input (`draft` and `balanced`, three development photos). It retains 34 to 53 % of the perturbation's energy,
and 9 to 13 % of a shuffled one's. Level 6 retains 41 to 61 % and comes nearest to the clean photos."""

WIDTH = 48
TILE = 256
"""Pixels of a tile's side without margins: a network then needs a few tens of megabytes for any photo."""


class _Block(nn.Module):
    """A residual block of two convolutions (EDSR: Lim et al., CVPRW 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return feature + cast(torch.Tensor, self.second(F.relu(self.first(feature))))


def _stack(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """Build a stack of `layers` 3 x 3 convolutions, an even number, whose output is 0 before training."""
    first, last = nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, outputs, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast(torch.Tensor, last.bias))
    return nn.Sequential(first, *[_Block() for _ in range(layers // 2 - 1)], last)


@final
class Denoiser(nn.Module):
    """A small denoiser of FFDNet's design (Zhang, Zuo and Zhang, TIP 2018), with the noise level as an input.

    Its input is four half-size images and a noise map, its output the noise, as in DnCNN (Zhang et al., TIP 2017). Ten
    layers of 48 channels, where the paper's colour net has twelve of 96. Residual blocks replace normalisation: a plain
    stack hardly learned in as many steps.
    """

    LAYERS = 10
    MARGIN = 2 * LAYERS
    """Pixels of the receptive field to each side."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = _stack(13, 12, self.LAYERS)

    def forward(self, noisy: Pixels, level: torch.Tensor) -> torch.Tensor:
        """Remove noise of standard deviation `level`, (B,) in the pixels' units. Sides must be even; not clamped."""
        level = level.view(-1, 1, 1, 1)
        halves = F.pixel_unshuffle(noisy - 0.5, 2)
        noise_map = (level * (255 / MAX_NOISE_LEVEL)).expand(-1, 1, *halves.shape[-2:])
        noise: torch.Tensor = self.stack(
            torch.cat([halves, noise_map], 1).contiguous(memory_format=torch.channels_last)
        )
        return noisy - F.pixel_shuffle(noise.float(), 2)


@final
class Upscaler(nn.Module):
    """A small 2x upscaler by sub-pixel convolution (ESPCN: Shi et al., CVPR 2016).

    Eight layers of 48 channels, in the denoiser's blocks, predict the residual to bicubic enlargement (as in VDSR: Kim,
    Lee and Lee, CVPR 2016).
    """

    LAYERS = 8
    MARGIN = LAYERS
    """Pixels of the small photo in the receptive field to each side."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = _stack(3, 12, self.LAYERS)

    def forward(self, pixels: Pixels) -> torch.Tensor:
        """Double the size; not clamped."""
        detail: torch.Tensor = self.stack((pixels - 0.5).contiguous(memory_format=torch.channels_last))
        enlarged = F.interpolate(pixels, scale_factor=2, mode="bicubic", align_corners=False)
        return enlarged + F.pixel_shuffle(detail.float(), 2)


Network = TypeVar("Network", Denoiser, Upscaler)


@cache
def load_denoiser() -> Denoiser:
    """Load the packaged denoiser."""
    return _load_weights(Denoiser(), "denoiser")


@cache
def load_upscaler() -> Upscaler:
    """Load the packaged upscaler."""
    return _load_weights(Upscaler(), "upscaler")


def _load_weights(network: Network, name: str) -> Network:
    data = resources.files("anti_i2v").joinpath(f"data/purifiers/{name}.safetensors").read_bytes()
    network.load_state_dict({key: value.float() for key, value in load(data).items()})
    network.eval().requires_grad_(False)
    # channels_last is faster on a CPU; torch's type information lacks it for modules.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def denoise(photo: Rgb8, levels: float = NOISE_LEVEL) -> Rgb8:
    """Denoise a photo, assuming noise of standard deviation `levels`.

    Raises:
        ValueError: `levels` lies outside 0..MAX_NOISE_LEVEL.
    """
    if not 0 <= levels <= MAX_NOISE_LEVEL:
        raise ValueError(f"levels must be 0..{MAX_NOISE_LEVEL:.0f}, got {levels}")
    network, level = load_denoiser(), torch.tensor([levels / 255])
    return apply_in_tiles(photo, lambda pixels: network(pixels, level), network.MARGIN, 1)


def upscale(photo: Rgb8) -> Rgb8:
    """Double the size of a photo: (H, W, 3) -> (2 H, 2 W, 3)."""
    network = load_upscaler()
    return apply_in_tiles(photo, network, network.MARGIN, 2)


def apply_in_tiles(photo: Rgb8, network: Callable[[torch.Tensor], Any], margin: int, scale: int) -> Rgb8:
    """Apply a network tile by tile, with the result of applying it to the whole photo with mirrored edges.

    Each tile has `margin` extra pixels on every side, the receptive field, so no seams show.
    """
    height, width = photo.shape[:2]
    even = (height % 2, width % 2)  # the denoiser needs even sides
    mirrored = np.pad(photo, ((margin, margin + even[0]), (margin, margin + even[1]), (0, 0)), "symmetric")
    found = np.empty((scale * height, scale * width, 3), np.uint8)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            cut = mirrored[top : top + TILE + 2 * margin, left : left + TILE + 2 * margin]
            given = torch.from_numpy(cut.copy()).permute(2, 0, 1)[None].float().div(255)
            with torch.inference_mode():
                made = network(given)[0].mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
            room = found[scale * top : scale * (top + TILE), scale * left : scale * (left + TILE)]
            inner = made[scale * margin :, scale * margin :]
            room[:] = inner[: room.shape[0], : room.shape[1]]
    return found
