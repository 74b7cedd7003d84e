"""Two networks that somebody who wants the perturbation gone would run: a denoiser and an upscaler of our own.

Small ones (sdk/training/purifiers.py, a few minutes on a CPU): those that people use are larger and remove more.
Imports torch: `changes` imports this module where it is used.
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

__all__ = ["LEVELS", "RANGE", "Denoiser", "Upscaler", "denoised", "load_denoiser", "load_upscaler", "upscaled"]


RANGE = 25.0
"""Levels, the strongest noise (its standard deviation) that the denoiser was trained on."""

LEVELS = 8.0
"""Levels of noise that `denoised` tells the denoiser of: the most at which photos come out no farther from the clean
ones than they went in protected (`draft` and `balanced`, the three development photos). What is left of the
perturbation's energy is then 34 to 53 %, of a shuffled one's 9 to 13 %; told of 6, 41 to 61 %, and photos are nearest.
"""

WIDTH = 48
TILE = 256
"""Pixels, the side of what is put through a network at once, margins aside: a few tens of megabytes for any photo."""


class _Block(nn.Module):
    """Two convolutions beside what goes in (EDSR: Lim et al., CVPRW 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return feature + cast(torch.Tensor, self.second(F.relu(self.first(feature))))


def _stack(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """An even number of 3 x 3 convolutions, all but the first and the last in blocks; it begins by giving zeros."""
    first, last = nn.Conv2d(inputs, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, outputs, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast(torch.Tensor, last.bias))
    return nn.Sequential(first, *[_Block() for _ in range(layers // 2 - 1)], last)


@final
class Denoiser(nn.Module):
    """FFDNet's design (Zhang, Zuo and Zhang, TIP 2018): four half-size pictures and a map of the noise's level go in.

    Ten layers of 48 channels where the paper's colour net has twelve of 96. They lie in blocks, which learn without
    normalisation what a plain stack hardly begins to in as many steps, and give the noise, as DnCNN does (Zhang et al.,
    TIP 2017).
    """

    LAYERS = 10
    MARGIN = 2 * LAYERS
    """Pixels that an output pixel sees to each side, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = _stack(13, 12, self.LAYERS)

    def forward(self, noisy: Pixels, level: torch.Tensor) -> torch.Tensor:
        """Pixels of even sides and the standard deviation of their noise, (B,) in the same units, to clean pixels.

        Not clamped.
        """
        level = level.view(-1, 1, 1, 1)
        halves = F.pixel_unshuffle(noisy - 0.5, 2)
        known = (level * (255 / RANGE)).expand(-1, 1, *halves.shape[-2:])
        noise: torch.Tensor = self.stack(torch.cat([halves, known], 1).contiguous(memory_format=torch.channels_last))
        return noisy - F.pixel_shuffle(noise.float(), 2)


@final
class Upscaler(nn.Module):
    """Twice the size by sub-pixel convolution (ESPCN: Shi et al., CVPR 2016).

    Eight layers of 48 channels, in the denoiser's blocks, add to the bicubic enlargement what it lacks (as VDSR does:
    Kim, Lee and Lee, CVPR 2016).
    """

    LAYERS = 8
    MARGIN = LAYERS
    """Pixels of the small photo that an output pixel sees to each side, at most."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = _stack(3, 12, self.LAYERS)

    def forward(self, pixels: Pixels) -> torch.Tensor:
        """Pixels to pixels of twice the size, not clamped."""
        detail: torch.Tensor = self.stack((pixels - 0.5).contiguous(memory_format=torch.channels_last))
        enlarged = F.interpolate(pixels, scale_factor=2, mode="bicubic", align_corners=False)
        return enlarged + F.pixel_shuffle(detail.float(), 2)


Network = TypeVar("Network", Denoiser, Upscaler)


@cache
def load_denoiser() -> Denoiser:
    """The trained denoiser that the package ships."""
    return _loaded(Denoiser(), "denoiser")


@cache
def load_upscaler() -> Upscaler:
    """The trained upscaler that the package ships."""
    return _loaded(Upscaler(), "upscaler")


def _loaded(network: Network, name: str) -> Network:
    data = resources.files("anti_i2v").joinpath(f"data/purifiers/{name}.safetensors").read_bytes()
    network.load_state_dict({key: value.float() for key, value in load(data).items()})
    network.eval().requires_grad_(False)
    # channels_last is faster on a CPU; torch's type information lacks it for modules.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def denoised(photo: Rgb8, levels: float = LEVELS) -> Rgb8:
    """The photo without what the denoiser takes for noise of this standard deviation.

    Raises:
        ValueError: `levels` lie outside 0..RANGE.
    """
    if not 0 <= levels <= RANGE:
        raise ValueError(f"levels must be 0..{RANGE:.0f}, got {levels}")
    network, level = load_denoiser(), torch.tensor([levels / 255])
    return _in_tiles(photo, lambda pixels: network(pixels, level), network.MARGIN, 1)


def upscaled(photo: Rgb8) -> Rgb8:
    """(H, W, 3) -> (2 H, 2 W, 3)."""
    network = load_upscaler()
    return _in_tiles(photo, network, network.MARGIN, 2)


def _in_tiles(photo: Rgb8, network: Callable[[torch.Tensor], Any], margin: int, scale: int) -> Rgb8:
    """Put a photo of any size through a network, tile by tile: as if the whole went through it, its edges mirrored.

    A tile is cut out with `margin` pixels around it, as many as an output pixel sees: so no border shows.
    """
    height, width = photo.shape[:2]
    even = (height % 2, width % 2)  # the denoiser needs even sides; margins and tiles have them
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
