"""Baselines on cases with a known answer: linear encoders and denoisers, whose best step is a sign."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dctn, idctn
from torch import nn

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.errors import RecipeError
from anti_i2v.evaluation.baselines.recipes import baseline_names, load_baseline
from anti_i2v.evaluation.baselines.score_distillation import ScoreDistillation
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.denoising import DenoisingLoss
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.pgd import Result
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.recipes import load_recipe, recipe_names
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo

INFO = SurrogateInfo(name="toy", kind="Toy", source="here", fingerprint="none", licence="Apache-2.0")
SIDE = 32
LEVEL = 1 / 255
NAMES = ["advdm", "dct-shield", "i2vguard-latent", "mist", "photoguard", "sds", "sds-ascent"]
DATA = Path(str(resources.files("anti_i2v").joinpath("data", "baselines")))


class Linear(Surrogate):
    """The latent is one number a row: rows @ pixels."""

    multiple = 8

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.info = rows, INFO

    def features(self, pixels: torch.Tensor, draw: DenoiserInputs | None = None) -> Features:
        return {"latent": pixels.flatten(1) @ self.rows.to(pixels).mT}


class Identity(Surrogate):
    """The latent is the photo."""

    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.info = INFO

    def features(self, pixels: torch.Tensor, draw: DenoiserInputs | None = None) -> Features:
        return {"latent": pixels * 1.0}


class Mixing(nn.Module):
    """prediction = own * noisy + seen * condition; it notes whether gradients were recorded."""

    def __init__(self, own: float, seen: float) -> None:
        super().__init__()
        self.own, self.seen, self.recorded = own, seen, [False]
        self.blocks = nn.ModuleList([nn.Identity()])
        self.dtype = torch.float64

    def forward(self, noisy: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        self.recorded.append(torch.is_grad_enabled())
        mixed: torch.Tensor = self.blocks[0](self.own * noisy + self.seen * condition)
        return mixed


SIGNAL, REST = 0.8, 0.6


class LinearVideo(Backbone):
    """A video model all of whose parts are linear: latents are 4x4 means with random weights, v at one noise level."""

    block_lists: ClassVar[tuple[str, ...]] = ("blocks",)
    samplers: ClassVar[tuple[str, ...]] = ()

    def __init__(self, own: float = 0.5, seen: float = 0.3, frames: int = 3, hooks: tuple[str, ...] = ()) -> None:
        convolution = nn.Conv2d(3, 2, 4, stride=4, bias=False)
        generator = torch.Generator().manual_seed(0)
        nn.init.normal_(convolution.weight, std=0.3, generator=generator)
        super().__init__(convolution.double(), Mixing(own, seen), INFO, hooks=hooks, frames=frames)
        self.multiple = 8
        self.random_inputs = {"noise": RandomInput(kind="normal", shape=("B", frames, 2, "H/4", "W/4"))}

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        latent: torch.Tensor = self.autoencoder(pixels.double())
        return latent

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def decode_video(self, latents: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        raise NotImplementedError

    def static_video(self, latent: torch.Tensor) -> torch.Tensor:
        return latent.unsqueeze(1).expand(-1, self.frames, -1, -1, -1)

    def add_noise(self, reference: torch.Tensor, draw: DenoiserInputs) -> tuple[torch.Tensor, torch.Tensor]:
        noise = draw["noise"].to(reference)
        return SIGNAL * reference + REST * noise, SIGNAL * noise - REST * reference

    def denoise(
        self, noisy: torch.Tensor, latent: torch.Tensor, pixels: torch.Tensor, draw: DenoiserInputs
    ) -> torch.Tensor:
        prediction: torch.Tensor = self.denoiser(noisy, self.static_video(latent))
        return prediction


def photo(low: float = 0.2, high: float = 0.8, *, seed: int = 0) -> torch.Tensor:
    drawn = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * drawn


def run(name: str, clean: torch.Tensor, surrogate: Surrogate, **settings: object) -> Result[torch.Tensor]:
    """As an engine runs it; the start of those that begin at random is drawn as `draft.pattern` draws it."""
    own = load_recipe(load_baseline(name), **settings)
    radius = torch.full((1, 1, SIDE, SIDE), own.budget * LEVEL)
    laid = {"clean": torch.zeros_like(clean), "random": 2 * photo(0, 1, seed=9) - 1}[own.start]
    opened = TorchPhotoOptimiser([surrogate], clean, clean + radius * laid, radius, own)
    return cast(Result[torch.Tensor], optimise_photo(opened, own))


def levels(pixels: torch.Tensor) -> torch.Tensor:
    return pixels * 255


# What ships.


def test_baselines_are_listed_by_name_and_are_not_user_recipes() -> None:
    assert baseline_names() == NAMES == sorted(path.stem for path in DATA.glob("*.toml"))
    assert baseline_names(denoisers=False) == ["dct-shield", "i2vguard-latent", "photoguard"]
    assert not set(NAMES) & set(recipe_names())
    for name in NAMES:
        with pytest.raises(RecipeError, match="unknown recipe"):
            load_recipe(name)


@pytest.mark.parametrize("name", NAMES)
def test_each_baseline_names_its_paper(name: str) -> None:
    own = load_baseline(name)
    assert own.name == name
    assert own.summary.endswith(".")
    assert "arXiv 2" in own.summary or "CVPR" in own.summary


def test_all_baselines_have_the_same_budget_size_and_steps() -> None:
    shared = (
        "budget",
        "short_side",
        "mask_floor",
        "steps",
        "step",
        "final_step",
        "algorithm",
        "eot",
        "turns",
        "keep",
    )
    settings = {tuple(str(getattr(load_baseline(name), key)) for key in shared) for name in NAMES}
    assert len(settings) == 1
    assert load_baseline(NAMES[0]).eot == {"identity": 1.0}
    assert load_baseline(NAMES[0]).algorithm == "sign-gradient"


def test_an_unknown_baseline_is_refused_with_the_choices() -> None:
    with pytest.raises(RecipeError, match="unknown baseline 'glaze': choose from advdm, dct-shield, i2vguard-latent"):
        load_baseline("glaze")


# Encoders.


def test_photoguard_on_a_linear_encoder_spends_its_budget_by_the_sign_of_the_row() -> None:
    row = torch.randn(1, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(1))
    signs = row.sign().view(1, 3, SIDE, SIDE)
    clean = 0.5 + 0.1 * signs + 0.02 * photo(-1, 1)  # further from gray, along the row, than the budget reaches
    found = run("photoguard", clean, Linear(row))
    torch.testing.assert_close(found.candidate, clean - 8 * LEVEL * signs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "target"), [("photoguard", "gray"), ("i2vguard-latent", "degraded")])
def test_on_an_identity_encoder_the_photo_goes_to_the_nearest_point_to_its_target(name: str, target: Any) -> None:
    clean = photo(0.45, 0.55)
    wanted = torch.from_numpy(make_target(target, clean.numpy())).expand_as(clean)
    expected = clean + (wanted - clean).clamp(-8 * LEVEL, 8 * LEVEL)
    assert ((wanted - clean).abs() > 8 * LEVEL).any()
    assert ((wanted - clean).abs() < 8 * LEVEL).any()
    found = run(name, clean, Identity())
    assert levels(found.candidate - expected).abs().amax() < 0.15  # the last steps are a tenth of a level


def test_the_first_step_of_dct_shield_is_one_jpeg_quantisation_step_by_sign_in_luma() -> None:
    row = torch.randn(1, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(2))
    clean = photo()
    side = np.sign(float(row @ clean.flatten()))  # the latent's own sign: its norm falls against it
    found = run("dct-shield", clean, Linear(row), steps=1, budget=32)
    luma = blocks(row.view(3, SIDE, SIDE).sum(0).double().numpy())  # dY moves red, green and blue alike
    moved = -side * np.sign(dctn(luma, axes=(-2, -1), norm="ortho")) * quantisation(85)
    delta = unblocked(idctn(moved, axes=(-2, -1), norm="ortho"))
    delta *= LEVEL / np.sqrt(np.mean(delta**2))
    np.testing.assert_allclose((found.candidate - clean)[0].double(), np.stack([delta] * 3), rtol=0, atol=1e-6)


def test_dct_shield_shrinks_the_latent_and_keeps_chroma() -> None:
    rows = torch.randn(12, 3 * SIDE * SIDE, generator=torch.Generator().manual_seed(3)) / SIDE
    encoder, clean = Linear(rows), photo()
    found = run("dct-shield", clean, encoder)
    before, after = (encoder.features(pixels)["latent"].norm() for pixels in (clean, found.candidate))
    assert after < 0.85 * before
    delta = found.candidate - clean
    assert levels(delta).abs().amax() <= 8 + 1e-3
    torch.testing.assert_close(delta[:, 0], delta[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(delta[:, 0], delta[:, 2], rtol=0, atol=1e-5)


def blocks(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    return plane.reshape(SIDE // 8, 8, SIDE // 8, 8).transpose(0, 2, 1, 3)


def unblocked(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return parts.transpose(0, 2, 1, 3).reshape(SIDE, SIDE)


def quantisation(quality: int) -> NDArray[np.float64]:
    """ITU-T T.81's table K.1, scaled as libjpeg scales it."""
    table = """16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62
               18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92
               49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"""
    steps = np.array(table.split(), float).reshape(8, 8)
    assert quality >= 50
    scaled: NDArray[np.float64] = np.floor((steps * (200 - 2 * quality) + 50) / 100).clip(1)
    return scaled


