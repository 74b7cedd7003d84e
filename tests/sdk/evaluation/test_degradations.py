"""Degradations: identities, independent computations, and the share of a perturbation that they retain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.filters import guided_blur
from PIL import Image

from anti_i2v.evaluation import degradations
from anti_i2v.evaluation.degradations import (
    DEGRADATIONS,
    NOISE_STDDEV,
    QUICK_DEGRADATIONS,
    add_noise,
    adverse_cleaner,
    average,
    crop_and_resize,
    guided_filter,
    screenshot,
)

from .conftest import noised, smooth


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_degradation_keeps_the_proportions_and_is_deterministic(name: str) -> None:
    photo = smooth(48, 64)
    found = DEGRADATIONS[name].apply(photo)
    assert found.dtype == np.uint8
    assert found.shape == ((96, 128, 3) if name == "upscaled" else (48, 64, 3))
    np.testing.assert_array_equal(found, DEGRADATIONS[name].apply(photo))


@pytest.mark.parametrize("name", [name for name in DEGRADATIONS if name != "noise"])
def test_a_grey_photo_stays_grey(name: str) -> None:
    grey = np.full((48, 64, 3), 117, np.uint8)
    assert np.abs(DEGRADATIONS[name].apply(grey).astype(int) - 117).max() <= 1


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_a_smooth_photo_stays_recognisable(name: str) -> None:
    photo = smooth(48, 64)
    found = np.asarray(Image.fromarray(DEGRADATIONS[name].apply(photo)).resize((64, 48), Image.Resampling.BOX))
    moved = 12 if name == "crop" else 5
    assert np.abs(found.astype(float) - photo).mean() < moved


def test_quick_degradations_exist() -> None:
    assert set(QUICK_DEGRADATIONS) <= set(DEGRADATIONS)


def test_a_crop_cuts_a_tenth_off_and_scales_what_is_left_back() -> None:
    rows = np.tile(np.linspace(0, 250, 200)[:, None, None], (1, 200, 3)).round().astype(np.uint8)
    found = crop_and_resize(rows)[:, 0, 0].astype(float)
    assert found[[0, -1]] == pytest.approx([rows[10, 0, 0], rows[189, 0, 0]], abs=1)
    assert found[100] == pytest.approx(rows[100, 0, 0], abs=1)


def test_noise_has_the_stated_strength_and_is_the_same_for_both_photos_of_a_pair() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    assert (add_noise(grey).astype(float) - 128).std() == pytest.approx(NOISE_STDDEV, rel=0.03)
    brighter = add_noise(grey + np.uint8(5)).astype(int) - add_noise(grey)
    assert (brighter == 5).all()


def test_a_screenshots_colours_come_back_within_a_level() -> None:
    levels = np.arange(256)
    assert np.abs(degradations.FROM_DISPLAY[degradations.TO_DISPLAY].astype(int) - levels).max() <= 1
    assert degradations.TO_DISPLAY[[0, 255]].tolist() == [0, 255]
    assert screenshot(np.zeros((32, 32, 3), np.uint8)).max() <= 1


def test_the_guided_filter_equals_kornias() -> None:
    generator, radius, eps = np.random.default_rng(0), 4, 16.0
    guide = generator.uniform(0, 255, (24, 28, 3)).astype(np.float32)
    source = (guide + generator.normal(0, 20, guide.shape)).astype(np.float32)
    tensors = (torch.from_numpy(each).permute(2, 0, 1)[None].double() for each in (guide, source))
    wanted = guided_blur(*tensors, 2 * radius + 1, eps)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(guided_filter(guide, source, radius=radius, eps=eps), wanted, atol=1e-4)


def test_the_guided_filter_keeps_linear_functions_of_the_guide() -> None:
    guide = smooth(24, 24).astype(np.float32)
    np.testing.assert_allclose(guided_filter(guide, 0.5 * guide + 20, radius=4, eps=1e-6), 0.5 * guide + 20, atol=0.01)


def test_adverse_cleaner_halves_a_fine_perturbation_and_keeps_a_smooth_photo() -> None:
    clean = smooth(48, 48, low=124, high=132)  # 64 filters wash steeper slopes out
    protected = noised(clean, 8)
    left = adverse_cleaner(protected).astype(float) - adverse_cleaner(clean)
    assert np.square(left).mean() < 0.5 * np.square(protected.astype(float) - clean).mean()
    assert np.abs(adverse_cleaner(clean).astype(float) - clean).mean() < 2


def test_adverse_cleaner_keeps_an_edge() -> None:
    edge = np.full((32, 32, 3), 30, np.uint8)
    edge[:, 16:] = 220
    assert np.abs(adverse_cleaner(edge).astype(int) - edge).max() <= 2


def test_averaging_a_photo_with_itself_is_the_photo_and_opposite_perturbations_cancel() -> None:
    clean = smooth(24, 24)
    np.testing.assert_array_equal(average(clean, clean), clean)
    delta = np.random.default_rng(0).integers(-8, 9, clean.shape)
    np.testing.assert_array_equal(average((clean + delta).astype(np.uint8), (clean - delta).astype(np.uint8)), clean)
