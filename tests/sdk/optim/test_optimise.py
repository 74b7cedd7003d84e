"""A recipe run on one photo, with real encoders of toy size."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.images.jpeg import jpeg_round_trip, jpeg_round_trip_with_tables
from anti_i2v.images.platforms import PRESETS
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim import optimise, pgd
from anti_i2v.optim.eot import apply_transform
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.perceptual_mask import initial_candidate
from anti_i2v.optim.pgd import Result
from anti_i2v.optim.projection import project
from anti_i2v.optim.spaces import Lab, LowDct, Rgb, Space
from anti_i2v.optim.transforms import SampledTransform, weighted_choice
from anti_i2v.optim.update_rules import UPDATE_RULES, projected_step, value_and_gradient
from anti_i2v.recipes import Recipe, load_recipe, recipe_names
from anti_i2v.surrogates.autoencoders import Autoencoder, load_autoencoder
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.surrogates.student import load_student

BUDGET = torch.full((1, 1, 1, 1), 8 / 255)


@pytest.fixture(scope="module")
def surrogates(tiny_folder: Path, kl_folder: Path) -> list[Autoencoder]:
    return [load_autoencoder(tiny_folder), load_autoencoder(kl_folder)]


@pytest.fixture(scope="module")
def clean() -> torch.Tensor:
    return 0.1 + 0.8 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def recipe(**settings: object) -> Recipe:
    return load_recipe(Recipe(name="own", summary="Of this test.", steps=4), **settings)


def draft(clean: torch.Tensor) -> torch.Tensor:
    """The draft, without the visual weighting."""
    return initial_candidate(clean, torch.from_numpy(initial_pattern(clean.numpy(), "draft", 0)), 8 / 255, 1.0)[0]


def opened(
    clean: torch.Tensor,
    own: Recipe,
    surrogates: Sequence[Surrogate],
    *,
    seed: int = 0,
    lpips: Lpips | None = None,
) -> TorchPhotoOptimiser:
    return TorchPhotoOptimiser(surrogates, clean, draft(clean), BUDGET, own, seed=seed, lpips=lpips)


def run(
    clean: torch.Tensor,
    own: Recipe,
    surrogates: Sequence[Surrogate],
    *,
    seed: int = 0,
    lpips: Lpips | None = None,
    **options: object,
) -> Result[torch.Tensor]:
    photo = opened(clean, own, surrogates, seed=seed, lpips=lpips)
    return optimise_photo(photo, own, seed=seed, **options)  # type: ignore[arg-type]  # options vary


def loss(candidate: torch.Tensor, clean: torch.Tensor, surrogates: list[Autoencoder]) -> float:
    return sum(float(bind_objectives({LatentShift(): 1.0}, model, clean)(candidate)) for model in surrogates) / len(
        surrogates
    )


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
    after, before = (loss(pixels, clean, surrogates) for pixels in (outcome.candidate, draft(clean)))
    assert after < before
    assert float(outcome.score) == pytest.approx(after, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in recipe_names(denoisers=False) if load_recipe(name).steps])
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


def test_surrogates_alternate_where_a_step_uses_one(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
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


def test_a_surrogate_of_weight_two_gets_twice_the_steps(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    seen: list[str] = []
    handles = [
        model.model.encoder.register_forward_hook(
            lambda module, inputs, output, name=model.info.name: seen.append(name) if torch.is_grad_enabled() else None
        )
        for model in surrogates
    ]
    try:
        run(clean, recipe(steps=6, turn_weights={"toy-kl": 2}), surrogates)
    finally:
        for handle in handles:
            handle.remove()
    assert sorted(seen) == ["toy-kl"] * 4 + ["toy-tiny"] * 2


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


def test_the_auxiliary_term_moves_the_photo_itself(
    clean: torch.Tensor, surrogates: list[Autoencoder], lpips_weights: dict[str, torch.Tensor]
) -> None:
    lpips = Lpips(lpips_weights)
    outcome = run(clean, recipe(terms={"auxiliary": 1.0}), surrogates, lpips=lpips)
    assert lpips(outcome.candidate, clean) > lpips(draft(clean), clean)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": {"auxiliary": 1.0}}, "the auxiliary term needs LPIPS weights"),
        ({"terms": {"displacement": 0.0}}, "recipe 'own' has no term with a weight"),
    ],
    ids=["no lpips", "no term"],
)
def test_terms_that_cannot_be_computed_are_refused(
    settings: dict[str, object], message: str, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(clean, recipe(**settings), surrogates)


def test_a_recipe_that_needs_a_decoder_refuses_a_surrogate_without_one(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="embedded has none: use recipe balanced"):
        run(clean, recipe(terms={"decoded": 1.0}), [load_student()])


def test_no_surrogate_is_refused(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="at least one surrogate"):
        run(clean, recipe(), [])


def test_a_preset_adds_its_codec_to_the_transforms(
    monkeypatch: pytest.MonkeyPatch, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    qualities: list[int] = []

    def watched(photo: np.ndarray, quality: int) -> tuple[np.ndarray, np.ndarray]:
        qualities.append(quality)
        return jpeg_round_trip_with_tables(photo, quality)

    monkeypatch.setattr("anti_i2v.optim.transforms.jpeg_round_trip_with_tables", watched)
    plain = run(clean, recipe(steps=12), surrogates).candidate
    assert qualities == []
    preset = run(clean, recipe(steps=12), surrogates, preset=PRESETS["instagram"]).candidate
    assert 1 <= len(qualities) <= 11
    assert set(qualities) <= set(range(72, 79))
    assert not torch.equal(plain, preset)


def test_the_codec_is_applied_to_the_candidate_of_its_step(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    """And the gradient is that at the decoded photo."""

    class Recorder:
        """A photo that records its steps."""

        def __init__(self, photo: TorchPhotoOptimiser) -> None:
            self.photo, self.steps = photo, []

        def __getattr__(self, name: str) -> object:
            return getattr(self.photo, name)

        def step(
            self, candidate: torch.Tensor, surrogates: Sequence[int], transform: SampledTransform, *rest: object
        ) -> object:
            self.steps.append((candidate, apply_transform(transform, candidate)))
            return self.photo.step(candidate, surrogates, transform, *rest)

    own = recipe(eot={"jpeg": 1.0})
    recorder = Recorder(opened(clean, own, surrogates))
    outcome = optimise_photo(recorder, own)
    assert len(recorder.steps) == 4
    for candidate, transformed in recorder.steps:
        levels = (candidate[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        known = [torch.from_numpy(jpeg_round_trip(levels, quality)).permute(2, 0, 1) / 255 for quality in range(60, 96)]
        assert min(float((transformed[0] - coded).abs().amax()) for coded in known) < 1e-6
    assert torch.equal(outcome.candidate, run(clean, own, surrogates).candidate)


def test_a_deadline_in_the_past_returns_the_start(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    outcome = run(clean, recipe(), surrogates, deadline=-1e9)
    assert (outcome.steps, outcome.stopped) == (0, "deadline")
    torch.testing.assert_close(outcome.candidate, draft(clean), rtol=0, atol=1e-6)


class Slow:
    """A photo whose work takes known times: a second for a pass, three passes per surrogate for a step."""

    def __init__(self, surrogates: int) -> None:
        self.surrogates = [f"number {index}" for index in range(surrogates)]
        self.shape, self.start = (1, 3, 8, 8), 0
        self.now = 0.0

    def precompute(self, surrogate: int, check: Callable[[], None]) -> None:
        pass

    def bind(self, surrogate: int) -> None:
        self.now += 1

    def step(
        self,
        candidate: int,
        surrogates: Sequence[int],
        transform: SampledTransform,
        space: int,
        index: int,
        step_size: float,
    ) -> tuple[int, float]:
        self.now += 3 * len(surrogates)
        return candidate + 1, 0.0

    def score(self, candidate: int) -> float:
        self.now += len(self.surrogates)
        return -float(candidate)

    def keep_better(self, best: int, score: float, candidate: int, loss: float) -> tuple[int, float]:
        return (candidate, loss) if loss < score else (best, score)

    def synchronize(self) -> None:
        pass

    def to_numpy(self, candidate: int) -> np.ndarray:
        raise AssertionError("no transform here reads pixels")


@given(deadline=st.floats(-5, 120), surrogates=st.integers(1, 4), mode=st.sampled_from(["one", "all", "video model"]))
@settings(max_examples=80, deadline=None)
def test_deadlines_are_kept_and_no_time_is_wasted(deadline: float, surrogates: int, mode: str) -> None:
    photo = Slow(surrogates)
    video_models = photo.surrogates[-1:] if mode == "video model" else []  # in every step
    own = recipe(steps=20, turns="all" if mode == "all" else "one", video_models=video_models)
    with pytest.MonkeyPatch.context() as patch:
        for module in (optimise, pgd):
            patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: photo.now))
        outcome = optimise_photo(photo, own, deadline=deadline)
    a_step = 3 * {"one": 1, "all": surrogates, "video model": min(2, surrogates)}[mode]
    assert photo.now <= max(deadline, float(deadline >= 0))  # the duration of a pass is known after the first one
    assert outcome.candidate == outcome.steps
    assert outcome.stopped == ("steps" if outcome.steps == 20 else "deadline")
    if outcome.steps < 20 and deadline > 0:  # one more step, and the comparisons that it needs, would not have fitted
        assert deadline - photo.now < a_step + 2 * 1.2 * surrogates + 2


def test_cancelling_ends_at_once(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled after 0 of 4 steps"):
        run(clean, recipe(), surrogates, cancel=cancel)


# A recipe is its update rule, space, transform and step size, applied by hand.


def steps_by_hand(
    loss_fn: Callable[[torch.Tensor], torch.Tensor], clean: torch.Tensor, own: Recipe, spaces: Sequence[Space]
) -> torch.Tensor:
    rule, candidate = UPDATE_RULES[own.algorithm], project(draft(clean), clean, BUDGET)
    states = [tuple(torch.zeros_like(clean) for _ in rule.state) for _ in spaces]
    for step in range(own.steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / (own.steps - 1)))
        size = own.step / 255 * (own.final_step + (1 - own.final_step) * decay)
        index, space = divmod(step, len(spaces))
        _, gradient = value_and_gradient(loss_fn, candidate)
        candidate, states[space] = projected_step(
            rule, spaces[space], candidate, clean, BUDGET, gradient, states[space], index, size
        )
    return candidate


def test_a_recipe_takes_the_steps_of_its_algorithm_in_its_spaces(
    clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    """The paper's dual space, on one surrogate, with the recipe's numbers."""
    own = recipe(spaces=["lab", "dct"], algorithm="adam", steps=6, step=2.0, final_step=0.3, keep="last")
    outcome = run(clean, own, surrogates[:1])
    loss_fn = bind_objectives({LatentShift(): 1.0}, surrogates[0], clean)
    expected = steps_by_hand(loss_fn, clean, own, [Lab.from_shares(), LowDct.for_size(64, 64)])
    assert torch.equal(outcome.candidate, expected)
    assert torch.equal(outcome.score, loss_fn(expected))


def test_a_recipe_applies_the_transforms_of_its_seed(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    own = recipe(eot={"noise": 1.0, "resize": 1.0, "crop": 1.0}, steps=5, keep="last")
    outcome = run(clean, own, surrogates[:1], seed=3)
    loss_fn, generator = bind_objectives({LatentShift(): 1.0}, surrogates[0], clean), np.random.default_rng(3)
    transform = weighted_choice({"noise": 1.0, "resize": 1.0, "crop": 1.0})

    def transformed_loss(pixels: torch.Tensor) -> torch.Tensor:
        return loss_fn(apply_transform(transform((1, 3, 64, 64), generator, pixels.numpy), pixels))

    assert torch.equal(outcome.candidate, steps_by_hand(transformed_loss, clean, own, [Rgb()]))


def test_all_surrogates_in_every_step_are_their_mean(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    losses = [bind_objectives({LatentShift(): 1.0}, model, clean) for model in surrogates]

    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        return (losses[0](pixels) + losses[1](pixels)) / 2

    own = recipe(turns="all", keep="last")
    expected = steps_by_hand(loss_fn, clean, own, [Rgb()])
    outcome = run(clean, own, surrogates)
    torch.testing.assert_close(outcome.candidate, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(outcome.score, loss_fn(expected))


@pytest.mark.parametrize("every", [0, 2])
def test_candidates_are_compared_as_often_as_the_recipe_says(
    every: int, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    seen: list[bool] = []
    handle = surrogates[0].model.encoder.register_forward_hook(
        lambda module, inputs, output: seen.append(torch.is_grad_enabled())
    )
    try:
        run(clean, recipe(steps=6, score_every=every), surrogates[:1])
    finally:
        handle.remove()
    between = len([step for step in range(1, 6) if every and step % every == 0])
    assert seen.count(True) == 6
    assert seen.count(False) == 1 + 2 + between  # bound once; compared at the start, the end, and in between


def test_an_anchor_pulls_to_the_target_that_the_recipe_names(
    clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    target = torch.from_numpy(make_target("glyphs", clean.numpy()))
    distances = []
    for name in ("checkerboard", "glyphs"):
        own = recipe(terms={"anchor": 1.0}, steps=8, target=name)
        candidate = run(clean, own, surrogates).candidate
        latents = [model.features(torch.cat([candidate, target]))["latent"] for model in surrogates]
        distances.append(sum(float((latent[0] - latent[1]).square().mean()) for latent in latents))
    assert distances[1] < distances[0]
