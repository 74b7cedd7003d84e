"""From a recipe to a refined candidate, on real encoders of toy size."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from anti_i2v import refine as module
from anti_i2v.draft import draft
from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives import Displacement, bind
from anti_i2v.optimise import Outcome
from anti_i2v.presets import PRESETS
from anti_i2v.recipes import Recipe, load_recipe, recipe_names
from anti_i2v.refine import anchor_target, refine
from anti_i2v.surrogates.autoencoders import Autoencoder, load_autoencoder
from anti_i2v.surrogates.embedded import load_student

BUDGET = torch.full((1, 1, 1, 1), 8 / 255)


@pytest.fixture(scope="module")
def surrogates(tiny_folder: Path, kl_folder: Path) -> list[Autoencoder]:
    return [load_autoencoder(tiny_folder), load_autoencoder(kl_folder)]


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def recipe(**settings: object) -> Recipe:
    return load_recipe(Recipe(name="own", summary="Of this test.", steps=4), **settings)


def run(clean: torch.Tensor, own: Recipe, surrogates: list[Autoencoder], **options: object) -> Outcome:
    return refine(clean, draft(clean, BUDGET, 0), BUDGET, own, surrogates, **options)  # type: ignore[arg-type]  # options vary


def loss(candidate: torch.Tensor, clean: torch.Tensor, surrogates: list[Autoencoder]) -> float:
    return sum(float(bind({Displacement(): 1.0}, model, clean)(candidate)) for model in surrogates) / len(surrogates)


@pytest.mark.parametrize("turns", ["one", "all"])
@pytest.mark.parametrize("spaces", [["rgb"], ["lab", "dct"], ["dct8"]], ids=["rgb", "the paper's dual space", "blocks"])
@pytest.mark.parametrize("algorithm", ["sign-gradient", "momentum", "adam"])
def test_steps_lower_the_loss_on_all_surrogates_within_the_budget(
    algorithm: str, spaces: list[str], turns: str, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    own = recipe(algorithm=algorithm, spaces=spaces, turns=turns)
    outcome = run(clean, own, surrogates)
    assert outcome.steps == 4
    assert ((outcome.candidate - clean).abs() <= BUDGET + 1e-6).all()
    after, before = (loss(pixels, clean, surrogates) for pixels in (outcome.candidate, draft(clean, BUDGET, 0)))
    assert after < before
    assert float(outcome.score) == pytest.approx(after, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).steps])
def test_shipped_recipes_are_never_worse_than_their_start(
    name: str, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    start, outcome = (run(clean, load_recipe(name, steps=steps), surrogates) for steps in (0, 5))
    assert float(outcome.score) <= float(start.score) + 1e-5


def test_a_seed_decides_the_outcome(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    own = recipe(eot={"noise": 1.0, "jpeg": 1.0, "crop": 1.0})
    first, again, other = (run(clean, own, surrogates, seed=seed).candidate for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_one_surrogate_a_step_takes_turns(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    seen: list[tuple[str, bool]] = []
    handles = [
        model.model.encoder.register_forward_hook(
            lambda module, inputs, output, name=model.info.name: seen.append((name, torch.is_grad_enabled()))
        )
        for model in surrogates
    ]
    try:
        run(clean, recipe(turns="one"), surrogates)
    finally:
        for handle in handles:
            handle.remove()
    assert [name for name, differentiated in seen if differentiated] == ["toy-tiny", "toy-kl"] * 2


@pytest.mark.parametrize(
    "terms",
    [{"anchor": 1.0}, {"decoded": 1.0}, {"displacement": 1.0, "anchor": 0.5, "decoded": 0.5}],
    ids=["anchor", "decoded", "all"],
)
def test_every_term_can_be_descended(
    terms: dict[str, float], clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    start = run(clean, recipe(terms=terms, steps=0), surrogates).score
    assert run(clean, recipe(terms=terms), surrogates).score < start


def test_the_auxiliary_term_pulls_the_photo_itself(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    generator, weights = torch.Generator().manual_seed(0), {}
    for index, (width, kernel) in enumerate(zip((3, 4, 4, 4, 4), (11, 5, 3, 3, 3), strict=True)):
        weights[f"features.{index}.weight"] = 0.2 * torch.randn(4, width, kernel, kernel, generator=generator)
        weights[f"features.{index}.bias"] = torch.rand(4, generator=generator)
        weights[f"heads.{index}.weight"] = torch.rand(1, 4, 1, 1, generator=generator)
    lpips = Lpips(weights)
    outcome = run(clean, recipe(terms={"auxiliary": 1.0}), surrogates, lpips=lpips)
    assert lpips(outcome.candidate, clean) > lpips(draft(clean, BUDGET, 0), clean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": {"auxiliary": 1.0}}, "the auxiliary term needs LPIPS weights"),
        ({"terms": {"displacement": 0.0}}, "recipe 'own' has no term with a weight"),
    ],
    ids=["no lpips", "no term"],
)
def test_what_cannot_be_run_is_refused(
    settings: dict[str, object], message: str, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(clean, recipe(**settings), surrogates)


def test_a_recipe_that_looks_through_decoders_refuses_a_surrogate_without_one(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="embedded has none: choose balanced"):
        run(clean, load_recipe("strong", steps=1), [load_student()])


def test_no_surrogate_is_refused(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="at least one surrogate"):
        run(clean, recipe(), [])


def test_a_preset_puts_its_codec_into_the_loop(
    monkeypatch: pytest.MonkeyPatch, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    drawn: list[tuple[float, float]] = []
    true_jpeg = module.jpeg
    monkeypatch.setattr(module, "jpeg", lambda low, high: drawn.append((low, high)) or true_jpeg(low, high))
    plain = run(clean, recipe(steps=6), surrogates).candidate
    assert drawn == []
    preset = run(clean, recipe(steps=6), surrogates, preset=PRESETS["instagram"]).candidate
    assert drawn == [(72, 78)]
    assert not torch.equal(plain, preset)


def test_a_deadline_that_is_past_gives_the_start(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    outcome = run(clean, recipe(), surrogates, deadline=-1e9)
    assert (outcome.steps, outcome.stopped) == (0, "deadline")
    torch.testing.assert_close(outcome.candidate, draft(clean, BUDGET, 0), rtol=0, atol=1e-6)


def test_cancelling_leaves_at_once(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled after 0 of 4 steps"):
        run(clean, recipe(), surrogates, cancel=cancel)


def test_the_default_anchor_is_a_checkerboard_of_mid_greys() -> None:
    target = anchor_target(32, 48)
    assert target.shape == (1, 3, 32, 48)
    assert sorted(target.unique().tolist()) == pytest.approx([0.3, 0.7])
    assert target.mean().item() == pytest.approx(0.5)
