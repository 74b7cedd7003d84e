"""Target images of the anchor: of the photo's size, and as their names say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from anti_i2v.objectives.targets import TARGETS, checkerboard, make_target
from anti_i2v.recipes import Target


def photos(height: int = 64, width: int = 96) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((2, 3, height, width), np.float32)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("size", [(64, 96), (65, 43), (512, 512), (7, 5)], ids=str)
def test_a_target_has_the_photos_size_and_range(name: Target, size: tuple[int, int]) -> None:
    made = make_target(name, photos(*size))
    assert made.dtype == np.float32
    assert made.shape in {(1, 3, *size), (2, 3, *size)}
    assert made.flags.c_contiguous
    assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("name", ["checkerboard", "gray", "glyphs"])
def test_a_drawn_target_does_not_depend_on_the_photo(name: Target) -> None:
    assert np.array_equal(make_target(name, photos()), make_target(name, 1 - photos()))


def test_targets_match_their_names() -> None:
    assert np.array_equal(make_target("checkerboard", photos()), checkerboard(64, 96))
    assert (make_target("gray", photos()) == 0.5).all()


def test_glyphs_are_black_and_white_and_stand_four_times_in_the_width() -> None:
    made = make_target("glyphs", photos(88, 88))[0, 0]
    assert set(np.unique(made)) == {0, 1}
    assert 0.2 < made.mean() < 0.8
    assert all(np.array_equal(made[:, :22], made[:, 22 * word : 22 * word + 22]) for word in range(4))


def test_a_degraded_photo_keeps_its_means_and_loses_its_detail() -> None:
    clean = photos()
    made = make_target("degraded", clean)
    assert np.abs(made.mean((2, 3)) - clean.mean((2, 3))).max() < 0.02
    assert made.std() < 0.2 * clean.std()
    np.testing.assert_allclose(make_target("degraded", np.full_like(clean, 0.3)), 0.3, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (64, 64), (40, 72)])
def test_the_default_target_is_a_checkerboard_of_mid_greys(height: int, width: int) -> None:
    target = checkerboard(height, width)
    assert (target.shape, target.dtype) == ((1, 3, height, width), np.float32)
    assert np.unique(target).tolist() == pytest.approx([0.3, 0.7])
    assert target.mean() == pytest.approx(0.5)
    assert np.array_equal(target[..., : height // 8, :], target[..., 2 * height // 8 : 3 * height // 8, :])
    assert not np.array_equal(target[..., : height // 8, :], target[..., height // 8 : 2 * height // 8, :])
