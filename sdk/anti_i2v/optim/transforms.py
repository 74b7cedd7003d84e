"""Random transforms that a photo may meet on its way, for the expectation over them (EOT, Athalye et al. 2018).

A sampled transform is an affine map of the pixels, `rows @ pixels @ columns.T + offset`: resizing, blurring and
cropping are linear and separable, noise is an offset. For JPEG the offset is the true codec's change, and the gradient
is `jpeg_gradient`'s. Everything is numpy, sampled from a numpy generator, so both engines get the same transforms for
one seed. Ranges follow DORMANT (USENIX Security 2025) unless a recipe sets others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from anti_i2v.arrays import Matrix, PixelArray
from anti_i2v.errors import RecipeError
from anti_i2v.images.jpeg import jpeg_round_trip_with_tables
from anti_i2v.images.platforms import Preset
from anti_i2v.optim.jpeg_gradient import JpegSlope, jpeg_slope_at
from anti_i2v.recipes import TransformName

__all__ = [
    "TRANSFORMS",
    "SampledTransform",
    "Transform",
    "blur",
    "crop",
    "identity",
    "jpeg",
    "noise",
    "resampling_matrix",
    "resize",
    "weighted_choice",
    "with_platform_codec",
]

Shape = tuple[int, int, int, int]
"""(B, 3, H, W)."""


@dataclass(frozen=True)
class SampledTransform:
    """One sample of a transform: `rows @ pixels @ columns.T + offset`. None stands for the identity of its part.

    Attributes:
        rows, columns: (H, H) and (W, W).
        offset: (B, 3, H, W).
        jpeg_slope: the gradient of the codec whose change the offset is; then rows and columns are None.
    """

    rows: Any = None
    columns: Any = None
    offset: Any = None
    jpeg_slope: JpegSlope | None = None

    @property
    def is_identity(self) -> bool:
        """Whether pixels stay as they are."""
        return self.rows is None and self.offset is None

    def __call__(self, pixels: Any) -> Any:
        """Return the transformed pixels, not clamped so that gradients pass. Arrays and pixels are of one kind."""
        transformed = pixels if self.rows is None else self.rows @ pixels @ self.columns.swapaxes(0, 1)
        return transformed if self.offset is None else transformed + self.offset

    def vjp(self, gradient: Any) -> Any:
        """Turn the gradient of the transformed pixels into that of the pixels (vector-Jacobian product)."""
        if self.jpeg_slope is not None:
            return self.jpeg_slope.vjp(gradient)
        return gradient if self.rows is None else self.rows.swapaxes(0, 1) @ gradient @ self.columns

    def map(self, convert: Callable[[Any], Any]) -> SampledTransform:
        """Convert each array, such as to torch or to a device."""
        rows, columns, offset = (
            None if array is None else convert(array) for array in (self.rows, self.columns, self.offset)
        )
        slope = self.jpeg_slope
        converted = None if slope is None else JpegSlope(convert(slope.luma), convert(slope.chroma))
        return SampledTransform(rows, columns, offset, converted)


ReadPixels = Callable[[], PixelArray]
"""Returns the current pixels. Only transforms that depend on their values call it: it may wait for a device."""

Transform = Callable[[Shape, np.random.Generator, ReadPixels], SampledTransform]
"""Takes the shape of the pixels, a generator and `ReadPixels`; returns one sample."""


def identity() -> Transform:
    """Make the transform that changes nothing."""
    return lambda shape, generator, read_pixels: SampledTransform()


def jpeg(low: float = 60, high: float = 95) -> Transform:
    """Make JPEG with 4:2:0 chroma at a quality in [low, high]: the true codec, on pixels rounded to uint8."""

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        quality = round(generator.uniform(low, high))
        pixels = read_pixels()
        levels = np.rint(pixels * 255).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        coded, tables = [], np.ones((2, 8, 8), np.float32)
        for photo in levels:
            decoded, tables = jpeg_round_trip_with_tables(np.ascontiguousarray(photo), quality)
            coded.append(decoded)
        offset = np.stack(coded).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) - pixels
        return SampledTransform(offset=offset, jpeg_slope=jpeg_slope_at(pixels, tables))

    return sample


def resize(low: float = 0.5, high: float = 1.0) -> Transform:
    """Make a resize by a factor in [low, high] and back, bilinear with antialiasing."""

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        factor = generator.uniform(low, high)
        sides = [(side, max(8, round(side * factor))) for side in shape[-2:]]
        rows, columns = (resampling_matrix(side, small) @ resampling_matrix(small, side) for side, small in sides)
        return SampledTransform(rows, columns)

    return sample


def blur(low: float = 0.3, high: float = 1.5) -> Transform:
    """Make a Gaussian blur of 7 taps, sigma in [low, high] pixels, edges reflected."""

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        sigma = generator.uniform(low, high)
        return SampledTransform(_blur_matrix(shape[-2], sigma), _blur_matrix(shape[-1], sigma))

    return sample


def noise(low: float = 0.0, high: float = 0.03) -> Transform:
    """Make Gaussian noise, sigma in [low, high] in units of the [0, 1] range."""

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        sigma = np.float32(generator.uniform(low, high))
        return SampledTransform(offset=sigma * generator.standard_normal(shape, np.float32))

    return sample


def crop(low: float = 0.8, high: float = 1.0) -> Transform:
    """Make a crop at a random place, its sides a share in [low, high] of the photo's, scaled back to full size."""

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        share = generator.uniform(low, high)
        matrices = []
        for side in shape[-2:]:
            window = max(8, round(side * share))
            first = int(generator.integers(side - window + 1))
            matrix = np.zeros((side, side), np.float32)
            matrix[:, first : first + window] = resampling_matrix(side, window)
            matrices.append(matrix)
        return SampledTransform(matrices[0], matrices[1])

    return sample


