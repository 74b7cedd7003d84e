"""How sure a number is: means of paired differences with bootstrap confidence intervals, photos first, seeds within.

Seeds of one photo are not independent of one another: a photo that is easily spoiled is so under every seed. Hence the
two-stage bootstrap of Davison and Hinkley (Bootstrap Methods and their Application, 1997, section 3.8): photos are
drawn with replacement, then within each of them its seeds. Intervals are percentiles, 95 %, and seeded. With fewer than
ten photos they are somewhat too narrow; with one photo they tell of its seeds alone.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CONFIDENCE", "DRAWS", "Estimate", "estimate", "ratio"]

CONFIDENCE = 0.95
DRAWS = 4000


class Estimate(msgspec.Struct, frozen=True):
    """A mean over videos and its 95 % confidence interval, from `low` to `high`; `count` videos were looked at."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


def estimate(values: ArrayLike, *, seed: int = 0, draws: int = DRAWS) -> Estimate | None:
    """The mean of a number that was measured for every photo and seed.

    Args:
        values: (photos, seeds); photos with a value that is not finite (no face, say) are left out.
        seed: of the bootstrap.

    Returns:
        None where no photo is left.
    """
    table = _complete(np.asarray(values, float)[None])
    if not table.size:
        return None
    low, high = _percentiles(_means(table, seed, draws)[0])
    return Estimate(float(table.mean()), low, high, table.size)


def ratio(above: ArrayLike, below: ArrayLike, *, seed: int = 0, draws: int = DRAWS) -> Estimate | None:
    """The mean of one number by the mean of another, both (photos, seeds) and drawn together.

    Returns:
        None where no photo is left, or where `below` may be nothing (the interval of its mean reaches 0): a multiple of
        nothing says nothing.
    """
    pair = _complete(np.stack([np.asarray(above, float), np.asarray(below, float)]))
    if not pair.size:
        return None
    means = _means(pair, seed, draws)
    if _percentiles(means[1])[0] <= 0:
        return None
    low, high = _percentiles(means[0] / means[1])
    return Estimate(float(pair[0].mean() / pair[1].mean()), low, high, pair[0].size)


def _complete(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, photos, seeds) without the photos that lack a value in any of the K."""
    if tables.ndim != 3:
        raise ValueError(f"values are given as (photos, seeds), got {tables.ndim - 1} axes")
    kept: NDArray[np.float64] = tables[:, np.isfinite(tables).all((0, 2))]
    return kept


def _means(tables: NDArray[np.float64], seed: int, draws: int) -> NDArray[np.float64]:
    """(K, draws): means of K tables over photos drawn with replacement, and within each over seeds drawn likewise."""
    _, photos, seeds = tables.shape
    generator = np.random.default_rng(seed)
    which = generator.integers(photos, size=(draws, photos, 1))
    within = generator.integers(seeds, size=(draws, photos, seeds))
    means: NDArray[np.float64] = tables[:, which, within].mean((2, 3))
    return means


def _percentiles(means: NDArray[np.float64]) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(means, (tail, 100 - tail))
    return float(low), float(high)
