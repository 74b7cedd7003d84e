"""Windows of a large photo for a small video model: their pixels, their losses, and their export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from anti_i2v import Protector
from anti_i2v.engines.artifacts import read_artifact
from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.errors import SurrogateError
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.recipes import Recipe, Terms, for_encoders, hook_points, weighted_terms
from anti_i2v.surrogates.catalogue import load_surrogate, resolve
from anti_i2v.surrogates.info import RandomInput, sample_inputs
from anti_i2v.surrogates.video_models import small_video_models
from anti_i2v.surrogates.windowed import Windowed, window

SIDE = 32


@pytest.fixture
def model(dit_folder: Path) -> Any:
    """A CogVideoX of two blocks and three frames."""
    return load_surrogate(dit_folder, frames=3, hooks=("prediction", "late"))


@pytest.fixture
def windowed(model: Any) -> Windowed:
    return Windowed(model, side=SIDE)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(7))


def inputs_of(surrogate: Any, clean: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    arrays = sample_inputs(surrogate.random_inputs, tuple(clean.shape), np.random.default_rng(seed))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {**surrogate.context, **surrogate.precompute(clean), **tensors}


# Pixels of a window.


def test_a_window_of_twice_the_side_is_the_mean_of_two_by_two_pixels() -> None:
    pixels = noise(1, 3, 64, 96)
    seen = window(pixels, torch.tensor([[1.0, 0.5, 0.5]]), SIDE)
    expected = pixels[..., 16:80].unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    torch.testing.assert_close(seen, expected)


def test_the_smallest_window_is_a_cut_at_the_photos_own_scale() -> None:
    pixels = noise(2, 3, 64, 96)
    corners = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    seen = window(pixels, corners, SIDE)
    torch.testing.assert_close(seen[0], pixels[0, :, :32, :32])
    torch.testing.assert_close(seen[1], pixels[1, :, 32:, 64:])


def test_a_photo_of_the_models_own_size_is_returned_whole_for_any_place() -> None:
    pixels = noise(1, 3, SIDE, SIDE)
    torch.testing.assert_close(window(pixels, noise(1, 3), SIDE), pixels)


def test_windows_of_any_size_average_as_an_independent_resizer_does() -> None:
    pixels = noise(1, 3, 75, 75)
    seen = window(pixels, torch.tensor([[1.0, 0.0, 0.0]]), SIDE)[0]
    for channel in range(3):
        plane = Image.fromarray(pixels[0, channel].numpy())
        expected = np.asarray(plane.resize((SIDE, SIDE), Image.Resampling.BOX))
        # Pillow does not split pixels at the edge of an area; the means agree.
        assert abs(float(seen[channel].mean()) - float(expected.mean())) < 0.01
        assert float((seen[channel] - torch.from_numpy(expected.copy())).abs().mean()) < 0.1
    torch.testing.assert_close(seen.mean(), pixels.mean())


def test_a_flat_photo_stays_flat_even_where_the_window_is_larger_than_the_photo() -> None:
    pixels = torch.full((1, 3, 20, 24), 0.25)
    torch.testing.assert_close(window(pixels, noise(1, 3), SIDE), torch.full((1, 3, SIDE, SIDE), 0.25))


# Features of a window.


def test_on_photos_of_the_models_size_it_equals_the_model(windowed: Windowed, model: Any) -> None:
    clean, candidate = noise(2, 3, SIDE, SIDE), noise(2, 3, SIDE, SIDE).flip(0)
    inputs = inputs_of(windowed, clean)
    seen = windowed.features(candidate, inputs)
    precomputed = model.precompute(clean)
    expected = model.features(candidate, {**inputs, **precomputed})
    assert seen.keys() == expected.keys()
    for name in seen:
        torch.testing.assert_close(seen[name], expected[name], msg=name)


def test_its_gradient_lies_within_the_window(windowed: Windowed) -> None:
    clean = noise(1, 3, 64, 96)
    inputs = {**inputs_of(windowed, clean), "place": torch.tensor([[0.0, 0.0, 1.0]])}
    pixels = (clean + 0.01).requires_grad_(True)
    features = windowed.features(pixels, inputs)
    (features["prediction"] - features["target"]).square().mean().backward()
    assert pixels.grad is not None
    inside = pixels.grad[:, :, :32, 64:].abs().sum()
    assert inside > 0
    torch.testing.assert_close(pixels.grad.abs().sum(), inside)


def test_the_reference_is_the_clean_photos_window_and_not_the_candidates(windowed: Windowed) -> None:
    clean = noise(1, 3, 64, 64)
    inputs = inputs_of(windowed, clean)
    first, second = (windowed.features(pixels, inputs)["target"] for pixels in (clean, clean.flip(-1)))
    torch.testing.assert_close(first, second)


def test_random_inputs_have_the_size_of_the_window_for_any_photo(windowed: Windowed) -> None:
    shapes = [
        {name: value.shape for name, value in inputs_of(windowed, noise(1, 3, *size)).items() if name != "clean"}
        for size in ((64, 96), (48, 40))
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0]["noise"][-2:] == (SIDE // 8, SIDE // 8)


def test_places_are_sampled_uniformly_between_0_and_1() -> None:
    values = RandomInput(kind="uniform", shape=("B", 3)).sample(1000, 8, 8, np.random.default_rng(0))
    assert values.dtype == np.float32
    assert 0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1
    assert abs(float(values.mean()) - 0.5) < 0.02


# Together with encoders.


def test_terms_that_need_a_denoiser_are_dropped_for_encoders() -> None:
    terms = Terms(displacement=2.0, collapse=1.0, denoising=1.0, distillation=1.0)
    recipe = Recipe(name="own", summary="Mine.", terms=terms, video_models=("dit-taef1",))
    assert weighted_terms(for_encoders(recipe)) == {"displacement": 2.0}
    assert hook_points(recipe) == ("early", "late", "prediction")
    assert hook_points(for_encoders(recipe)) == ()
    assert not recipe.needs_denoiser


@pytest.mark.parametrize(
    ("layers", "terms", "left"),
    [
        (("prediction",), {"displacement": 2.0}, ("latent",)),
        (("latent", "prediction"), {"displacement": 2.0, "anchor": 1.0}, ("latent",)),
        (("layers.4", "late"), {"displacement": 2.0, "anchor": 1.0}, ("layers.4",)),
    ],
    ids=["nothing of an encoder", "its latent", "its layer"],
)
def test_an_anchor_keeps_the_layers_that_an_encoder_has(
    layers: tuple[str, ...], terms: dict[str, float], left: tuple[str, ...]
) -> None:
    recipe = Recipe(
        name="own",
        summary="Mine.",
        terms=Terms(displacement=2.0, anchor=1.0),
        anchor_layers=layers,
        video_models=("dit-taef1",),
    )
    kept = for_encoders(recipe)
    assert weighted_terms(kept) == terms
    assert kept.anchor_layers == left
    assert not recipe.needs_denoiser


def test_a_recipe_without_its_own_video_model_keeps_all_terms_for_encoders() -> None:
    recipe = Recipe(name="own", summary="Mine.", terms=Terms(displacement=1.0, denoising=1.0))
    assert for_encoders(recipe) == recipe
    assert recipe.needs_denoiser


@pytest.mark.parametrize("name", ["balanced", "strong"])
def test_a_recipe_with_its_own_video_model_runs_on_a_named_one(name: str, dit_folder: Path, photos: list[Any]) -> None:
    protector = Protector(name, surrogates=[dit_folder], steps=2, short_side=64, deadline=None)
    protection = protector.protect(photos[0], effects=False)
    assert protection.receipt.steps == 2


def test_an_encoder_and_a_video_model_take_steps_together(tiny_folder: Path, windowed: Windowed) -> None:
    recipe = Recipe(
        name="own",
        summary="Mine.",
        steps=2,
        turns="all",
        terms=Terms(displacement=1.0, denoising=1.0),
        video_models=("dit-taef1",),
    )
    clean = noise(1, 3, 64, 64)
    radius = torch.full((1, 1, 64, 64), 8 / 255)
    together = [
        TorchPhotoOptimiser(models, clean, clean + 0.01 * noise(1, 3, 64, 64).flip(-1), radius, recipe)
        for models in ([load_surrogate(tiny_folder), windowed], [load_surrogate(tiny_folder)], [windowed])
    ]
    moved = [photo.to_numpy(optimise_photo(photo, recipe).candidate) for photo in together]
    assert np.abs(moved[0] - clean.numpy()).max() <= 8 / 255 + 1e-6
    assert not np.array_equal(moved[0], moved[1])
    assert not np.array_equal(moved[0], moved[2])


@pytest.mark.parametrize("name", [victim.name for victim in small_video_models().values() if not victim.optimisable])
def test_victims_for_evaluation_are_refused_as_surrogates(name: str) -> None:
    with pytest.raises(SurrogateError, match=f"{name} is kept for evaluation.*take dit-taef1"):
        resolve(name).locate()


# Export.

PULLED = Recipe(
    name="own",
    summary="A prediction near pure noise, pulled to another picture's.",
    steps=4,
    algorithm="adam",
    terms=Terms(displacement=0.5, anchor=1.0),
    target="glyphs",
    anchor_layers=("prediction",),
    noise_levels=(0.6, 1.0),
    video_models=("toy",),
)


@pytest.fixture(scope="module")
def one_block(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CogVideoX of one block: tracing takes minutes for two, and a second block brings nothing new."""
    pytest.importorskip("diffusers", reason="needs diffusers: pip install 'anti-i2v-sdk[backbones]'")
    from tests import tiny_models

    folder = tmp_path_factory.mktemp("victims") / "one-block"
    model = tiny_models.small_dit(frames=3, blocks=1)
    return tiny_models.write_folder(folder, "CogVideoXImageToVideoPipeline", model)


