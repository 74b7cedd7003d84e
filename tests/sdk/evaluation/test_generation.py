"""A photo's video depends only on the photo and the seed, so videos can be paired."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anti_i2v.evaluation.generation import generate_videos
from anti_i2v.evaluation.victims import load_victim

from .conftest import FRAMES, SIDE, smooth

A, B = smooth(SIDE, SIDE, 0), smooth(SIDE, SIDE, 1)


def test_a_photos_videos_do_not_depend_on_the_other_photos(dit_folder: Path) -> None:
    victim = load_victim(dit_folder)
    together = generate_videos(victim, np.stack([A, B, A]), [0, 1], 2)
    assert together.shape == (3, 2, FRAMES, SIDE, SIDE, 3)
    assert together.dtype == np.uint8
    np.testing.assert_array_equal(together[0], together[2])
    np.testing.assert_array_equal(generate_videos(victim, A[None], [1, 0], 2)[0], together[0, ::-1])
    assert not np.array_equal(together[0, 0], together[0, 1])
    assert not np.array_equal(together[0, 0], together[1, 0])


def test_a_larger_batch_differs_only_by_rounding(dit_folder: Path) -> None:
    victim = load_victim(dit_folder)
    photos = np.stack([A, B])
    one, many = (generate_videos(victim, photos, [0, 1], 2, batch=batch).astype(int) for batch in (1, 4))
    assert np.abs(one - many).max() <= 1


def test_a_clean_and_a_protected_photo_get_the_same_noise(dit_folder: Path) -> None:
    victim = load_victim(dit_folder)
    seen: list[int] = []
    nearly = A.copy()
    nearly[0, 0, 0] += 1
    videos = generate_videos(victim, np.stack([A, nearly, B]), [3], 2, on_step=lambda: seen.append(1)).astype(float)
    assert np.abs(videos[0] - videos[1]).mean() < 0.2 * np.abs(videos[0] - videos[2]).mean()
    assert len(seen) == 6  # two steps of three videos


def test_missing_photos_or_seeds_and_odd_sides_are_refused(dit_folder: Path) -> None:
    victim = load_victim(dit_folder)
    with pytest.raises(ValueError, match="photos and seeds"):
        generate_videos(victim, A[None], [])
    with pytest.raises(ValueError, match="multiples of 16"):
        generate_videos(victim, A[None, :24], [0])
