"""The ONNX engine agrees with the torch engine, keeps `Protector`'s promises, and refuses what it cannot run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from anti_i2v.arrays import PixelArray, Rgb8
from anti_i2v.engines import make_engine
from anti_i2v.engines.artifacts import read_artifact
from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.images.platforms import PRESETS
from anti_i2v.images.resize import resize_to_working, working_size
from anti_i2v.optim import optimise, pgd
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.pgd import Result, Step
from anti_i2v.protector import Protector
from anti_i2v.recipes import Recipe, load_recipe
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'anti-i2v-sdk[cpu]'")


from anti_i2v.engines.onnx_engine import OnnxEngine, OnnxPhotoOptimiser
from anti_i2v.engines.onnx_session import OrtDevice

pytestmark = pytest.mark.usefixtures("empty_home", "one_thread")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Of torch's: more of them only wait for each other on photos as small as these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def recipe(**settings: object) -> Recipe:
    """Balanced, EOT included, with fewer steps on fewer pixels."""
    return load_recipe("balanced", **{"short_side": 96, "steps": 10, **settings})


def opened(engine: str, photo: Rgb8, own: Recipe, names: list[str | Path]) -> Any:
    """A photo as `Protector` opens it."""
    made = make_engine(engine, names, own, "cpu")
    made.prepare()
    clean = resize_to_working(photo, working_size(photo.shape[0], photo.shape[1], own.short_side, made.multiple))
    start, radius = made.initial_candidate(
        clean, initial_pattern(clean, own.start, 0), own.budget / 255, own.mask_floor
    )
    return made.create_optimiser(clean, start, radius, own, 0)


def optimised(
    engine: str, photo: Rgb8, own: Recipe, names: list[str | Path], **options: Any
) -> tuple[PixelArray, float]:
    """The best candidate, (1, 3, H, W), and its score."""
    on = opened(engine, photo, own, names)
    outcome: Result[Any] = optimise_photo(on, own, **options)
    return on.to_numpy(outcome.candidate), float(outcome.score[0])


def equal_levels(one: NDArray[Any], other: NDArray[Any]) -> float:
    levels = [np.rint(255 * pixels) if pixels.dtype == np.float32 else pixels for pixels in (one, other)]
    return float(np.mean(levels[0] == levels[1]))


def assert_agree(photo: Rgb8, own: Recipe, names: list[str | Path], **options: Any) -> None:
    expected, score = optimised("torch", photo, own, names, **options)
    found, our_score = optimised("onnx", photo, own, names, **options)
    assert equal_levels(expected, found) >= 0.99
    assert our_score == pytest.approx(score, rel=0.02)


# Measured on four photos: equal levels and score apart by at most
# rgb 100 %, 3e-7; lab 99.99 %, 1e-6; dct 99.96 %, 3e-6; lab and dct 99.99 %; dct8 100 %; signs 99.98 %, 4e-5.
SETTINGS: dict[str, dict[str, object]] = {
    "as it is": {},
    "the paper's dual space": {"spaces": ["lab", "dct"]},
    "sign-gradient": {"algorithm": "sign-gradient"},  # not exported as whole steps: loss and move in two runs
}
OTHERS: dict[str, dict[str, object]] = {
    "lab": {"spaces": ["lab"]},
    "dct": {"spaces": ["dct"]},
    "dct8": {"spaces": ["dct8"]},
    "luma-dct8": {"spaces": ["luma-dct8"], "dct_cutoff": 1.0},
    "momentum in dct": {"algorithm": "momentum", "spaces": ["dct"]},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_ten_steps_of_balanced_agree_with_torch(settings: dict[str, object], photos: list[Rgb8]) -> None:
    assert_agree(photos[0], recipe(**settings), ["embedded"])


@pytest.mark.slow
@pytest.mark.parametrize("settings", (SETTINGS | OTHERS).values(), ids=SETTINGS | OTHERS)
@pytest.mark.parametrize("index", [0, 1, 2, 3], ids=["skin", "fur", "sky", "texture"])
def test_ten_steps_agree_with_torch_in_every_space_and_on_every_photo(
    index: int, settings: dict[str, object], photos: list[Rgb8]
) -> None:
    assert_agree(photos[index], recipe(**settings), ["embedded"])


def test_every_transform_agrees_with_torch(photos: list[Rgb8]) -> None:
    eot = dict.fromkeys(("jpeg", "resize", "blur", "noise", "crop"), 1.0)
    assert_agree(photos[1], recipe(eot=eot, score_every=3, short_side=64), ["embedded"])


def test_a_platforms_codec_agrees_with_torch(photos: list[Rgb8]) -> None:
    assert_agree(photos[2], recipe(short_side=64), ["embedded"], preset=PRESETS["instagram"])


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_two_runs_take_the_same_step_as_one_graph(space: str, photos: list[Rgb8]) -> None:
    # Twice the same surrogate in every step has the gradient of one, and no graph holds two.
    own = recipe(turns="all", spaces=[space], steps=5, eot={"resize": 1.0, "noise": 1.0})
    whole, score = optimised("onnx", photos[3], own, ["embedded"])
    split, split_score = optimised("onnx", photos[3], own, ["embedded", "embedded"])
    assert equal_levels(whole, split) >= 0.999
    assert split_score == pytest.approx(score, rel=1e-3)


def test_alternating_surrogates_agree_with_torch(photos: list[Rgb8]) -> None:
    assert_agree(photos[3], recipe(steps=6, short_side=64), ["embedded", "embedded"])


# What `Protector` promises, on this engine.


def protector(**settings: object) -> Protector:
    return Protector(recipe(**{"steps": 4, **settings}), surrogates=["embedded"], engine="onnx")


def test_the_protected_photo_is_torchs_and_the_receipt_names_the_engine(photos: list[Rgb8]) -> None:
    made = {
        name: Protector(recipe(), surrogates=["embedded"], engine=name, device="cpu").protect(
            photos[0], preset="whatsapp"
        )
        for name in ("torch", "onnx")
    }
    assert equal_levels(made["torch"].photo.pixels, made["onnx"].photo.pixels) >= 0.99
    receipt = made["onnx"].receipt
    assert (receipt.engine, receipt.device) == ("onnx", "cpu (CPUExecutionProvider)")
    assert receipt.versions["onnxruntime"]
    assert "torch" not in receipt.versions
    assert receipt.preset == "whatsapp"
    assert (receipt.steps, receipt.stopped) == (10, "steps")
    (effect,) = receipt.effects
    (expected,) = made["torch"].receipt.effects
    assert (effect.surrogate, effect.role) == (expected.surrogate, expected.role)
    assert effect.shift.protected == pytest.approx(expected.shift.protected, rel=0.02)
    assert effect.shift.random == pytest.approx(expected.shift.random, rel=0.02)


def test_one_seed_gives_one_photo_and_another_another(photos: list[Rgb8]) -> None:
    made = [
        protector(eot={"noise": 1.0}).protect(photos[1], seed=seed, effects=False).photo.pixels for seed in (0, 0, 1)
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


@pytest.mark.parametrize("budget", [1, 3])
def test_the_budget_is_held(budget: int, photos: list[Rgb8]) -> None:
    made = protector(budget=budget, step=64, spaces=["lab", "dct"]).protect(photos[2], effects=False)
    difference = np.abs(made.photo.pixels.astype(int) - photos[2])
    assert difference.max() == made.receipt.budget_spent == budget


def test_the_start_is_projected_into_the_radius(photos: list[Rgb8]) -> None:
    engine = OnnxEngine(["embedded"], recipe(), "cpu")
    clean, radius = resize_to_working(photos[0], (96, 128)), np.full((1, 1, 96, 128), 2 / 255, np.float32)
    photo = engine.create_optimiser(clean, 1 - clean, radius, recipe(), 0)
    start = photo.to_numpy(photo.start)
    assert np.abs(start - clean).max() == pytest.approx(2 / 255, rel=1e-5)
    assert start.min() >= 0
    assert start.max() <= 1


def test_each_step_is_reported_and_cancelling_ends_the_steps(photos: list[Rgb8]) -> None:
    reported: list[Step] = []
    cancel = threading.Event()

    def on_step(step: Step) -> None:
        reported.append(step)
        if step.index == 2:
            cancel.set()

    with pytest.raises(Cancelled, match="cancelled after 2 of 4 steps"):
        protector().protect(photos[0], on_step=on_step, cancel=cancel)
    assert [(step.index, step.steps) for step in reported] == [(1, 4), (2, 4)]
    assert all(np.isfinite(step.loss).all() for step in reported)


def test_a_deadline_ends_the_steps_and_returns_the_best_candidate(
    photos: list[Rgb8], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def tick() -> None:
        nonlocal now
        now += 1

    clock = SimpleNamespace(monotonic=lambda: now)
    for module in (optimise, pgd):
        monkeypatch.setattr(module, "time", clock)
    own = recipe(steps=40)
    photo = opened("onnx", photos[0], own, ["embedded"])
    monkeypatch.setattr(photo, "synchronize", tick)
    outcome = optimise_photo(photo, own, deadline=12.5)  # binding and each step take a second
    assert outcome.stopped == "deadline"
    assert 5 < outcome.steps <= 11
    assert float(outcome.score[0]) < float(photo.score(photo.start)[0])
    late = optimise_photo(photo, own, deadline=now - 1)
    assert (late.steps, late.stopped) == (0, "deadline")
    assert late.candidate is photo.start


def test_pixels_outlive_the_photo_that_they_were_read_from(photos: list[Rgb8]) -> None:
    own = recipe(steps=0)
    photo = opened("onnx", photos[0], own, ["embedded"])
    start = photo.to_numpy(photo.start)
    kept = start.copy()
    del photo
    _ = [np.full(start.shape, index, np.float32) for index in range(64)]  # whoever gets that memory next
    assert np.array_equal(start, kept)


def test_the_better_candidate_is_chosen_for_each_photo_of_a_batch(photos: list[Rgb8]) -> None:
    engine, own = OnnxEngine(["embedded"], recipe(), "cpu"), recipe()
    clean = np.concatenate([resize_to_working(photo, (96, 128)) for photo in photos[:3]])
    photo = engine.create_optimiser(clean, clean, np.full((3, 1, 1, 1), 8 / 255, np.float32), own, 0)
    other = OrtDevice("cpu").to_device(clean + np.float32(0.1))
    best, score = photo.keep_better(photo.start, np.array([1.0, 1.0, np.nan]), other, np.array([0.5, np.nan, 2.0]))
    assert np.array_equal(
        photo.to_numpy(best), np.stack([clean[0] + np.float32(0.1), clean[1], clean[2] + np.float32(0.1)])
    )
    assert score.tolist() == [0.5, 1.0, 2.0]
    assert photo.keep_better(photo.start, np.ones(3), other, np.zeros(3))[0] is other
    assert photo.keep_better(photo.start, np.zeros(3), other, np.ones(3))[0] is photo.start


@pytest.mark.parametrize("size", [(96, 128), (64, 72)], ids=str)
def test_a_frozen_encoder_returns_torchs_latents(size: tuple[int, int], photos: list[Rgb8]) -> None:
    pixels = np.concatenate([resize_to_working(photo, size) for photo in photos])
    found, expected = (make_engine(name, [], None, "cpu").load_encoder("embedded") for name in ("onnx", "torch"))
    assert (found.info, found.decodes) == (expected.info, expected.decodes) == (expected.info, False)
    np.testing.assert_allclose(found.encode(pixels), expected.encode(pixels), atol=1e-4)
    with pytest.raises(TypeError, match="embedded has no decoder"):
        found.decode(found.encode(pixels))


def test_where_nothing_is_exported_the_draft_is_returned(photos: list[Rgb8]) -> None:
    made = Protector(recipe(), engine="onnx").protect(photos[0], effects=False)
    assert (made.receipt.steps, made.receipt.stopped) == (0, "no surrogates")
    assert "`anti-i2v export taesd taesdxl taef1 --half` on a machine" in made.receipt.notes[-1]
    draft = Protector(recipe(steps=0), engine="torch", device="cpu").protect(photos[0], effects=False)
    assert equal_levels(made.photo.pixels, draft.photo.pixels) >= 0.999


# Surrogates with random inputs.


class Noisy(Surrogate):
    """One convolution with a denoiser's inputs: the photo, noise, a timestep that weighs it, a prompt's embedding."""

    random_inputs = {  # noqa: RUF012  # as the base class has it: never changed
        "noise": RandomInput(kind="normal", shape=("B", 3, "H", "W")),
        "timestep": RandomInput(kind="integers", shape=("B",), low=20, high=980),
    }

    def __init__(self) -> None:
        super().__init__()
        self.info = SurrogateInfo(name="noisy", kind="Noisy", source="test", fingerprint="none", licence="Apache-2.0")
        self.multiple = 1
        self.context = {"prompt": torch.linspace(-1, 1, 4)}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Conv2d(6, 4, 3, padding=1).requires_grad_(False)

    def features(
        self, pixels: torch.Tensor, inputs: Mapping[str, torch.Tensor] | None = None
    ) -> dict[str, torch.Tensor]:
        assert inputs is not None
        share = (inputs["timestep"].to(pixels) / 1000).view(-1, 1, 1, 1)
        noise = (1 - share) * inputs["noise"].to(pixels)
        prompt = inputs["prompt"].to(pixels).view(1, 4, 1, 1)
        return {"latent": torch.tanh(self.layer(torch.cat([pixels, noise], 1)) + prompt)}


NOISY_RECIPE = Recipe(name="own", summary="Of this test.", steps=6, eot={"identity": 1.0, "resize": 1.0}, score_every=2)


def need_export() -> Callable[..., Any]:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package, reason=f"needs {package}: pip install 'anti-i2v-sdk[export]'")
    from anti_i2v_export import export_surrogate

    return export_surrogate


@pytest.fixture(scope="module")
def noisy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "noisy-onnx"
    need_export()(Noisy(), folder, recipes=[NOISY_RECIPE])
    return folder


def test_random_inputs_and_the_context_are_inputs_of_the_graphs(noisy_folder: Path) -> None:
    artifact = read_artifact(noisy_folder)
    assert artifact.random_inputs == Noisy.random_inputs
    assert [graph.kind for graph in artifact.graphs] == ["encode", "bind", "loss", "step"]
    for graph in artifact.graphs:
        sampled = {port.name: (port.type, port.shape) for port in graph.inputs if port.name.startswith("draw.")}
        assert sampled == {
            "draw.prompt": ("tensor(float)", (4,)),
            "draw.noise": ("tensor(float)", ("batch", 3, "height", "width")),
            "draw.timestep": ("tensor(int64)", ("batch",)),
        }
    assert "context.safetensors" in artifact.files


@pytest.mark.parametrize(("turns", "levels"), [("one", (0, 1)), ("all", (0, 1)), ("one", (0.7, 1))])
def test_random_inputs_are_those_of_torch(
    turns: str, levels: tuple[float, float], noisy_folder: Path, photos: list[Rgb8]
) -> None:
    own = load_recipe(NOISY_RECIPE, turns=turns, noise_levels=levels)
    times = 1 if turns == "one" else 2  # two of them sample one after the other, and take two runs
    clean = np.concatenate([resize_to_working(photo, (48, 64)) for photo in photos[:2]])
    start = (clean + np.random.default_rng(1).normal(0, 0.01, clean.shape)).astype(np.float32)
    radius = np.full((2, 1, 48, 64), 8 / 255, np.float32)
    first, second, third = (torch.from_numpy(array) for array in (clean, start, radius))
    on_torch = TorchPhotoOptimiser([Noisy()] * times, first, second, third, own, seed=5)
    on_onnx = OnnxEngine([noisy_folder] * times, own, "cpu").create_optimiser(clean, start, radius, own, 5)
    expected, found = optimise_photo(on_torch, own, seed=3), optimise_photo(on_onnx, own, seed=3)
    assert equal_levels(on_torch.to_numpy(expected.candidate), on_onnx.to_numpy(found.candidate)) >= 0.99
    np.testing.assert_allclose(found.score, expected.score, rtol=0.02)
    banked = load_recipe(own, noise_samples=2)
    with pytest.raises(RecipeError, match="samples noise and timestep anew in every step: set noise_samples to 0"):
        OnnxEngine([noisy_folder], own, "cpu").create_optimiser(clean, start, radius, banked, 5)
    again = OnnxEngine([noisy_folder] * times, own, "cpu").create_optimiser(clean, start, radius, own, 6)
    other = optimise_photo(again, own, seed=3)
    assert equal_levels(on_onnx.to_numpy(found.candidate), again.to_numpy(other.candidate)) < 0.99  # the seed matters


# An exported encoder with a decoder and hook points.


ANCHORED = recipe(terms={"displacement": 1.0, "anchor": 0.5}, anchor_layers=["latent", "layers.4"])
DECODED = recipe(terms={"displacement": 1.0, "decoded": 0.5}, algorithm="momentum")


@pytest.fixture(scope="module")
def toy_artifact(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder of `tiny_folder` for balanced, with an anchor, and through its decoder."""
    folder = tmp_path_factory.mktemp("artifacts") / "toy-tiny-onnx"
    need_export()(tiny_folder, folder, recipes=[recipe(), ANCHORED, DECODED])
    return folder


