"""Differentiable random changes that a photo meets on its way, and the expectation over them (EOT).

A transform is a function `(pixels, generator) -> pixels` of the same size. Its randomness comes from the
generator alone (a CPU generator, on every device), so that one seed gives one sequence everywhere.
Ranges follow DORMANT (USENIX Security 2025) unless a recipe says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from torch.nn import functional as F

from anti_i2v._types import PerImage, Pixels
from anti_i2v.errors import RecipeError
from anti_i2v.recipes import TransformName

__all__ = ["TRANSFORMS", "Transform", "blur", "crop", "expectation", "identity", "jpeg", "noise", "resize", "sampler"]

Transform = Callable[[Pixels, torch.Generator], Pixels]
LossFn = Callable[[Pixels], PerImage]


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """One draw from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def identity() -> Transform:
    """The photo as it is."""
    return lambda pixels, generator: pixels


def jpeg(low: float = 60, high: float = 95) -> Transform:
    """JPEG with 4:2:0 chroma at a quality drawn from [low, high] (kornia's differentiable codec)."""

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        quality = pixels.new_tensor([uniform(low, high, generator)])
        # The codec wants multiples of 16; edge replication is what a real encoder does at the border.
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, (0, -width % 16, 0, -height % 16), mode="replicate")
        coded: Pixels = jpeg_codec_differentiable(padded, quality.expand(len(pixels)))
        return coded[..., :height, :width].clamp(0, 1)

    return apply


def resize(low: float = 0.5, high: float = 1.0) -> Transform:
    """Scaled by a factor drawn from [low, high] and back, bilinear with antialiasing."""

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        factor = uniform(low, high, generator)
        height, width = pixels.shape[-2:]
        small = (max(8, round(height * factor)), max(8, round(width * factor)))
        there = F.interpolate(pixels, small, mode="bilinear", antialias=True, align_corners=False)
        return F.interpolate(there, (height, width), mode="bilinear", antialias=True, align_corners=False)

    return apply


def blur(low: float = 0.3, high: float = 1.5) -> Transform:
    """Gaussian blur, 7-tap kernel, sigma in pixels drawn from [low, high]."""

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        sigma = uniform(low, high, generator)
        blurred: Pixels = gaussian_blur2d(pixels, (7, 7), (sigma, sigma))
        return blurred

    return apply


def noise(low: float = 0.0, high: float = 0.03) -> Transform:
    """Gaussian noise, sigma drawn from [low, high] in units of the [0, 1] range."""

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        sigma = uniform(low, high, generator)
        draw = torch.randn(pixels.shape, generator=generator).to(pixels)
        return (pixels + sigma * draw).clamp(0, 1)

    return apply


def crop(low: float = 0.8, high: float = 1.0) -> Transform:
    """A window of a side share drawn from [low, high], at a random place, scaled back to full size."""

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        share = uniform(low, high, generator)
        height, width = pixels.shape[-2:]
        rows, columns = max(8, round(height * share)), max(8, round(width * share))
        top = int(uniform(0, height - rows + 1, generator))
        left = int(uniform(0, width - columns + 1, generator))
        window = pixels[..., top : top + rows, left : left + columns]
        return F.interpolate(window, (height, width), mode="bilinear", antialias=True, align_corners=False)

    return apply


TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "identity": identity,
    "jpeg": jpeg,
    "resize": resize,
    "blur": blur,
    "noise": noise,
    "crop": crop,
}


def sampler(weights: Mapping[str, float] | Mapping[TransformName, float]) -> Transform:
    """A transform that draws one of TRANSFORMS at each call, with probability proportional to its weight.

    Raises RecipeError for an unknown name or weights that are negative or all zero.
    """
    unknown = sorted(set(weights) - set(TRANSFORMS))
    if unknown:
        raise RecipeError(f"unknown transform {unknown[0]!r}: choose from {', '.join(TRANSFORMS)}")
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise RecipeError(f"transform weights must be >= 0 and not all zero, got {dict(weights)}")
    drawn = [TRANSFORMS[name]() for name in weights]
    shares = torch.tensor(list(weights.values()), dtype=torch.float64)

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        index = int(torch.multinomial(shares, 1, generator=generator))
        return drawn[index](pixels, generator)

    return apply


def expectation(loss_fn: LossFn, transforms: Sequence[Transform], generator: torch.Generator) -> LossFn:
    """The mean of `loss_fn` over one draw of each transform (EOT, Athalye et al. 2018, eq. 1).

    With `[identity()]` it is `loss_fn` itself.
    """

    def averaged(pixels: Pixels) -> PerImage:
        losses = [loss_fn(transform(pixels, generator)) for transform in transforms]
        return torch.stack(losses).mean(0)

    return averaged
