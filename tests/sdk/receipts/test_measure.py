"""Measuring: effects and survival beside the control, models, and deadlines."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from anti_i2v import timing
from anti_i2v.engines import make_engine
from anti_i2v.engines.torch_engine import TorchFrozenEncoder
from anti_i2v.receipts.effects import MeasurementModels, decoded_windows
from anti_i2v.receipts.measure import measure
from anti_i2v.recipes import load_recipe
from anti_i2v.surrogates.autoencoders import load_autoencoder
from anti_i2v.surrogates.student import load_student


def noisy(clean: NDArray[np.uint8], levels: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    change = np.random.default_rng(seed).integers(-levels, levels + 1, clean.shape)
    return (clean + change).clip(0, 255).astype(np.uint8)


@pytest.fixture
def toy(tiny_folder: Path) -> TorchFrozenEncoder:
    return TorchFrozenEncoder(load_autoencoder(tiny_folder))


def test_a_shift_is_that_of_the_whole_photo_when_it_fits_the_window(
    photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder
) -> None:
    clean, protected = photos[0], noisy(photos[0])
    (effect,) = measure(clean, protected, MeasurementModels([(toy, "surrogate")]), short_side=96, presets=()).effects
    first, second = (
        toy.surrogate.features(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255)["latent"]
        for photo in (clean, protected)
    )
    expected = (second - first).square().mean().sqrt() / first.std(correction=0)
    assert effect.shift.protected == pytest.approx(float(expected), rel=1e-4)
    assert effect.shift.random > 0


def test_a_decoded_psnr_is_that_of_both_decoded_photos(photos: list[NDArray[np.uint8]], kl_folder: Path) -> None:
    encoder, clean, protected = TorchFrozenEncoder(load_autoencoder(kl_folder)), photos[0], noisy(photos[0], 40)
    (effect,) = measure(
        clean, protected, MeasurementModels([(encoder, "surrogate")]), short_side=96, presets=()
    ).effects
    with torch.inference_mode():
        first, second = (
            encoder.surrogate.decode(
                encoder.surrogate.features(torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255)["latent"]
            ).clamp(0, 1)
            for photo in (clean, protected)
        )
    assert effect.decoded_psnr is not None
    expected = float(-10 * torch.log10((first - second).square().mean()))
    assert effect.decoded_psnr.protected == pytest.approx(expected, abs=0.01)
    assert expected < 80


def test_rows_come_for_every_surrogate_and_every_change(
    photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder
) -> None:
    models = MeasurementModels([(toy, "surrogate"), (TorchFrozenEncoder(load_student()), "gauge")])
    measured = measure(photos[1], noisy(photos[1]), models, short_side=64, presets=("instagram",))
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
    assert all(0 < row.retained.protected < 3 for row in measured.survival)
    assert measured.skipped == []


def test_equal_photos_show_no_effect(photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder) -> None:
    measured = measure(photos[0], photos[0], MeasurementModels([(toy, "surrogate")]), short_side=64, presets=())
    assert measured.effects[0].shift.protected == 0
    assert measured.effects[0].shift.random == 0


def test_a_measurement_repeats_by_its_seed(photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder) -> None:
    def run(seed: int) -> object:
        models = MeasurementModels([(toy, "surrogate")])
        return measure(photos[0], noisy(photos[0]), models, short_side=64, presets=("any",), seed=seed)

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_measurements_that_do_not_fit_before_the_deadline_are_skipped_and_named(
    monkeypatch: pytest.MonkeyPatch, photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    models = MeasurementModels([(toy, "surrogate"), (toy, "held-out")])
    # Each reading of the clock is a second: a row takes one, from its beginning to its end.
    measured = measure(photos[0], noisy(photos[0]), models, short_side=64, presets=(), deadline=6.0)
    assert len(measured.effects) == 2
    assert [row.change for row in measured.survival] == ["jpeg75"]
    assert measured.skipped == ["the shift after half size", "the shift after blur"]


def test_nothing_starts_after_the_deadline(photos: list[NDArray[np.uint8]], toy: TorchFrozenEncoder) -> None:
    measured = measure(
        photos[0], noisy(photos[0]), MeasurementModels([(toy, "surrogate")]), short_side=64, deadline=-1e9
    )
    assert measured.effects == []
    assert measured.survival == []
    assert measured.skipped == ["toy-tiny"]


def test_without_models_nothing_is_measured(photos: list[NDArray[np.uint8]]) -> None:
    measured = measure(photos[0], noisy(photos[0]), MeasurementModels([]), short_side=64)
    assert (measured.effects, measured.survival, measured.skipped) == ([], [], [])


@pytest.mark.parametrize("size", [(300, 520), (520, 300), (96, 128)], ids=["wide", "tall", "small"])
def test_decoded_windows_are_of_one_size_and_fit_the_photo(size: tuple[int, int], toy: TorchFrozenEncoder) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    pair = decoded_windows(clean, noisy(clean), toy, 512, None)
    expected = tuple(min(256, side // 8 * 8) for side in size)
    assert [photo.shape for photo in pair] == [(*expected, 3)] * 2
    assert all(photo.dtype == np.uint8 for photo in pair)


@pytest.mark.usefixtures("empty_home")
def test_a_machine_without_weights_measures_only_with_the_student() -> None:
    models = MeasurementModels.load(make_engine("torch", [], None, "cpu"))
    assert [(encoder.info.name, role) for encoder, role in models.encoders] == [("embedded", "gauge")]
    assert models.lpips is None
    assert models.faces is None
    assert models.unavailable == ()


@pytest.mark.usefixtures("empty_home")
def test_encoders_that_steps_are_taken_on_are_surrogates_except_the_student(tiny_folder: Path) -> None:
    engine = make_engine("torch", [tiny_folder, "embedded"], load_recipe("balanced"), "cpu")
    models = MeasurementModels.load(engine)
    assert [(encoder.info.name, role) for encoder, role in models.encoders] == [
        ("toy-tiny", "surrogate"),
        ("embedded", "gauge"),
    ]


def test_an_unfit_encoder_is_left_out_and_named(empty_home: Path, tiny_folder: Path) -> None:
    """Here: another encoder's weights under a known name."""
    shutil.copytree(tiny_folder, empty_home / "surrogates" / "taesd")
    models = MeasurementModels.load(make_engine("torch", [], None, "cpu"))
    assert [encoder.info.name for encoder, _ in models.encoders] == ["embedded"]
    (reason,) = models.unavailable
    assert "is not the pinned file" in reason


@pytest.mark.slow
@pytest.mark.usefixtures("weights_home")
def test_a_held_out_encoder_that_is_optimised_on_counts_as_a_surrogate() -> None:
    engine = make_engine("torch", ["taesd3"], load_recipe("balanced"), "cpu")
    roles = {encoder.info.name: role for encoder, role in MeasurementModels.load(engine).encoders}
    assert roles["taesd3"] == roles["taesd"] == "surrogate"
    rest = {
        encoder.info.name: role
        for encoder, role in MeasurementModels.load(make_engine("torch", [], None, "cpu")).encoders
    }
    assert rest["taesd3"] == "held-out"