# Denoisers.


def loss_on(model: Backbone, clean: torch.Tensor, pixels: torch.Tensor, seeds: range) -> float:
    """The denoising loss beside the clean photo's, in logarithms, over draws; the photo is the condition."""
    found = [-float(bind_objectives({DenoisingLoss(): 1.0}, model, clean, seed)(pixels)) for seed in seeds]
    return float(np.mean(found))


def test_advdm_raises_the_denoising_loss_on_unseen_noise_and_more_than_by_chance() -> None:
    model, clean = LinearVideo(hooks=("prediction",)), photo()
    found = run("advdm", clean, model)
    chance = clean + 8 * LEVEL * photo(-1, 1, seed=5).sign()
    unseen = range(1000, 1020)
    assert loss_on(model, clean, clean, unseen) == pytest.approx(0, abs=1e-5)
    assert loss_on(model, clean, found.candidate, unseen) > 0
    assert loss_on(model, clean, found.candidate, unseen) > 3 * abs(loss_on(model, clean, chance, unseen))


def test_mist_pulls_the_latent_to_its_pattern_and_raises_the_denoising_loss() -> None:
    model, clean = LinearVideo(hooks=("prediction",)), photo()
    wanted = model.encode(torch.from_numpy(make_target("glyphs", clean.numpy())))
    found = run("mist", clean, model)
    before, after = ((model.encode(pixels) - wanted).square().mean() for pixels in (clean, found.candidate))
    assert after < before
    assert after < (model.encode(run("advdm", clean, model).candidate) - wanted).square().mean()
    weights = (0.0, load_baseline("mist").terms.denoising, 5.0)
    terms = [{"displacement": 0.0, "anchor": 1.0, "denoising": weight} for weight in weights]
    textural, fused, semantic = (
        loss_on(model, clean, run("mist", clean, model, terms=each).candidate, range(1000, 1020)) for each in terms
    )
    assert textural < fused < semantic


