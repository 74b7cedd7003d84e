"""Measuring: a fair control, the same rows for any pair, and nothing late."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anti_i2v import measure as module
from anti_i2v.measure import Instruments, decoded_windows, measure, random_control
from anti_i2v.metrics.imperceptibility import psnr
from anti_i2v.objectives import relative_shift
from anti_i2v.surrogates.autoencoders import Autoencoder, load_autoencoder
from anti_i2v.surrogates.embedded import load_student


def noisy(clean: NDArray[np.uint8], levels: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    change = np.random.default_rng(seed).integers(-levels, levels + 1, clean.shape)
    return (clean + change).clip(0, 255).astype(np.uint8)


@pytest.fixture
def toy(tiny_folder: Path) -> Autoencoder:
    return load_autoencoder(tiny_folder)


@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 64))
@settings(max_examples=30, deadline=None)
def test_the_control_has_the_perturbations_own_values_in_other_places(seed: int, levels: int) -> None:
    clean = np.random.default_rng(seed).integers(64, 192, (20, 30, 3)).astype(np.uint8)
    protected = noisy(clean, levels, seed)
    control = random_control(clean, protected, seed)
    ours, theirs = (np.sort(np.abs(photo.astype(int) - clean), axis=None) for photo in (protected, control))
    assert np.array_equal(ours, theirs)
    assert psnr(clean, control) == pytest.approx(psnr(clean, protected))
    assert not np.array_equal(control, protected)
    assert np.array_equal(control, random_control(clean, protected, seed))
    assert not np.array_equal(control, random_control(clean, protected, seed + 1))


def test_a_shift_is_that_of_the_whole_photo_when_it_fits_the_window(
    photos: list[NDArray[np.uint8]], toy: Autoencoder
) -> None:
    clean, protected = photos[0], noisy(photos[0])
    (effect,) = measure(clean, protected, Instruments([(toy, "surrogate")]), short_side=96, presets=()).effects
    latents = [
        toy.features(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255)["latent"]
        for photo in (clean, protected)
    ]
    assert effect.shift.protected == pytest.approx(float(relative_shift(latents[1], latents[0])), rel=1e-4)
    assert effect.shift.random > 0


def test_rows_come_for_every_surrogate_and_every_change(photos: list[NDArray[np.uint8]], toy: Autoencoder) -> None:
    instruments = Instruments([(toy, "surrogate"), (load_student(), "gauge")])
    measured = measure(photos[1], noisy(photos[1]), instruments, short_side=64, presets=("instagram",))
    assert [(effect.surrogate, effect.role) for effect in measured.effects] == [
        ("toy-tiny", "surrogate"),
        ("embedded", "gauge"),
    ]
    decoded, encoded = measured.effects
    assert decoded.decoded_psnr is not None
    assert decoded.decoded_lpips is None
    assert decoded.decoded_identity is None
    assert encoded.decoded_psnr is None
    assert [row.change for row in measured.survival] == ["jpeg75", "half size", "blur", "instagram"]
    assert {row.surrogate for row in measured.survival} == {"toy-tiny"}
    assert all(0 < row.left.protected < 3 for row in measured.survival)
    assert measured.skipped == []


def test_equal_photos_show_no_effect(photos: list[NDArray[np.uint8]], toy: Autoencoder) -> None:
    measured = measure(photos[0], photos[0], Instruments([(toy, "surrogate")]), short_side=64, presets=())
    assert measured.effects[0].shift.protected == 0
    assert measured.effects[0].shift.random == 0


def test_a_measurement_repeats_by_its_seed(photos: list[NDArray[np.uint8]], toy: Autoencoder) -> None:
    def run(seed: int) -> object:
        instruments = Instruments([(toy, "surrogate")])
        return measure(photos[0], noisy(photos[0]), instruments, short_side=64, presets=("any",), seed=seed)

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_what_time_does_not_allow_is_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, photos: list[NDArray[np.uint8]], toy: Autoencoder
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    instruments = Instruments([(toy, "surrogate"), (toy, "held-out")])
    # Each reading of the clock is a second: a row takes one, from its beginning to its end.
    measured = measure(photos[0], noisy(photos[0]), instruments, short_side=64, presets=(), until=6.0)
    assert len(measured.effects) == 2
    assert [row.change for row in measured.survival] == ["jpeg75"]
    assert measured.skipped == ["what is left after half size", "what is left after blur"]


def test_nothing_is_begun_after_the_deadline(photos: list[NDArray[np.uint8]], toy: Autoencoder) -> None:
    measured = measure(photos[0], noisy(photos[0]), Instruments([(toy, "surrogate")]), short_side=64, until=-1e9)
    assert measured.effects == []
    assert measured.survival == []
    assert measured.skipped == ["toy-tiny"]


def test_without_instruments_there_is_nothing_to_say(photos: list[NDArray[np.uint8]]) -> None:
    measured = measure(photos[0], noisy(photos[0]), Instruments([]), short_side=64)
    assert (measured.effects, measured.survival, measured.skipped) == ([], [], [])


@pytest.mark.parametrize("size", [(300, 520), (520, 300), (96, 128)], ids=["wide", "tall", "small"])
def test_decoded_windows_are_of_one_size_and_fit_the_photo(size: tuple[int, int], toy: Autoencoder) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pair = decoded_windows(clean, noisy(clean), toy, 512, None)
    expected = tuple(min(256, side // 8 * 8) for side in size)
    assert [photo.shape for photo in pair] == [(*expected, 3)] * 2
    assert all(photo.dtype == np.uint8 for photo in pair)


@pytest.mark.usefixtures("empty_home")
def test_a_bare_machine_measures_with_the_gauge_alone() -> None:
    instruments = Instruments.at_hand([], torch.device("cpu"))
    assert [(model.info.name, role) for model, role in instruments.surrogates] == [("embedded", "gauge")]
    assert instruments.lpips is None
    assert instruments.faces is None


@pytest.mark.usefixtures("empty_home")
def test_whatever_steps_were_taken_on_counts_as_a_surrogate_and_the_gauge_as_the_gauge(toy: Autoencoder) -> None:
    student = load_student()
    instruments = Instruments.at_hand([toy, student], torch.device("cpu"))
    assert [(model.info.name, role) for model, role in instruments.surrogates] == [
        ("toy-tiny", "surrogate"),
        ("embedded", "gauge"),
    ]


@pytest.mark.slow
def test_a_held_out_encoder_that_was_optimised_on_no_longer_judges_as_one(weights_home: Path) -> None:
    from anti_i2v.surrogates.registry import load_surrogate

    instruments = Instruments.at_hand([load_surrogate("taesd3")], torch.device("cpu"))
    roles = {model.info.name: role for model, role in instruments.surrogates}
    assert roles["taesd3"] == roles["taesd"] == "surrogate"
