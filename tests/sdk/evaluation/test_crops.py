"""The victims' crop: one square for both photos, and the energy that scaling retains."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from anti_i2v.evaluation.crops import FACE_MARGIN, Square, choose_square, crop_square, retained_energy
from anti_i2v.evaluation.video_metrics import MetricModels

from .conftest import noised, smooth


def test_a_photo_of_the_victims_size_is_not_changed() -> None:
    clean = smooth(64, 64)
    protected = noised(clean, 8)
    square = choose_square(clean, side=64)
    np.testing.assert_array_equal(crop_square(clean, square, 64), clean)
    np.testing.assert_array_equal(crop_square(protected, square, 64), protected)
    assert retained_energy(clean, protected, square, 64) == 1


@pytest.mark.parametrize(("height", "width"), [(64, 100), (100, 64)])
def test_without_a_face_it_is_the_central_square(height: int, width: int) -> None:
    clean = smooth(height, width)
    square = choose_square(clean, side=64)
    assert (square.side, square.top, square.left) == (64, (height - 64) // 2, (width - 64) // 2)
    np.testing.assert_array_equal(
        crop_square(clean, square, 64), clean[square.top : square.top + 64, square.left : square.left + 64]
    )


def test_scaling_down_averages_over_areas() -> None:
    clean = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    by_hand = clean.reshape(32, 2, 32, 2, 3).astype(float).mean((1, 3))
    assert (
        np.abs(crop_square(clean, choose_square(clean, side=32), 32) - by_hand).max() <= 1
    )  # Pillow rounds after each direction


def test_half_size_retains_a_quarter_of_noise_and_all_of_a_flat_change() -> None:
    clean = np.full((128, 128, 3), 128, np.uint8)
    fine = clean + np.random.default_rng(0).choice(np.array([-8, 8]), clean.shape).astype(np.int16)
    square = choose_square(clean, side=64)
    assert retained_energy(clean, fine.astype(np.uint8), square, 64) == pytest.approx(0.25, abs=0.02)
    assert retained_energy(clean, clean + np.uint8(8), square, 64) == 1
    assert retained_energy(clean, clean, square, 64) == 1


def test_a_scaled_photo_has_the_same_crop() -> None:
    clean = smooth(120, 200)
    large = np.asarray(Image.fromarray(clean).resize((400, 240), Image.Resampling.BICUBIC))
    square = Square(120, 200, left=50, top=10, side=100)
    small = crop_square(clean, square, 50).astype(int)
    assert np.abs(small - crop_square(large, square, 50)).mean() < 1


def test_the_square_lies_around_the_face_and_inside_the_photo(models: MetricModels) -> None:
    astronaut = np.ascontiguousarray(data.astronaut())  # type: ignore[no-untyped-call]  # scikit-image
    square = choose_square(astronaut, models.faces, side=128)
    assert square.face is not None
    left, top, width, height = square.face.box
    assert square.side == pytest.approx(FACE_MARGIN * max(width, height), abs=1)
    assert square.left <= left
    assert square.top <= top
    assert left + width <= square.left + square.side
    assert top + height <= square.top + square.side
    corner = astronaut[:, int(left) : int(left) + 300]  # the face at the photo's edge
    edge = choose_square(np.ascontiguousarray(corner), models.faces, side=128)
    assert edge.left == 0
    assert edge.left + edge.side <= corner.shape[1]


def test_a_small_face_is_not_scaled_up_where_the_photo_has_more_around_it(models: MetricModels) -> None:
    astronaut = np.ascontiguousarray(data.astronaut())  # type: ignore[no-untyped-call]  # scikit-image
    small = np.asarray(Image.fromarray(astronaut).resize((200, 200), Image.Resampling.LANCZOS))
    assert choose_square(small, models.faces, side=128).side == 128