def test_advdm_samples_new_noise_in_every_step() -> None:
    model, noises = LinearVideo(hooks=("prediction",)), []
    model.denoiser.register_forward_pre_hook(lambda module, given: noises.append(given[0].detach().clone()))
    run("advdm", photo(), model, steps=4)
    assert len(torch.stack(noises).flatten(1).unique(dim=0)) >= 5  # one to compare candidates by, and four


def by_hand(model: LinearVideo, clean: torch.Tensor, pixels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """(prediction - target) dz(t)/dphoto, relative to the clean photo's error, with matrices of the encoder."""
    weights = model.autoencoder.weight.detach()

    def error(photo: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = torch.nn.functional.unfold(photo.double(), 4, stride=4)  # (1, 48, places)
        latent = (weights.flatten(1) @ parts)[0].view(1, 1, 2, SIDE // 4, SIDE // 4)
        noisy = SIGNAL * latent + REST * noise
        return 0.5 * noisy + 0.3 * latent - (SIGNAL * noise - REST * latent), latent

    scale = error(clean)[0].square().mean()
    wrong, _ = error(pixels)
    by_latent = SIGNAL * wrong.sum(1).flatten(2) / wrong.numel() / scale  # frames share the latent
    by_parts = weights.flatten(1).mT @ by_latent[0]
    return torch.nn.functional.fold(by_parts[None], (SIDE, SIDE), 4, stride=4)


def test_the_gradient_of_score_distillation_is_the_one_by_hand_on_a_linear_denoiser() -> None:
    model, clean = LinearVideo(), photo().double()
    noise = torch.randn(1, 3, 2, SIDE // 4, SIDE // 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    near, objective = clean + 0.01 * photo(-1, 1, seed=6), ScoreDistillation()
    bound = objective.bind(model, clean, {"noise": noise, "reference": torch.full((1, 3, 2, 8, 8), 7.0)})

    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        return objective(model, {**model.features(pixels, {"noise": noise}), "pixels": pixels}, bound)

    _, gradient = value_and_gradient(loss_fn, near)
    torch.testing.assert_close(gradient, by_hand(model, clean, near, noise))
    assert float(loss_fn(clean)) == pytest.approx(1)
    step = 1e-6 * photo(-1, 1, seed=7).double()
    slope = float((loss_fn(near + step) - loss_fn(near - step)) / 2)
    assert slope != pytest.approx(float((gradient * step).sum()), rel=0.05), "this is not the whole gradient"


def test_score_distillation_never_differentiates_the_denoiser() -> None:
    model, clean = LinearVideo(), photo().double()
    denoiser: Any = model.denoiser
    loss_fn = bind_objectives({ScoreDistillation(): 1.0}, model, clean)
    value_and_gradient(loss_fn, clean)
    assert len(denoiser.recorded) >= 3
    assert not any(denoiser.recorded)
    other = LinearVideo(hooks=("prediction",))
    value_and_gradient(bind_objectives({DenoisingLoss(): 1.0}, other, clean), clean)
    assert any(cast(Any, other.denoiser).recorded)


@pytest.mark.parametrize(("name", "way"), [("sds", -1), ("sds-ascent", 1)])
def test_sds_goes_down_as_its_paper_recommends_and_its_ascent_goes_up(name: str, way: int) -> None:
    model, clean = LinearVideo(), photo()
    noise = torch.from_numpy(np.random.default_rng([0, 1]).standard_normal((1, 3, 2, 8, 8), np.float32)).double()
    found = run(name, clean, model, steps=1)  # the first of the draws of the steps, seed 0
    expected = clean + way * LEVEL * by_hand(model, clean, clean, noise).sign().float()
    torch.testing.assert_close(found.candidate, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "falls"), [("sds", True), ("sds-ascent", False)])
def test_score_distillation_changes_the_error_on_unseen_noise(name: str, falls: bool) -> None:
    model, clean = LinearVideo(), photo()
    found = run(name, clean, model)
    unseen = [
        float(bind_objectives({ScoreDistillation(): 1.0}, model, clean, seed)(found.candidate))
        for seed in range(1000, 1020)
    ]
    assert bool(np.mean(unseen) < 1) is falls
    assert np.mean(unseen) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["sds", "sds-ascent"])
def test_score_distillation_without_a_denoiser_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="toy has no denoiser to distil: choose a recipe for encoders"):
        run(name, photo(), Identity())


# All of them.


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_stays_within_the_budget_and_changes_the_photo(name: str) -> None:
    clean = photo(0, 1)
    found = run(name, clean, LinearVideo(hooks=("prediction",)), steps=12)
    delta = levels(found.candidate - clean)
    assert found.steps == 12
    assert delta.abs().amax() <= 8 + 1e-3
    assert delta.square().mean().sqrt() > 2
    assert found.candidate.amin() >= 0
    assert found.candidate.amax() <= 1


def test_the_last_candidate_is_kept_even_where_its_score_is_worse_as_the_papers_do() -> None:
    clean = 0.5 + 0.1 * LEVEL * photo(-1, 1).sign()  # nearly at the target: one step is far too long
    kept = {keep: run("photoguard", clean, Identity(), steps=1, step=8, keep=keep) for keep in ("best", "last")}
    torch.testing.assert_close(kept["best"].candidate, clean)
    assert levels(kept["last"].candidate - clean).abs().amin() > 7
    assert float(kept["last"].score) > float(kept["best"].score)