@pytest.fixture(scope="module")
def exported(one_block: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'anti-i2v-sdk[export,cpu]'")
    from anti_i2v_export import export_surrogate

    folder = tmp_path_factory.mktemp("artifacts") / "toy-onnx"
    looking = Windowed(load_surrogate(one_block, frames=3, hooks=("prediction",)), side=SIDE)
    export_surrogate(looking, folder, recipes=[PULLED])
    return folder


@pytest.mark.slow  # tracing takes a minute and a half; CI runs it
def test_the_graphs_of_a_small_video_model_are_those_of_its_terms_and_layers(exported: Path) -> None:
    artifact = read_artifact(exported)
    assert artifact.denoises
    wanted = {"terms": ["displacement", "anchor"], "anchor_layers": ["prediction"]}
    step = artifact.find_graph("step", space="rgb", algorithm="adam", **wanted)
    assert step is not None
    assert {"draw.place", "draw.timestep", "draw.noise", "draw.clean"} <= {port.name for port in step.inputs}


@pytest.mark.slow  # as above
def test_exported_steps_pull_a_prediction_as_torchs_do(exported: Path, one_block: Path) -> None:
    from anti_i2v.engines.onnx_engine import OnnxEngine

    windowed = Windowed(load_surrogate(one_block, frames=3, hooks=("prediction",)), side=SIDE)
    generator = np.random.default_rng(0)
    clean = generator.random((1, 3, 48, 64), np.float32)
    start = (clean + generator.normal(0, 0.01, clean.shape)).clip(0, 1).astype(np.float32)
    radius = np.full((1, 1, 48, 64), 8 / 255, np.float32)
    given = [torch.from_numpy(each) for each in (clean, start, radius)]
    on_torch = TorchPhotoOptimiser([windowed], given[0], given[1], given[2], PULLED, seed=5)
    on_onnx = OnnxEngine([exported], PULLED, "cpu").create_optimiser(clean, start, radius, PULLED, 5)
    expected, found = optimise_photo(on_torch, PULLED, seed=3), optimise_photo(on_onnx, PULLED, seed=3)
    torchs, ours = on_torch.to_numpy(expected.candidate), on_onnx.to_numpy(found.candidate)
    assert np.mean(np.rint(255 * torchs) == np.rint(255 * ours)) >= 0.99
    np.testing.assert_allclose(found.score, expected.score, rtol=0.02)
    assert np.abs(ours - start).max() > 1 / 255
