"""From a recipe to a refined candidate, on real encoders of toy size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anti_i2v.engines.torch_engine import TorchPhoto
from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.images.jpeg import jpeg_round_trip, jpeg_round_trip_with_tables
from anti_i2v.images.platforms import PRESETS
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.objectives.targets import anchor_target
from anti_i2v.optim import optimise, pgd
from anti_i2v.optim.eot import apply_transform
from anti_i2v.optim.initialisation import initial_pattern
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.optim.perceptual_mask import initial_candidate
from anti_i2v.optim.pgd import Result
from anti_i2v.optim.schedule import surrogate_schedule
from anti_i2v.optim.spaces import Lab, LowDct
from anti_i2v.optim.transforms import SampledTransform, weighted_choice
from anti_i2v.optim.update_rules import adam, sign_gradient
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
    target: torch.Tensor | None = None,
) -> TorchPhoto:
    return TorchPhoto(surrogates, clean, draft(clean), BUDGET, own, seed=seed, lpips=lpips, target=target)


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
    ("weights", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"a": 2, "b": 2}, ["a", "b", "c", "a", "b"]),
        ({"c": 3}, ["c", "a", "b", "c", "c"]),
        ({"z": 5}, ["a", "b", "c"]),
    ],
    ids=["alike", "two come twice", "one comes thrice", "one that is not there"],
)
def test_a_surrogate_takes_as_many_turns_as_its_weight(weights: dict[str, int], expected: list[str]) -> None:
    own = recipe(turn_weights=weights)
    assert ["abc"[index] for (index,) in surrogate_schedule(["a", "b", "c"], own)] == expected
    assert surrogate_schedule(["a", "b", "c"], load_recipe(own, turns="all")) == [[0, 1, 2]]


def test_turns_of_a_weight_lie_apart() -> None:
    order = [index for (index,) in surrogate_schedule(["a", "b", "c"], recipe(turn_weights={"a": 3, "b": 3}))]
    assert [order.count(index) for index in range(3)] == [3, 3, 1]
    for index in (0, 1):
        places = [place for place, found in enumerate(order) if found == index]
        assert all(second - first >= 2 for first, second in pairwise(places))


def test_weighed_turns_are_taken(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
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


def test_the_auxiliary_term_pulls_the_photo_itself(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    generator, weights = torch.Generator().manual_seed(0), {}
    for index, (width, kernel) in enumerate(zip((3, 4, 4, 4, 4), (11, 5, 3, 3, 3), strict=True)):
        weights[f"features.{index}.weight"] = 0.2 * torch.randn(4, width, kernel, kernel, generator=generator)
        weights[f"features.{index}.bias"] = torch.rand(4, generator=generator)
        weights[f"heads.{index}.weight"] = torch.rand(1, 4, 1, 1, generator=generator)
    lpips = Lpips(weights)
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
def test_what_cannot_be_run_is_refused(
    settings: dict[str, object], message: str, clean: torch.Tensor, surrogates: list[Autoencoder]
) -> None:
    with pytest.raises(RecipeError, match=message):
        run(clean, recipe(**settings), surrogates)


def test_a_recipe_that_looks_through_decoders_refuses_a_surrogate_without_one(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="embedded has none: choose balanced"):
        run(clean, recipe(terms={"decoded": 1.0}), [load_student()])


def test_no_surrogate_is_refused(clean: torch.Tensor) -> None:
    with pytest.raises(RecipeError, match="at least one surrogate"):
        run(clean, recipe(), [])


def test_a_preset_puts_its_codec_into_the_loop(
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


def test_the_codec_is_met_by_the_candidate_of_its_step(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    """And the gradient is then that of the photo as it came out."""

    class Watched:
        """A photo that keeps what passes."""

        def __init__(self, photo: TorchPhoto) -> None:
            self.photo, self.met = photo, []

        def __getattr__(self, name: str) -> object:
            return getattr(self.photo, name)

        def step(self, candidate: torch.Tensor, on: Sequence[int], change: SampledTransform, *rest: object) -> object:
            self.met.append((candidate, apply_transform(change, candidate)))
            return self.photo.step(candidate, on, change, *rest)

    own = recipe(eot={"jpeg": 1.0})
    watched = Watched(opened(clean, own, surrogates))
    outcome = optimise_photo(watched, own)
    assert len(watched.met) == 4
    for candidate, changed in watched.met:
        levels = (candidate[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        known = [torch.from_numpy(jpeg_round_trip(levels, quality)).permute(2, 0, 1) / 255 for quality in range(60, 96)]
        assert min(float((changed[0] - coded).abs().amax()) for coded in known) < 1e-6
    assert torch.equal(outcome.candidate, run(clean, own, surrogates).candidate)


def test_a_deadline_that_is_past_gives_the_start(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    outcome = run(clean, recipe(), surrogates, deadline=-1e9)
    assert (outcome.steps, outcome.stopped) == (0, "deadline")
    torch.testing.assert_close(outcome.candidate, draft(clean), rtol=0, atol=1e-6)


class Slow:
    """A photo whose work takes known times: a pass a second, a step three passes a surrogate."""

    def __init__(self, surrogates: int) -> None:
        self.surrogates = [f"number {index}" for index in range(surrogates)]
        self.shape, self.start = (1, 3, 8, 8), 0
        self.now = 0.0

    def precompute(self, index: int, watch: Callable[[], None]) -> None:
        pass

    def bind(self, index: int) -> None:
        self.now += 1

    def step(
        self, candidate: int, on: Sequence[int], change: SampledTransform, space: int, moved: int, length: float
    ) -> tuple[int, float]:
        self.now += 3 * len(on)
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


@given(deadline=st.floats(-5, 120), surrogates=st.integers(1, 4), mode=st.sampled_from(["one", "all", "beside"]))
@settings(max_examples=80, deadline=None)
def test_nothing_is_late_and_no_time_is_wasted(deadline: float, surrogates: int, mode: str) -> None:
    photo = Slow(surrogates)
    joins = photo.surrogates[-1:] if mode == "beside" else []  # a video model of the recipe's own is in every turn
    own = recipe(steps=20, turns="all" if mode == "all" else "one", video_models=joins)
    with pytest.MonkeyPatch.context() as patch:
        for module in (optimise, pgd):
            patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: photo.now))
        outcome = optimise_photo(photo, own, deadline=deadline)
    a_step = 3 * {"one": 1, "all": surrogates, "beside": min(2, surrogates)}[mode]
    assert photo.now <= max(deadline, float(deadline >= 0))  # what a pass takes is known after the first one
    assert outcome.candidate == outcome.steps
    assert outcome.stopped == ("steps" if outcome.steps == 20 else "deadline")
    if outcome.steps < 20 and deadline > 0:  # one more step, and the comparisons that it needs, would not have fitted
        assert deadline - photo.now < a_step + 2 * 1.2 * surrogates + 2


def test_cancelling_leaves_at_once(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled after 0 of 4 steps"):
        run(clean, recipe(), surrogates, cancel=cancel)


# A recipe on the torch engine is the algorithm of its name.


def test_a_recipe_takes_the_steps_of_its_algorithm(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    """The paper's dual space, on one surrogate: `optimise` by hand, with the recipe's numbers."""
    own = recipe(spaces=["lab", "dct"], algorithm="adam", steps=6, step=2.0, final_step=0.3)
    outcome = run(clean, own, surrogates[:1])
    loss_fn = bind_objectives({LatentShift(): 1.0}, surrogates[0], clean)
    expected = adam(
        loss_fn,
        clean,
        budget=8 / 255,
        steps=6,
        step=2 / 255,
        final_step=0.3,
        spaces=[Lab.from_shares(), LowDct.for_size(64, 64)],
        start=draft(clean),
        score_fn=loss_fn,
    )
    assert torch.equal(outcome.candidate, expected.candidate)
    assert torch.equal(outcome.score, expected.score)


def test_a_recipe_meets_the_draws_of_its_seed(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    own = recipe(eot={"noise": 1.0, "resize": 1.0, "crop": 1.0}, steps=5)
    outcome = run(clean, own, surrogates[:1], seed=3)
    loss_fn, generator = bind_objectives({LatentShift(): 1.0}, surrogates[0], clean), np.random.default_rng(3)
    transform = weighted_choice({"noise": 1.0, "resize": 1.0, "crop": 1.0})

    def changed(pixels: torch.Tensor) -> torch.Tensor:
        return loss_fn(apply_transform(transform((1, 3, 64, 64), generator, pixels.numpy), pixels))

    expected = sign_gradient(
        changed, clean, budget=8 / 255, steps=5, step=2 / 255, start=draft(clean), score_fn=loss_fn
    )
    assert torch.equal(outcome.candidate, expected.candidate)


def test_all_surrogates_in_every_step_is_their_ensemble(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    losses = [bind_objectives({LatentShift(): 1.0}, model, clean) for model in surrogates]

    def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
        return (losses[0](pixels) + losses[1](pixels)) / 2

    expected = sign_gradient(
        loss_fn, clean, budget=8 / 255, steps=4, step=2 / 255, start=draft(clean), score_fn=loss_fn
    )
    outcome = run(clean, recipe(turns="all"), surrogates)
    torch.testing.assert_close(outcome.candidate, expected.candidate, rtol=0, atol=1e-6)
    torch.testing.assert_close(outcome.score, expected.score)


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


def test_an_anchor_is_pulled_to_the_target_that_is_given(clean: torch.Tensor, surrogates: list[Autoencoder]) -> None:
    own = recipe(terms={"anchor": 1.0}, steps=8)
    target = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    default, towards = (opened(clean, own, surrogates, target=given) for given in (None, target))
    distances = []
    for photo in (default, towards):
        candidate = optimise_photo(photo, own).candidate
        latents = [model.features(torch.cat([candidate, target]))["latent"] for model in surrogates]
        distances.append(sum(float((latent[0] - latent[1]).square().mean()) for latent in latents))
    assert distances[1] < distances[0]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (64, 64), (40, 72)])
def test_the_default_anchor_is_a_checkerboard_of_mid_greys(height: int, width: int) -> None:
    target = anchor_target(height, width)
    assert (target.shape, target.dtype) == ((1, 3, height, width), np.float32)
    assert np.unique(target).tolist() == pytest.approx([0.3, 0.7])
    assert target.mean() == pytest.approx(0.5)
    assert np.array_equal(target[..., : height // 8, :], target[..., 2 * height // 8 : 3 * height // 8, :])
    assert not np.array_equal(target[..., : height // 8, :], target[..., height // 8 : 2 * height // 8, :])


def test_a_recipes_own_video_model_joins_every_turn() -> None:
    recipe = Recipe(name="own", summary="Mine.", turn_weights={"taesd": 2}, video_models=("dit-taef1",))
    names = ["taesd", "taef1", "dit-taef1"]
    assert surrogate_schedule(names, recipe) == [[0, 2], [1, 2], [0, 2]]
    assert surrogate_schedule(names[:2], recipe) == [[0], [1], [0]]
    assert surrogate_schedule(names[2:], recipe) == [[0]]
    assert surrogate_schedule(names, load_recipe(recipe, turns="all")) == [[0, 1, 2]]