@lru_cache(maxsize=64)
def resampling_matrix(wanted: int, given: int) -> Matrix:
    """Return the matrix (wanted, given) of bilinear resampling with antialiasing from `given` to `wanted` samples.

    The triangle filter of Pillow and torch: widened by the scale when downscaling, rows sum to 1.
    """
    scale = given / wanted
    centres = (np.arange(wanted) + 0.5) * scale
    distance = np.abs(np.arange(given)[None] + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.maximum(0, 1 - distance)
    matrix: Matrix = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return matrix


def _blur_matrix(side: int, sigma: float) -> Matrix:
    offsets = np.arange(-3, 4)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum()
    matrix = np.zeros((side, side))
    for offset, tap in zip(offsets, taps, strict=True):
        source = np.abs(np.arange(side) + offset)
        source = np.where(source >= side, 2 * (side - 1) - source, source)
        np.add.at(matrix, (np.arange(side), source), tap)
    return matrix.astype(np.float32)


TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "identity": identity,
    "jpeg": jpeg,
    "resize": resize,
    "blur": blur,
    "noise": noise,
    "crop": crop,
}


def weighted_choice(weights: Mapping[str, float] | Mapping[TransformName, float]) -> Transform:
    """Make a transform that samples one of TRANSFORMS at each call, with probability proportional to its weight.

    Raises:
        RecipeError: an unknown name, or weights that are negative or all zero.
    """
    unknown = sorted(set(weights) - set(TRANSFORMS))
    if unknown:
        raise RecipeError(f"unknown transform {unknown[0]!r}: choose from {', '.join(TRANSFORMS)}")
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise RecipeError(f"transform weights must be >= 0 and not all zero, got {dict(weights)}")
    transforms = [TRANSFORMS[name]() for name in weights]
    probabilities = np.array(list(weights.values())) / sum(weights.values())

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        index = int(generator.choice(len(transforms), p=probabilities))
        return transforms[index](shape, generator, read_pixels)

    return sample


PLATFORM_SHARE = 0.4
"""Share of the samples that are the platform's JPEG, where a preset is given."""


def with_platform_codec(transform: Transform, preset: Preset | None) -> Transform:
    """Mix a transform with a platform's JPEG.

    Platforms' size limits are above the sizes that models work at, so only the codec is simulated.
    """
    if preset is None or preset.quality is None or not preset.reencodes:
        return transform
    platform = jpeg(preset.quality - 3, min(100, preset.quality + 3))

    def sample(shape: Shape, generator: np.random.Generator, read_pixels: ReadPixels) -> SampledTransform:
        chosen = platform if generator.random() < PLATFORM_SHARE else transform
        return chosen(shape, generator, read_pixels)

    return sample
