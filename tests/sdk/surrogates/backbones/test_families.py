from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.evaluation.baselines.score_distillation import ScoreDistillation
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.denoising import DenoisingLoss
from anti_i2v.objectives.representation_anchor import RepresentationAnchor
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.objectives.targets import checkerboard
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.update_rules import value_and_gradient
from anti_i2v.recipes import Recipe, Terms
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.loading import load_backbone
from anti_i2v.surrogates.info import sample_inputs

SIDE = 32
HOOKS = ("early", "late", "prediction")
FAMILIES = ["cogvideox", "wan21", "wan22", "wan5b", "ltx", "hunyuan", "hunyuan33", "svd", "i2vgenxl"]


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{request.param}_folder")
    return found


def photo(seed: int = 0, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear").to(dtype).mul(0.8).add(0.1)


@cache
def load(folder: Path, dtype: torch.dtype = torch.float64, **options: object) -> Backbone:
    return load_backbone(folder, caption="a person smiles", dtype=dtype, **{"hooks": HOOKS, "frames": 2, **options})


def inputs_of(model: Backbone, pixels: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    arrays = sample_inputs(model.random_inputs, tuple(pixels.shape), np.random.default_rng(seed))
    return {
        **model.context,
        **model.precompute(pixels),
        **{name: torch.from_numpy(value) for name, value in arrays.items()},
    }


def target() -> torch.Tensor:
    return torch.from_numpy(checkerboard(SIDE, SIDE)).double()


OBJECTIVES = {
    "collapse": RepresentationCollapse,
    "anchor": lambda: RepresentationAnchor(target(), ("latent", "late")),
    "denoising": DenoisingLoss,
}


@pytest.mark.parametrize("term", OBJECTIVES)
def test_the_gradient_reaches_the_whole_photo_and_is_the_slope_of_the_loss(folder: Path, term: str) -> None:
    model, clean = load(folder), photo()
    loss_fn = bind_objectives({OBJECTIVES[term](): 1.0}, model, clean)
    near = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=clean.dtype)
    _, gradient = value_and_gradient(loss_fn, near)
    assert (gradient != 0).any(1).double().mean() >= 0.99
    direction = gradient / gradient.norm()
    step = 1e-3  # far above rounding: some families' blocks always compute in float32
    with torch.no_grad():
        around = [loss_fn(near + times * step * direction) for times in (-2, -1, 1, 2)]
    slope = (around[0] - 8 * around[1] + 8 * around[2] - around[3]) / (12 * step)  # exact for curves up to order four
    torch.testing.assert_close(slope[0], gradient.norm(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("term", OBJECTIVES)
def test_a_few_steps_on_each_term_change_what_it_measures(folder: Path, term: str) -> None:
    model, clean = load(folder), photo()
    start = (clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)).sign() / 255).clamp(0, 1)
    terms, layers = Terms(**{term: 1.0}), ("latent", "late")
    own = Recipe(name="own", summary="Of this test.", terms=terms, anchor_layers=layers, steps=4, score_every=1)
    outcome = optimise_photo(TorchPhotoOptimiser([model], clean, start, torch.full((1, 1, 1, 1), 8 / 255), own), own)
    inputs = inputs_of(model, clean)
    with torch.no_grad():
        before, after = model.features(clean, inputs), model.features(outcome.candidate, inputs)
    if term == "collapse":
        for late, early in model.collapse_pairs():
            shape = before[late].shape
            if before[early].shape == shape:
                assert distance(after[late], after[early]) < distance(before[late], before[early])
    elif term == "anchor":
        with torch.no_grad():
            wanted = model.features(target(), inputs)
        assert distance(after["latent"], wanted["latent"]) < distance(before["latent"], wanted["latent"])
    else:
        assert distance(after["prediction"], after["target"]) > distance(before["prediction"], before["target"])


@pytest.mark.parametrize("hooks", [(), HOOKS], ids=["no hooks", "hooks"])
def test_score_distillation_passes_the_error_of_the_static_video_through_the_encoder_only(
    folder: Path, hooks: tuple[str, ...]
) -> None:
    model, clean = load(folder, hooks=hooks), photo()
    inputs, objective = inputs_of(model, clean), ScoreDistillation()
    with torch.no_grad():
        bound = objective.bind(model, clean, inputs)
    near = clean + 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=clean.dtype)
    _, gradient = value_and_gradient(
        lambda seen: objective(model, {"latent": model.encode(seen), "pixels": seen}, bound), near
    )
    whole, errors = load(folder), []  # the oracle: other hooks, and a given reference
    for pixels in (clean, near):
        with torch.no_grad():
            found = whole.features(pixels, {**inputs, "reference": whole.static_video(whole.encode(pixels))})
        errors.append(found["prediction"] - found["target"])
    leaf = near.clone().requires_grad_(True)
    noisy, _ = whole.add_noise(whole.static_video(whole.encode(leaf)), inputs)
    noisy = noisy[:, :, -errors[1].shape[2] :]
    (expected,) = torch.autograd.grad(noisy, leaf, errors[1] / errors[1].numel() / errors[0].square().mean())
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-9)
    assert (gradient != 0).any(1).double().mean() >= 0.99


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).square().mean())


def test_the_forward_pass_ends_at_the_last_hooked_block_unless_a_prediction_is_wanted(folder: Path) -> None:
    short, clean = load(folder, hooks=("early",)), photo()
    ran: list[str] = []
    last = short.denoiser.get_submodule(short.layers[-1])
    last.register_forward_hook(lambda *_: ran.append("last"))
    features = short.features(clean, inputs_of(short, clean))
    assert "prediction" not in features
    assert not ran
    assert set(features) == {"latent", *short.resolve_layers("early")}
    whole = load(folder)
    for name, value in features.items():
        torch.testing.assert_close(value, whole.features(clean, inputs_of(whole, clean))[name])


def test_recomputing_blocks_changes_memory_and_not_the_gradient(folder: Path) -> None:
    clean = photo()
    near = clean + 0.01
    gradients = [
        value_and_gradient(bind_objectives({DenoisingLoss(): 1.0}, load(folder, checkpointing=on), clean), near)[1]
        for on in (False, True)
    ]
    torch.testing.assert_close(*gradients)


def test_the_autoencoder_is_recomputed_as_well(folder: Path) -> None:
    counts = []
    for on in (False, True):
        model, ran = load(folder, checkpointing=on), []
        model.autoencoder.encoder.mid_block.register_forward_pre_hook(lambda *_, ran=ran: ran.append(1))
        latent = model.encode(photo().requires_grad_())
        forward = len(ran)
        latent.sum().backward()
        counts.append((forward, len(ran)))
    assert counts == [(1, 1), (1, 2)]


def test_equal_inputs_give_equal_features_and_other_inputs_do_not(folder: Path) -> None:
    model, clean = load(folder), photo()
    one, same, other = (model.features(clean, inputs_of(model, clean, seed))["prediction"] for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_a_batch_of_two_equals_two_single_photos(folder: Path) -> None:
    model = load(folder)
    both = torch.cat([photo(0), photo(1)])
    inputs = inputs_of(model, both)
    together = model.features(both, inputs)
    for index in range(2):
        own = {
            name: value[index : index + 1] if len(value) == 2 and name not in model.context else value
            for name, value in inputs.items()
        }
        single = model.features(both[index : index + 1], own)
        for name, value in single.items():
            torch.testing.assert_close(together[name][index : index + 1], value, rtol=1e-4, atol=1e-6)  # float32
