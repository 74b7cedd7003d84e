"""Start points: a pattern for a photo and a seed, in numpy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from anti_i2v.optim.initialisation import initial_pattern, layout_seed
from anti_i2v.optim.universal_perturbation import load_tiles, sample_layout, tile_pattern

STARTS: tuple[Literal["draft", "random", "clean"], ...] = ("draft", "random", "clean")


@pytest.fixture
def clean(photos: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    return np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("start", STARTS)
def test_a_pattern_has_the_photos_shape_and_lies_between_its_ends(
    start: Literal["draft", "random", "clean"], clean: NDArray[np.float32]
) -> None:
    pattern = initial_pattern(clean, start, 0)
    assert (pattern.shape, pattern.dtype) == (clean.shape, np.float32)
    assert np.abs(pattern).max() <= 1 + 1e-6
    assert np.array_equal(pattern, initial_pattern(clean, start, 0))
    assert np.array_equal(pattern, initial_pattern(clean, start, 1)) == (start == "clean")


def test_a_layout_belongs_to_a_photo_and_a_seed(clean: NDArray[np.float32]) -> None:
    seeds = [layout_seed(photo, seed) for photo in clean for seed in (0, 1, -1)]
    assert len(set(seeds)) == len(seeds)
    assert layout_seed(clean[0], 0) == seeds[0]
    assert all(0 <= seed < 2**62 for seed in seeds)


def test_a_layout_belongs_to_the_levels_of_a_photo(clean: NDArray[np.float32]) -> None:
    """Whatever is lost when a photo is saved does not decide it; one level does."""
    photo = clean[0]
    shaken = photo + np.random.default_rng(0).uniform(-0.4, 0.4, photo.shape).astype(np.float32) / np.float32(255)
    assert layout_seed(shaken.clip(0, 1), 0) == layout_seed(photo, 0)
    other = photo.copy()
    other[0, 0, 0] += np.float32(1 / 255) if other[0, 0, 0] < 0.5 else np.float32(-1 / 255)
    assert layout_seed(other, 0) != layout_seed(photo, 0)


def test_layouts_have_not_changed_since_the_first_version() -> None:
    """The same photo and seed give the same draft in every version."""
    photo = (np.arange(3 * 4 * 5, dtype=np.float32) / np.float32(255)).reshape(3, 4, 5)
    assert [layout_seed(photo, seed) for seed in (0, 7)] == [3154224620905356139, 3754349814876237927]


def test_a_draft_is_the_tiles_in_each_photos_own_layout(clean: NDArray[np.float32]) -> None:
    pattern, tiles = initial_pattern(clean, "draft", 3), load_tiles()
    for photo, own in zip(clean, pattern, strict=True):
        layout = sample_layout(layout_seed(photo, 3), len(tiles))
        assert np.array_equal(own, tile_pattern(tiles, layout, 96, 128))
    assert np.array_equal(initial_pattern(clean[2:3], "draft", 3), pattern[2:3])  # whatever else is in the batch


def test_a_random_start_is_uniform(clean: NDArray[np.float32]) -> None:
    pattern = initial_pattern(clean, "random", 0)
    assert float(pattern.mean()) == pytest.approx(0, abs=0.01)
    assert float(pattern.std()) == pytest.approx(1 / np.sqrt(3), abs=0.01)
    assert pattern.min() < -0.99
    assert pattern.max() > 0.99


def test_a_clean_start_adds_nothing(clean: NDArray[np.float32]) -> None:
    assert not initial_pattern(clean, "clean", 0).any()
