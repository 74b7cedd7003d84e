"""Facts about a surrogate that need no loaded model: its source, its normalisation, its random inputs."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = [
    "ALL_LEVELS",
    "NOISE_LEVELS",
    "STUDENT",
    "STUDENT_ROLE",
    "Normalisation",
    "RandomInput",
    "SurrogateInfo",
    "sample_inputs",
]

STUDENT, STUDENT_ROLE = "embedded", "gauge"
"""The student's name and role. Receipts, artifacts and commands hold these values; elsewhere it is called student."""

NOISE_LEVELS = ("timestep", "level")
"""Names of the random input that sets how noisy the video is. A larger value is noisier in every family."""

ALL_LEVELS = (0.0, 1.0)


class SurrogateInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A surrogate's source, as a receipt records it.

    Attributes:
        name: as in `anti-i2v surrogates list`, or the folder's name.
        kind: the class that loads it.
        source: hub repository, folder name, or "embedded" for the student.
        fingerprint: SHA-256 of its weights' values (see `autoencoders.fingerprint`).
        licence: licence of the weights.
    """

    name: str
    kind: str
    source: str
    fingerprint: str
    licence: str


class Normalisation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a surrogate normalises pixels in [0, 1]: (pixels - mean) / deviation, for each channel."""

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    deviation: tuple[float, float, float] = (0.5, 0.5, 0.5)


class RandomInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distribution of one random input: a denoiser's noise, or its timestep.

    Attributes:
        kind: "normal" (mean 0, deviation 1, float32), "uniform" (in [0, 1), float32) or "integers" (low <= n < high,
            int64).
        shape: each side is a number, "B" for the batch, "H" or "W" for the photo's sides, or "H/8" for a fraction.
        low, high: the range of integers.
    """

    kind: Literal["normal", "uniform", "integers"]
    shape: tuple[int | str, ...]
    low: int = 0
    high: int = 1000

    def size(self, batch: int, height: int, width: int) -> list[int]:
        """Compute the shape for photos of this size."""
        sides = {"B": batch, "H": height, "W": width}
        shape = []
        for side in self.shape:
            name, _, part = str(side).partition("/")
            shape.append(sides[name] // int(part or 1) if name in sides else int(name))
        return shape

    def for_size(self, height: int, width: int) -> RandomInput:
        """Fix the shape to that of photos of one size."""
        sides = self.size(1, height, width)
        shape = tuple("B" if side == "B" else now for side, now in zip(self.shape, sides, strict=True))
        return msgspec.structs.replace(self, shape=shape)

    def sample(self, batch: int, height: int, width: int, generator: np.random.Generator) -> npt.NDArray[np.generic]:
        """Sample it for photos of this size."""
        shape = self.size(batch, height, width)
        if self.kind == "normal":
            return generator.standard_normal(shape, np.float32)
        if self.kind == "uniform":
            return generator.random(shape, np.float32)
        return generator.integers(self.low, self.high, shape)

    def sample_between(
        self,
        batch: int,
        height: int,
        width: int,
        generator: np.random.Generator,
        quantiles: tuple[float, float],
    ) -> npt.NDArray[np.generic]:
        """Sample from a part of the distribution.

        Args:
            quantiles: the part; (0.5, 1) is the upper half.
        """
        share = generator.uniform(*quantiles, self.size(batch, height, width))
        if self.kind == "integers":
            integers = self.low + np.floor(share * (self.high - self.low)).astype(np.int64)
            return np.minimum(integers, self.high - 1)
        if self.kind == "normal":
            inner = share.clip(1e-6, 1 - 1e-6)  # the ends lie at infinity
            share = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])(inner)
        return share.astype(np.float32)


def sample_inputs(
    random_inputs: Mapping[str, RandomInput],
    shape: tuple[int, ...],
    generator: np.random.Generator,
    noise_levels: tuple[float, float] = ALL_LEVELS,
) -> dict[str, npt.NDArray[np.generic]]:
    """Sample each random input for pixels of `shape` (B, 3, H, W).

    Args:
        noise_levels: quantiles between which a denoiser's noise level is sampled; near 1 the video is pure noise.
    """
    batch, _, height, width = shape
    size = (batch, height, width)
    return {
        name: random.sample_between(*size, generator, noise_levels)
        if name in NOISE_LEVELS and noise_levels != ALL_LEVELS
        else random.sample(*size, generator)
        for name, random in random_inputs.items()
    }
