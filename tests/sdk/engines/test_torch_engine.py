"""The torch engine: numpy arrays in and out, and only the models that a recipe needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from anti_i2v.arrays import PixelArray
from anti_i2v.engines.torch_engine import TorchEngine, TorchFrozenEncoder
from anti_i2v.errors import RecipeError, SurrogateError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.binding import bind_objectives, build_objectives
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.perceptual_mask import initial_candidate
from anti_i2v.paths import LPIPS_WEIGHTS
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.autoencoders import load_autoencoder
from anti_i2v.surrogates.student import load_student


def recipe(**settings: object) -> Recipe:
    return load_recipe(Recipe(name="own", summary="Of this test.", steps=3, short_side=64), **settings)


def pixels(batch: int = 1, seed: int = 0) -> PixelArray:
    return np.random.default_rng(seed).uniform(0.1, 0.9, (batch, 3, 64, 64)).astype(np.float32)


def test_a_frozen_encoder_returns_the_surrogates_numbers_as_arrays(kl_folder: Path) -> None:
    surrogate = load_autoencoder(kl_folder)
    encoder = TorchFrozenEncoder(surrogate)
    assert (encoder.info, encoder.decodes) == (surrogate.info, True)
    latent = encoder.encode(pixels(2))
    with torch.inference_mode():
        expected = surrogate.features(torch.from_numpy(pixels(2)))["latent"]
        decoded = surrogate.decode(5 * expected)
    assert latent.dtype == np.float32
    assert np.array_equal(latent, expected.numpy())
    assert np.array_equal(encoder.decode(5 * latent), decoded.clamp(0, 1).numpy())
    assert not np.array_equal(encoder.decode(5 * latent), decoded.numpy())  # there was something to clamp


def test_a_frozen_encoder_without_a_decoder_refuses_to_decode() -> None:
    encoder = TorchFrozenEncoder(load_student())
    assert not encoder.decodes
    with pytest.raises(TypeError, match="embedded has no decoder"):
        encoder.decode(encoder.encode(pixels()))


def test_a_recipe_without_steps_loads_nothing() -> None:
    for own in (None, load_recipe("draft")):
        engine = TorchEngine(["no-such-surrogate"], own, "cpu")
        engine.prepare()
        assert engine.surrogates == []
        assert engine.optimised_encoders() == []
        assert engine.multiple == 8


def test_surrogates_are_named_before_they_are_loaded(tiny_folder: Path) -> None:
    engine = TorchEngine([tiny_folder, "no-such-surrogate"], recipe(), "cpu")
    assert engine.surrogates == [str(tiny_folder), "no-such-surrogate"]
    with pytest.raises(SurrogateError, match="unknown surrogate 'no-such-surrogate'"):
        engine.prepare()


def test_a_missing_device_is_refused_when_it_is_needed() -> None:
    engine = TorchEngine([], recipe(), "abacus")
    with pytest.raises(RecipeError, match="no device 'abacus' here"):
        engine.prepare()
    assert TorchEngine([], None, "cpu").device == "cpu"


def test_sides_are_multiples_of_what_every_surrogate_needs(tiny_folder: Path, kl_folder: Path) -> None:
    assert TorchEngine([kl_folder], recipe(), "cpu").multiple == 8  # of 2, and of the draft's patches
    engine = TorchEngine([tiny_folder, kl_folder], recipe(), "cpu")
    for model in engine.optimised_encoders():
        assert engine.multiple % model.surrogate.multiple == 0


def test_the_initial_candidate_is_masked_and_scaled() -> None:
    pattern = np.random.default_rng(1).uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32)
    start, radius = TorchEngine([], None, "cpu").initial_candidate(pixels(), pattern, 8 / 255, 0.25)
    expected = initial_candidate(torch.from_numpy(pixels()), torch.from_numpy(pattern), 8 / 255, 0.25)
    assert (start.dtype, radius.dtype) == (np.float32, np.float32)
    assert np.array_equal(start, expected[0].numpy())
    assert np.array_equal(radius, expected[1].numpy())


@pytest.mark.parametrize("target", ["checkerboard", "degraded"])
def test_an_opened_photo_is_optimised_within_its_radius(target: str, tiny_folder: Path, kl_folder: Path) -> None:
    own = recipe(terms={"displacement": 1.0, "anchor": 0.5}, anchor_layers=["latent"], target=target)
    engine = TorchEngine([tiny_folder, kl_folder], own, "cpu")
    clean, pattern = pixels(), np.sign(pixels(seed=2) - 0.5)
    start, radius = engine.initial_candidate(clean, pattern, 8 / 255, 0.5)
    photo = engine.create_optimiser(clean, start, radius, own, 0)
    assert (photo.surrogates, photo.shape) == (["toy-tiny", "toy-kl"], (1, 3, 64, 64))
    outcome = optimise_photo(photo, own)
    candidate = photo.to_numpy(outcome.candidate)
    assert candidate.dtype == np.float32
    assert (np.abs(candidate - clean) <= radius + 1e-6).all()
    assert not np.array_equal(candidate, start)
    first = engine.create_optimiser(clean, start, radius, load_recipe(own, steps=0), 0)
    assert float(outcome.score) < float(optimise_photo(first, load_recipe(own, steps=0)).score)


def test_the_start_is_projected_into_the_radius(tiny_folder: Path) -> None:
    own, radius = recipe(), np.full((1, 1, 64, 64), 2 / 255, np.float32)
    engine = TorchEngine([tiny_folder], own, "cpu")
    photo = engine.create_optimiser(pixels(), pixels(seed=4), radius, own, 0)
    assert (np.abs(photo.to_numpy(photo.start) - pixels()) <= 2 / 255 + 1e-6).all()


def test_the_layers_of_an_anchor_are_hooked(tiny_folder: Path) -> None:
    own = recipe(terms={"anchor": 1.0}, anchor_layers=["latent", "layers.4"])
    engine = TorchEngine([tiny_folder], own, "cpu")
    clean, radius = pixels(), np.full((1, 1, 64, 64), 8 / 255, np.float32)
    outcome = optimise_photo(engine.create_optimiser(clean, pixels(seed=2), radius, own, 0), own)
    surrogate = load_autoencoder(tiny_folder, hooks=("layers.4",))
    objectives = build_objectives(own, None, torch.from_numpy(make_target("checkerboard", clean)))
    expected = bind_objectives(objectives, surrogate, torch.from_numpy(clean))(outcome.candidate)
    torch.testing.assert_close(outcome.score, expected)
    idle = recipe(terms={"displacement": 1.0}, anchor_layers=["latent", "no.such.layer"])
    TorchEngine([tiny_folder], idle, "cpu").prepare()  # without an anchor nothing is hooked


def test_known_surrogates_load_as_frozen_encoders_where_they_are_installed(empty_home: Path) -> None:
    engine = TorchEngine([], None, "cpu")
    assert engine.is_available("embedded")
    assert not engine.is_available("taesd")
    assert engine.load_encoder("embedded").info.name == "embedded"
    with pytest.raises(SurrogateError, match="taesd is not on this machine"):
        engine.load_encoder("taesd")


def test_optimised_surrogates_are_returned_as_frozen_encoders(tiny_folder: Path) -> None:
    engine = TorchEngine([tiny_folder, "embedded"], recipe(), "cpu")
    assert [encoder.info.name for encoder in engine.optimised_encoders()] == ["toy-tiny", "embedded"]


@pytest.mark.usefixtures("empty_home")
def test_without_lpips_weights_there_is_no_perceptual_distance(tiny_folder: Path) -> None:
    own = recipe(terms={"auxiliary": 1.0})
    engine = TorchEngine([tiny_folder], own, "cpu")
    assert engine.load_lpips() is None
    with pytest.raises(RecipeError, match="the auxiliary term needs LPIPS weights"):
        engine.create_optimiser(pixels(), pixels(), np.full((1, 1, 64, 64), 8 / 255, np.float32), own, 0)


def test_the_perceptual_distance_is_that_of_the_installed_weights(
    empty_home: Path, tiny_folder: Path, lpips_weights: dict[str, torch.Tensor]
) -> None:
    (empty_home / LPIPS_WEIGHTS).parent.mkdir(parents=True)
    save_file(lpips_weights, empty_home / LPIPS_WEIGHTS)
    lpips = Lpips.load(empty_home / LPIPS_WEIGHTS)
    own = recipe(terms={"auxiliary": 1.0})
    engine = TorchEngine([tiny_folder], own, "cpu")
    distance = engine.load_lpips()
    assert distance is not None
    first, second = pixels(2), pixels(2, seed=1)
    expected = lpips(torch.from_numpy(first), torch.from_numpy(second)).detach().numpy()
    np.testing.assert_allclose(distance(first, second), expected, rtol=1e-6)
    start, radius = engine.initial_candidate(pixels(), np.sign(pixels(seed=2) - 0.5), 8 / 255, 1.0)
    photo = engine.create_optimiser(pixels(), start, radius, own, 0)
    outcome = optimise_photo(photo, own)
    assert distance(photo.to_numpy(outcome.candidate), pixels()) > distance(start, pixels())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives(tiny_folder: Path) -> None:
    own, pattern = recipe(spaces=["lab", "dct"], algorithm="adam"), np.sign(pixels(seed=2) - 0.5)
    found = []
    for device in ("cpu", "cuda"):
        engine = TorchEngine([tiny_folder], own, device)
        start, radius = engine.initial_candidate(pixels(), pattern, 8 / 255, 0.5)
        photo = engine.create_optimiser(pixels(), start, radius, own, 0)
        found.append(photo.to_numpy(optimise_photo(photo, own).candidate))
    levels = np.rint(np.stack(found) * 255)
    assert np.mean(levels[0] == levels[1]) > 0.98
