"""Means with bootstrap confidence intervals over photos, and over seeds within each photo.

Videos of one photo under different seeds are not independent: a photo that is easy to disrupt is so under every seed.
The two-stage bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8) therefore
resamples photos first, then the seeds of each. Intervals are 95 % percentile intervals with a fixed random seed. They
are somewhat too narrow with fewer than ten photos, and with one photo they cover only its seeds.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONFIDENCE", "RESAMPLES", "Estimate", "estimate", "estimate_ratio"]

CONFIDENCE = 0.95
RESAMPLES = 4000


class Estimate(msgspec.Struct, frozen=True):
    """A mean over `count` videos with its 95 % confidence interval, `low` to `high`."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0


def estimate(values: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES) -> Estimate | None:
    """Estimate the mean of a metric that was computed for every photo and seed.

    Args:
        values: (photos, seeds). Photos with a value that is not finite (such as no face) are left out.
        seed: seed of the bootstrap.

    Returns:
        None if no photo is left.
    """
    table = _complete(np.asarray(values, float)[None])
    if not table.size:
        return None
    low, high = _percentiles(_resampled_means(table, seed, resamples)[0])
    return Estimate(float(table.mean()), low, high, table.size)


def estimate_ratio(
    numerator: ArrayLike, denominator: ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate | None:
    """Estimate the ratio of two means, both given as (photos, seeds) and resampled together.

    Returns:
        None if no photo is left, or if the interval of the denominator's mean reaches 0, for then no ratio is defined.
    """
    pair = _complete(np.stack([np.asarray(numerator, float), np.asarray(denominator, float)]))
    if not pair.size:
        return None
    means = _resampled_means(pair, seed, resamples)
    if _percentiles(means[1])[0] <= 0:
        return None
    low, high = _percentiles(means[0] / means[1])
    return Estimate(float(pair[0].mean() / pair[1].mean()), low, high, pair[0].size)


def _complete(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop the photos of (K, photos, seeds) that lack a value in any of the K tables."""
    if tables.ndim != 3:
        raise ValueError(f"values must have the axes (photos, seeds), got {tables.ndim - 1} axes")
    complete: NDArray[np.float64] = tables[:, np.isfinite(tables).all((0, 2))]
    return complete


def _resampled_means(tables: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    """Return (K, resamples): means over photos drawn with replacement, then over seeds drawn within each."""
    _, photos, seeds = tables.shape
    generator = np.random.default_rng(seed)
    which = generator.integers(photos, size=(resamples, photos, 1))
    within = generator.integers(seeds, size=(resamples, photos, seeds))
    means: NDArray[np.float64] = tables[:, which, within].mean((2, 3))
    return means


def _percentiles(means: NDArray[np.float64]) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, (tail, 100 - tail))
    return float(low), float(high)