TOYS = {
    "balanced": recipe(),
    "all in every step": recipe(turns="all"),
    "an anchor on two layers": ANCHORED,
    "through the decoder": DECODED,
}


@pytest.mark.slow
@pytest.mark.parametrize("own", TOYS.values(), ids=TOYS)
def test_an_exported_encoder_agrees_with_torch(
    own: Recipe, toy_artifact: Path, tiny_folder: Path, photos: list[Rgb8]
) -> None:
    expected, score = optimised("torch", photos[0], own, [tiny_folder])
    found, our_score = optimised("onnx", photos[0], own, [toy_artifact])
    assert equal_levels(expected, found) >= 0.99
    assert our_score == pytest.approx(score, rel=0.02)


@pytest.mark.slow
def test_two_encoders_in_every_step_agree_with_torch(toy_artifact: Path, tiny_folder: Path, photos: list[Rgb8]) -> None:
    own = recipe(turns="all")
    expected, score = optimised("torch", photos[1], own, [tiny_folder, "embedded"])
    found, our_score = optimised("onnx", photos[1], own, [toy_artifact, "embedded"])
    assert equal_levels(expected, found) >= 0.99
    assert our_score == pytest.approx(score, rel=0.02)


@pytest.mark.slow
def test_a_frozen_encoder_decodes_as_torch_does(toy_artifact: Path, tiny_folder: Path, photos: list[Rgb8]) -> None:
    (found,) = OnnxEngine([toy_artifact], recipe(), "cpu").optimised_encoders()
    (expected,) = make_engine("torch", [tiny_folder], recipe(), "cpu").optimised_encoders()
    assert (found.info, found.decodes) == (expected.info, True)
    pixels = np.concatenate([resize_to_working(photo, (64, 96)) for photo in photos])
    latent = expected.encode(pixels)
    np.testing.assert_allclose(found.encode(pixels), latent, atol=1e-4)
    np.testing.assert_allclose(found.decode(5 * latent), expected.decode(5 * latent), atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("space", ["rgb", "lab", "dct"])
def test_a_gpu_gives_what_the_cpu_gives(space: str, photos: list[Rgb8]) -> None:
    own, found = recipe(spaces=[space]), []
    for device in ("cpu", "cuda"):
        engine = OnnxEngine(["embedded"], own, device)
        clean = resize_to_working(photos[0], (96, 128))
        start, radius = engine.initial_candidate(clean, initial_pattern(clean, own.start, 0), 8 / 255, own.mask_floor)
        photo: OnnxPhotoOptimiser = engine.create_optimiser(clean, start, radius, own, 0)
        found.append(photo.to_numpy(optimise_photo(photo, own).candidate))
    assert equal_levels(*found) > 0.98
