"""Random changes that a photo meets on its way, for the expectation over them (EOT, Athalye et al. 2018).

Each draw is an affine map of the pixels, `rows @ pixels @ columns.T + offset`: resizing, blurring and cropping are
linear and separable; noise is an offset; for JPEG the offset is what the true codec changed, so that the codec that
is optimised against is the one that will be met. Its gradient does not pass straight through: that was measured to
lose a tenth of the effect after JPEG. Each DCT coefficient of the gradient is scaled by the slope of a soft rounding
instead (Shin and Song 2017): what quantisation swallows gets no say.
Matrices and offsets are numpy arrays, drawn from a numpy generator: both engines see the same draws for one seed.
Ranges follow DORMANT (USENIX Security 2025) unless a recipe says otherwise.
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
from anti_i2v.optim.jpeg_gradient import JpegSlope, slope_at
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


@dataclass(frozen=True)
class SampledTransform:
    """One draw: `rows @ pixels @ columns.T + offset`; what is None changes nothing.

    Attributes:
        rows, columns: (H, H) and (W, W).
        offset: (B, 3, H, W).
        codec: the slope of the offset's codec; then rows and columns are None.
    """

    rows: Any = None
    columns: Any = None
    offset: Any = None
    codec: JpegSlope | None = None

    @property
    def is_identity(self) -> bool:
        """Whether pixels stay as they are."""
        return self.rows is None and self.offset is None

    def __call__(self, pixels: Any) -> Any:
        """The changed pixels, of the arrays' kind (numpy or torch); not clamped, so that gradients live."""
        changed = pixels if self.rows is None else self.rows @ pixels @ self.columns.swapaxes(0, 1)
        return changed if self.offset is None else changed + self.offset

    def pull_back(self, gradient: Any) -> Any:
        """From the gradient by the changed pixels to the one by the pixels."""
        if self.codec is not None:
            return self.codec.pull_back(gradient)
        return gradient if self.rows is None else self.rows.swapaxes(0, 1) @ gradient @ self.columns

    def map(self, convert: Callable[[Any], Any]) -> SampledTransform:
        """The same with each array converted: to torch, to a device."""
        rows, columns, offset = (
            None if array is None else convert(array) for array in (self.rows, self.columns, self.offset)
        )
        codec = None if self.codec is None else JpegSlope(convert(self.codec.luma), convert(self.codec.chroma))
        return SampledTransform(rows, columns, offset, codec)


ReadPixels = Callable[[], PixelArray]
"""Gives the pixels of now. Called only by a change that depends on their values: it may wait for a device."""

Transform = Callable[[tuple[int, int, int, int], np.random.Generator, ReadPixels], SampledTransform]
"""(shape of the pixels, generator, look) -> one draw."""


def identity() -> Transform:
    """The photo as it is."""
    return lambda shape, generator, look: SampledTransform()


def jpeg(low: float = 60, high: float = 95) -> Transform:
    """JPEG with 4:2:0 chroma at a quality drawn from [low, high]: the true codec, on the pixels rounded to levels."""

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        quality = round(generator.uniform(low, high))
        pixels = look()
        levels = np.rint(pixels * 255).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        coded, tables = [], np.ones((2, 8, 8), np.float32)
        for photo in levels:
            decoded, tables = jpeg_round_trip_with_tables(np.ascontiguousarray(photo), quality)
            coded.append(decoded)
        offset = np.stack(coded).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255) - pixels
        return SampledTransform(offset=offset, codec=slope_at(pixels, tables))

    return draw


def resize(low: float = 0.5, high: float = 1.0) -> Transform:
    """Scaled by a factor drawn from [low, high] and back, bilinear with antialiasing."""

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        factor = generator.uniform(low, high)
        smaller = [(side, max(8, round(side * factor))) for side in shape[-2:]]
        rows, columns = (resampling_matrix(side, small) @ resampling_matrix(small, side) for side, small in smaller)
        return SampledTransform(rows, columns)

    return draw


def blur(low: float = 0.3, high: float = 1.5) -> Transform:
    """Gaussian blur, 7 taps, sigma in pixels drawn from [low, high], edges reflected."""

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        sigma = generator.uniform(low, high)
        return SampledTransform(_blur_matrix(shape[-2], sigma), _blur_matrix(shape[-1], sigma))

    return draw


def noise(low: float = 0.0, high: float = 0.03) -> Transform:
    """Gaussian noise, sigma drawn from [low, high] in units of the [0, 1] range."""

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        sigma = np.float32(generator.uniform(low, high))
        return SampledTransform(offset=sigma * generator.standard_normal(shape, np.float32))

    return draw


def crop(low: float = 0.8, high: float = 1.0) -> Transform:
    """A window of a side share drawn from [low, high], at a random place, scaled back to full size."""

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        share = generator.uniform(low, high)
        matrices = []
        for side in shape[-2:]:
            window = max(8, round(side * share))
            first = int(generator.integers(side - window + 1))
            matrix = np.zeros((side, side), np.float32)
            matrix[:, first : first + window] = resampling_matrix(side, window)
            matrices.append(matrix)
        return SampledTransform(matrices[0], matrices[1])

    return draw


@lru_cache(maxsize=64)
def resampling_matrix(wanted: int, given: int) -> Matrix:
    """Bilinear resampling with antialiasing of `given` samples to `wanted`, as a matrix (wanted, given).

    The triangle filter that Pillow and torch use: widened by the scale where samples become fewer, rows that sum to 1.
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
    """A transform that draws one of TRANSFORMS at each call, with probability proportional to its weight.

    Raises RecipeError for an unknown name or weights that are negative or all zero.
    """
    unknown = sorted(set(weights) - set(TRANSFORMS))
    if unknown:
        raise RecipeError(f"unknown transform {unknown[0]!r}: choose from {', '.join(TRANSFORMS)}")
    if not weights or min(weights.values()) < 0 or sum(weights.values()) <= 0:
        raise RecipeError(f"transform weights must be >= 0 and not all zero, got {dict(weights)}")
    drawn = [TRANSFORMS[name]() for name in weights]
    shares = np.array(list(weights.values())) / sum(weights.values())

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        index = int(generator.choice(len(drawn), p=shares))
        return drawn[index](shape, generator, look)

    return draw


PLATFORM_SHARE = 0.4
"""Of the draws, how many go through the platform's JPEG where a preset is given."""


def with_platform_codec(drawn: Transform, preset: Preset | None) -> Transform:
    """`drawn`, mixed with a platform's codec.

    A platform's size limit lies above the sizes that models work at, so its codec is what matters here.
    """
    if preset is None or preset.quality is None or not preset.reencodes:
        return drawn
    platform = jpeg(preset.quality - 3, min(100, preset.quality + 3))

    def draw(shape: tuple[int, int, int, int], generator: np.random.Generator, look: ReadPixels) -> SampledTransform:
        through = platform if generator.random() < PLATFORM_SHARE else drawn
        return through(shape, generator, look)

    return draw
