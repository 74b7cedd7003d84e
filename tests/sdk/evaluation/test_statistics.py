"""Intervals against scipy's, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from anti_i2v.evaluation.statistics import CONFIDENCE, estimate, estimate_ratio


def test_with_one_seed_a_photo_the_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(3, 2, 25)
    found = estimate(values[:, None], resamples=20_000)
    known = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, confidence_level=CONFIDENCE, method="percentile", rng=1
    ).confidence_interval
    assert found is not None
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.03)
    assert found.count == 25


def test_with_one_photo_the_interval_is_scipys_over_its_seeds() -> None:
    values = np.random.default_rng(2).normal(0, 1, 16)
    found = estimate(values[None], resamples=20_000)
    known = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.03)


def test_intervals_cover_the_truth_although_seeds_of_a_photo_correlate() -> None:
    generator, runs, pooled, held = np.random.default_rng(3), 200, 0, 0
    for run in range(runs):
        photos = generator.normal(1.0, 1.0, (15, 1))  # a photo moves all of its seeds
        values = photos + generator.normal(0, 0.3, (15, 6))
        clustered, naive = (
            estimate(values, seed=run, resamples=400),
            estimate(values.ravel()[:, None], seed=run, resamples=400),
        )
        assert clustered is not None
        assert naive is not None
        held += clustered.low <= 1 <= clustered.high
        pooled += naive.low <= 1 <= naive.high
    assert 0.88 <= held / runs <= 0.99
    assert pooled / runs < 0.75  # what taking seeds for photos would claim


def test_equal_numbers_have_an_empty_interval() -> None:
    found = estimate(np.full((3, 4), 0.5))
    assert found is not None
    assert (found.mean, found.low, found.high, found.count) == (0.5, 0.5, 0.5, 12)
    assert found.above_zero


def test_photos_without_a_value_are_left_out() -> None:
    found = estimate([[1.0, 1.0], [math.nan, 1.0], [3.0, 3.0]])
    assert found is not None
    assert (found.mean, found.count) == (2.0, 4)
    assert estimate([[math.nan, math.nan]]) is None


def test_a_seed_gives_the_same_interval_twice() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3))
    assert estimate(values, seed=7) == estimate(values, seed=7) != estimate(values, seed=8)


def test_a_constant_ratio_is_exact() -> None:
    below = np.random.default_rng(0).uniform(1, 2, (6, 4))
    found = estimate_ratio(3 * below, below)
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("below", [np.zeros((4, 3)), np.random.default_rng(0).normal(0.01, 1, (4, 3))])
def test_no_ratio_to_a_mean_that_may_be_zero(below: np.ndarray) -> None:
    assert estimate_ratio(np.ones((4, 3)), below) is None


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="photos, seeds"):
        estimate([1.0, 2.0])
