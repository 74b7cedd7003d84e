"""Objectives: gradients against finite differences on real classes, scales, and values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from anti_i2v.errors import RecipeError
from anti_i2v.evaluation.baselines.latent_norm import LatentNorm
from anti_i2v.metrics.latents import relative_shift
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import SHIFT_FLOOR, Objective
from anti_i2v.objectives.binding import BUILDERS, bind_objectives, build_objectives, ensemble, weighted_sum
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.objectives.perceptual import DecoderDistance, LpipsDistance
from anti_i2v.objectives.representation_anchor import RepresentationAnchor
from anti_i2v.recipes import Recipe, Terms, load_recipe, recipe_names, weighted_terms
from anti_i2v.surrogates.autoencoders import Autoencoder, load_autoencoder

LAYERS = {"tiny": "layers.4", "kl": "down_blocks.0"}


@pytest.fixture(scope="module")
def surrogates(tiny_folder: Path, kl_folder: Path) -> dict[str, Autoencoder]:
    """In float64, for finite differences."""
    folders = {"tiny": tiny_folder, "kl": kl_folder}
    return {
        name: load_autoencoder(folder, hooks=(LAYERS[name],), dtype=torch.float64) for name, folder in folders.items()
    }


@pytest.fixture(params=["tiny", "kl"])
def surrogate(request: pytest.FixtureRequest, surrogates: dict[str, Autoencoder]) -> Autoencoder:
    return surrogates[request.param]


@pytest.fixture(scope="module")
def lpips(lpips_weights: dict[str, torch.Tensor]) -> Lpips:
    return Lpips(lpips_weights).double()


def pixels(batch: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, 32, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def near(clean: torch.Tensor, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return clean + 0.03 * torch.randn(clean.shape, dtype=torch.float64, generator=generator)


OBJECTIVES: dict[str, Callable[[Lpips, str], Objective]] = {
    "displacement": lambda lpips, layer: LatentShift(),
    "displacement of a layer": lambda lpips, layer: LatentShift(layer),
    "anchor": lambda lpips, layer: RepresentationAnchor(pixels(1, seed=9)),
    "anchor of layers": lambda lpips, layer: RepresentationAnchor(pixels(1, seed=9), ("latent", layer)),
    "decoder error": lambda lpips, layer: DecoderDistance(),
    "decoder error with lpips": lambda lpips, layer: DecoderDistance(lpips),
    "auxiliary": lambda lpips, layer: LpipsDistance(lpips),
    "norm": lambda lpips, layer: LatentNorm(),
}
every_objective = pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES)


def layer_of(surrogate: Autoencoder) -> str:
    return LAYERS["tiny" if surrogate.tiny else "kl"]


@every_objective
def test_gradients_agree_with_finite_differences(
    make: Callable[[Lpips, str], Objective], surrogate: Autoencoder, lpips: Lpips
) -> None:
    clean = pixels()
    loss_fn = bind_objectives({make(lpips, layer_of(surrogate)): 1.0}, surrogate, clean)
    candidate = near(clean).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss_fn(candidate).sum(), candidate)
    assert gradient.flatten(1).norm(dim=1).gt(0).all()
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        along = torch.randn(clean.shape, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            numeric = (loss_fn(candidate + 1e-6 * along) - loss_fn(candidate - 1e-6 * along)) / 2e-6
        analytic = (gradient * along).flatten(1).sum(1)
        torch.testing.assert_close(numeric, analytic, rtol=1e-4, atol=1e-7)


@every_objective
def test_the_loss_of_a_photo_does_not_depend_on_its_batch(
    make: Callable[[Lpips, str], Objective], surrogate: Autoencoder, lpips: Lpips
) -> None:
    clean = pixels()
    objective = {make(lpips, layer_of(surrogate)): 1.0}
    together = bind_objectives(objective, surrogate, clean)(near(clean))
    apart = [
        bind_objectives(objective, surrogate, photo[None])(candidate[None])
        for photo, candidate in zip(clean, near(clean), strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(apart))


@pytest.mark.parametrize("name", ["displacement", "decoder error", "decoder error with lpips", "auxiliary"])
def test_moving_away_lowers_the_loss(name: str, surrogate: Autoencoder, lpips: Lpips) -> None:
    clean = pixels()
    loss_fn = bind_objectives({OBJECTIVES[name](lpips, "latent"): 1.0}, surrogate, clean)
    further = clean + 2 * (near(clean) - clean)
    assert (loss_fn(further) < loss_fn(near(clean))).all()
    assert (loss_fn(near(clean)) < loss_fn(clean)).all()


def test_displacement_has_no_gradient_at_the_clean_photo(surrogate: Autoencoder) -> None:
    clean = pixels()
    leaf = clean.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(bind_objectives({LatentShift(): 1.0}, surrogate, clean)(leaf).sum(), leaf)
    assert gradient.abs().amax() < 1e-9


def test_displacement_is_minus_the_log_of_the_relative_shift(surrogate: Autoencoder) -> None:
    clean, other = pixels(), pixels(seed=5)
    shift = relative_shift(surrogate.features(other)["latent"], surrogate.features(clean)["latent"])
    expected = -torch.log((shift**2 + SHIFT_FLOOR).sqrt())
    torch.testing.assert_close(bind_objectives({LatentShift(): 1.0}, surrogate, clean)(other), expected)


def test_an_anchor_is_one_at_the_clean_photo_and_zero_at_its_target(surrogate: Autoencoder) -> None:
    clean, target = pixels(), pixels(1, seed=9)
    loss_fn = bind_objectives({RepresentationAnchor(target, ("latent", layer_of(surrogate))): 1.0}, surrogate, clean)
    torch.testing.assert_close(loss_fn(clean), torch.ones(2, dtype=torch.float64))
    assert loss_fn(target.expand_as(clean)).abs().amax() < 1e-12


def test_the_latent_norm_is_one_at_the_clean_photo_and_scales_with_the_square(surrogate: Autoencoder) -> None:
    clean = pixels()
    loss_fn = bind_objectives({LatentNorm(): 1.0}, surrogate, clean)
    torch.testing.assert_close(loss_fn(clean), torch.ones(2, dtype=torch.float64))
    latents = [surrogate.features(photos)["latent"].flatten(1).norm(dim=1) for photos in (near(clean), clean)]
    torch.testing.assert_close(loss_fn(near(clean)), (latents[0] / latents[1]).square())


def test_an_anchor_of_another_size_is_fitted_to_the_photo(surrogate: Autoencoder) -> None:
    target = torch.rand(1, 3, 100, 50, generator=torch.Generator().manual_seed(0))
    assert bind_objectives({RepresentationAnchor(target): 1.0}, surrogate, pixels())(pixels(seed=1)).shape == (2,)


@pytest.mark.parametrize(
    "objective",
    [LatentShift(), RepresentationAnchor(pixels(1, seed=9)), LatentNorm()],
    ids=["displacement", "anchor", "norm"],
)
def test_a_surrogate_with_larger_latents_does_not_weigh_more(
    objective: Objective, surrogates: dict[str, Autoencoder]
) -> None:
    plain, clean = surrogates["kl"], pixels()
    loud = copy.deepcopy(plain)
    loud.latent_scale *= 1000
    quiet_loss, loud_loss = (bind_objectives({objective: 1.0}, model, clean)(near(clean)) for model in (plain, loud))
    assert not torch.allclose(plain.features(clean)["latent"], loud.features(clean)["latent"])
    torch.testing.assert_close(quiet_loss, loud_loss)


def test_bound_objectives_add_up_by_weight(surrogate: Autoencoder) -> None:
    clean, candidate = pixels(), near(pixels())
    first, second = LatentShift(), RepresentationAnchor(pixels(1, seed=9))
    parts = [bind_objectives({objective: 1.0}, surrogate, clean)(candidate) for objective in (first, second)]
    whole = bind_objectives({first: 2.0, second: 0.5}, surrogate, clean)(candidate)
    torch.testing.assert_close(whole, 2.0 * parts[0] + 0.5 * parts[1])


def test_graphs_are_traced_from_the_function_that_the_torch_engine_runs(surrogate: Autoencoder, lpips: Lpips) -> None:
    """With bound values and weights as inputs, as in a graph."""
    clean, candidate = pixels(), near(pixels())
    objectives = {
        LatentShift(): 2.0,
        RepresentationAnchor(pixels(1, seed=9)): 0.5,
        DecoderDistance(lpips): 0.25,
        LpipsDistance(lpips): 1.0,
    }
    bounds = [objective.bind(surrogate, clean) for objective in objectives]
    weights = torch.tensor(list(objectives.values()), dtype=torch.float64)
    total = weighted_sum(list(objectives), surrogate, candidate, list(weights.unbind()), bounds, {})
    torch.testing.assert_close(total, bind_objectives(objectives, surrogate, clean)(candidate))


def test_a_surrogate_without_random_inputs_has_one_loss(surrogate: Autoencoder) -> None:
    loss_fn = bind_objectives({LatentShift(): 1.0}, surrogate, pixels())
    assert loss_fn.with_fresh_inputs(np.random.default_rng(0)) is loss_fn


EVERY_TERM = {"displacement": 1.0, "anchor": 0.5, "decoded": 0.25, "auxiliary": 2.0, "norm": 0.75}
CLASSES = {
    "displacement": LatentShift,
    "anchor": RepresentationAnchor,
    "decoded": DecoderDistance,
    "auxiliary": LpipsDistance,
    "norm": LatentNorm,
}


def own(**terms: float) -> Recipe:
    return Recipe(name="own", summary="Of this test.", terms=Terms(**terms), anchor_layers=("latent", "layers.4"))


def test_a_recipes_terms_become_objectives_in_their_order(lpips: Lpips) -> None:
    target = pixels(1, seed=9)
    made = build_objectives(own(**EVERY_TERM), lpips, target)
    assert [type(objective) for objective in made] == list(CLASSES.values())
    assert list(made.values()) == list(EVERY_TERM.values()) == list(weighted_terms(own(**EVERY_TERM)).values())
    anchor = list(made)[1]
    assert isinstance(anchor, RepresentationAnchor)
    assert anchor.layers == ("latent", "layers.4")
    assert anchor.target is target


@pytest.mark.parametrize("term", EVERY_TERM)
def test_a_term_without_a_weight_is_left_out(term: str, lpips: Lpips) -> None:
    ((objective, weight),) = build_objectives(own(**{term: 3.0}), lpips, pixels(1)).items()
    assert (type(objective), weight) == (CLASSES[term], 3.0)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_has_objectives_without_lpips(name: str) -> None:
    assert build_objectives(load_recipe(name), None, pixels(1))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"auxiliary": 1.0}, r"the auxiliary term needs LPIPS weights: put perceptual/lpips_alex\.safetensors into"),
        ({}, "recipe 'own' has no term with a weight: set one of displacement, anchor, decoded, auxiliary"),
    ],
    ids=["no lpips", "no term"],
)
def test_terms_that_cannot_be_computed_are_refused(terms: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_objectives(own(**terms), None, pixels(1))


def test_an_ensemble_is_the_mean_of_its_losses(surrogates: dict[str, Autoencoder]) -> None:
    clean, candidate = pixels(), near(pixels())
    losses = [bind_objectives({LatentShift(): 1.0}, surrogate, clean) for surrogate in surrogates.values()]
    torch.testing.assert_close(ensemble(losses)(candidate), (losses[0](candidate) + losses[1](candidate)) / 2)


def test_an_empty_ensemble_and_an_anchor_without_layers_are_refused() -> None:
    with pytest.raises(RecipeError, match="at least one surrogate"):
        ensemble([])
    with pytest.raises(RecipeError, match="at least one layer"):
        RepresentationAnchor(pixels(1), ())


def test_a_term_that_nothing_builds_is_refused_with_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(BUILDERS, "norm")
    with pytest.raises(RecipeError, match=r"the norm term belongs to .*: import anti_i2v\.evaluation\.baselines first"):
        build_objectives(own(norm=1.0), None, pixels(1))
