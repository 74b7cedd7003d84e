"""Random inputs: their samples, and how losses and the optimiser use them, on a toy denoiser."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import nn

from anti_i2v.engines.torch_engine import TorchPhotoOptimiser
from anti_i2v.objectives.binding import bind_objectives
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.optim.optimise import optimise_photo
from anti_i2v.recipes import Recipe
from anti_i2v.surrogates.base import Surrogate, SurrogateInfo
from anti_i2v.surrogates.info import RandomInput, sample_inputs

Inputs = Mapping[str, torch.Tensor]


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
        torch.manual_seed(0)
        self.layer = nn.Conv2d(6, 4, 3, padding=1).requires_grad_(False)
        self.seen: list[Inputs] = []

    def features(self, pixels: torch.Tensor, inputs: Inputs | None = None) -> Mapping[str, torch.Tensor]:
        assert inputs is not None, "a denoiser needs its inputs"
        self.seen.append(inputs)
        share = (inputs["timestep"].to(pixels) / 1000).view(-1, 1, 1, 1)
        noise = (1 - share) * inputs["noise"].to(pixels)
        prompt = inputs["prompt"].to(pixels).view(1, 4, 1, 1)
        return {"latent": torch.tanh(self.layer(torch.cat([pixels, noise], 1)) + prompt)}


def photo() -> torch.Tensor:
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def near() -> torch.Tensor:
    return (photo() + 0.01 * torch.randn(photo().shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)


def same(first: Inputs, second: Inputs) -> bool:
    return all(torch.equal(first[name], second[name]) for name in ("noise", "timestep"))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (("B", 3, "H", "W"), (2, 3, 48, 64)),
        (("B", 16, 1, "H/8", "W/8"), (2, 16, 1, 6, 8)),
        (("B",), (2,)),
        ((7, "W/16"), (7, 4)),
        ((), ()),
    ],
    ids=["pixels", "a latent video", "one a photo", "numbers", "a scalar"],
)
@pytest.mark.parametrize("kind", ["normal", "integers"])
def test_a_sample_has_the_declared_shape(kind: str, shape: tuple[int | str, ...], expected: tuple[int, ...]) -> None:
    sample = np.asarray(RandomInput(kind=kind, shape=shape).sample(2, 48, 64, np.random.default_rng(0)))  # type: ignore[arg-type]  # rows of a table
    assert sample.shape == expected
    assert sample.dtype == {"normal": np.float32, "integers": np.int64}[kind]


def test_normal_samples_have_mean_0_and_deviation_1() -> None:
    sample = RandomInput(kind="normal", shape=("B", "H", "W")).sample(8, 64, 64, np.random.default_rng(0))
    assert float(np.mean(sample)) == pytest.approx(0, abs=0.02)
    assert float(np.std(sample)) == pytest.approx(1, abs=0.02)


def test_integers_are_sampled_from_their_whole_range() -> None:
    sample = RandomInput(kind="integers", shape=("H", "W"), low=5, high=9).sample(1, 30, 30, np.random.default_rng(0))
    assert set(sample.ravel().tolist()) == {5, 6, 7, 8}


def test_noise_levels_are_sampled_from_the_given_part_of_their_distribution() -> None:
    random_inputs = {
        "timestep": RandomInput(kind="integers", shape=("B",), low=100, high=1100),
        "level": RandomInput(kind="normal", shape=("B",)),
        "noise": RandomInput(kind="normal", shape=("B",)),
        "place": RandomInput(kind="uniform", shape=("B",)),
    }
    sample = sample_inputs(random_inputs, (4000, 3, 8, 8), np.random.default_rng(0), (0.6, 1.0))
    timestep, level = sample["timestep"], sample["level"]
    assert (timestep.dtype, level.dtype) == (np.int64, np.float32)
    assert (timestep.min(), timestep.max()) == (700, 1099)
    assert float(level.min()) == pytest.approx(0.2533, abs=0.01)  # the normal distribution's quantile of .6
    assert float(np.median(level)) == pytest.approx(0.8416, abs=0.05)  # and of .8
    assert float(np.mean(sample["noise"])) == pytest.approx(0, abs=0.05)  # other inputs are unaffected
    assert float(np.min(sample["place"])) < 0.01
    lowest = sample_inputs(random_inputs, (4000, 3, 8, 8), np.random.default_rng(0), (0.0, 0.1))
    assert lowest["timestep"].max() < 200
    assert float(lowest["level"].max()) < -1.2


def test_a_part_of_a_uniform_distribution_is_that_part() -> None:
    values = RandomInput(kind="uniform", shape=("B",)).sample_between(1000, 8, 8, np.random.default_rng(0), (0.25, 0.5))
    assert values.dtype == np.float32
    assert (float(values.min()), float(values.max())) == pytest.approx((0.25, 0.5), abs=0.01)


def test_steps_and_comparisons_sample_noise_levels_only_from_the_given_part() -> None:
    surrogate = Noisy()
    bound = bind_objectives({LatentShift(): 1.0}, surrogate, photo(), noise_levels=(0.9, 1.0))
    fresh = bound.with_fresh_inputs(np.random.default_rng(2))
    for _ in range(8):
        fresh(near())
    seen = [int(inputs["timestep"]) for inputs in surrogate.seen]
    assert min(seen) >= 884  # of 20..980
    assert len(set(seen)) > 4


def test_one_generator_samples_everything_in_order_and_repeatably() -> None:
    shape = (2, 3, 16, 16)
    first, again, other = (sample_inputs(Noisy.random_inputs, shape, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert list(first) == ["noise", "timestep"]
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["noise"], other["noise"])
    generator = np.random.default_rng(0)
    assert np.array_equal(first["noise"], generator.standard_normal((2, 3, 16, 16), np.float32))
    assert np.array_equal(first["timestep"], generator.integers(20, 980, 2))


def test_candidates_are_compared_with_fixed_inputs() -> None:
    loss_fn = bind_objectives({LatentShift(): 1.0}, Noisy(), photo())
    candidate = (photo() + 0.02).clamp(0, 1)
    assert torch.equal(loss_fn(candidate), loss_fn(candidate))
    assert loss_fn(candidate) < loss_fn(photo())


def test_the_seed_decides_the_fixed_inputs() -> None:
    candidate = (photo() + 0.02).clamp(0, 1)
    first, again, other = (
        bind_objectives({LatentShift(): 1.0}, Noisy(), photo(), seed)(candidate) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_each_step_samples_anew_and_uses_the_same_inputs_for_clean_and_candidate() -> None:
    surrogate = Noisy()
    fresh = bind_objectives({LatentShift(): 1.0}, surrogate, photo()).with_fresh_inputs(np.random.default_rng(2))
    candidate = (photo() + 0.02).clamp(0, 1)
    surrogate.seen.clear()
    assert not torch.equal(fresh(candidate), fresh(candidate))
    bound, stepped, bound_again, stepped_again = surrogate.seen
    assert same(bound, stepped)
    assert same(bound_again, stepped_again)
    assert not same(bound, bound_again)
    unmoved = bind_objectives({LatentShift(): 1.0}, Noisy(), photo())(photo())
    assert torch.equal(fresh(photo()), unmoved)  # the clean photo never moves, whatever the inputs


def test_the_context_is_part_of_all_inputs_and_stays_the_same() -> None:
    surrogate = Noisy()
    loss_fn = bind_objectives({LatentShift(): 1.0}, surrogate, photo())
    loss_fn(near())
    loss_fn.with_fresh_inputs(np.random.default_rng(0))(near())
    assert len(surrogate.seen) == 4
    assert all(inputs["prompt"] is surrogate.context["prompt"] for inputs in surrogate.seen)


def test_a_recipe_takes_its_steps_on_fresh_inputs_and_compares_with_fixed_ones() -> None:
    def run(seed: int) -> tuple[torch.Tensor, float, list[Inputs]]:
        surrogate = Noisy()
        own = Recipe(name="own", summary="Of this test.", steps=5)
        opened = TorchPhotoOptimiser([surrogate], photo(), near(), torch.full((1, 1, 1, 1), 8 / 255), own, seed=seed)
        outcome = optimise_photo(opened, own, seed=seed)
        return outcome.candidate, float(outcome.score), surrogate.seen

    candidate, score, seen = run(0)
    fixed = seen[0]
    assert same(fixed, seen[1])  # bound, and the start compared
    assert same(fixed, seen[-1])  # the last compared
    stepped = seen[2:-1]
    assert len(stepped) == 10  # clean and candidate, five times
    assert all(same(clean, moved) for clean, moved in zip(stepped[::2], stepped[1::2], strict=True))
    noises = [inputs["noise"] for inputs in [fixed, *stepped[::2]]]
    assert all(not torch.equal(first, second) for index, first in enumerate(noises) for second in noises[index + 1 :])
    assert score < float(bind_objectives({LatentShift(): 1.0}, Noisy(), photo(), 0)(near()))
    assert score == pytest.approx(float(bind_objectives({LatentShift(): 1.0}, Noisy(), photo(), 0)(candidate)))
    assert torch.equal(candidate, run(0)[0])
    assert not torch.equal(candidate, run(1)[0])


def test_a_bank_of_inputs_is_bound_once_and_then_reused() -> None:
    surrogate = Noisy()
    bound = bind_objectives({LatentShift(): 1.0}, surrogate, photo(), noise_samples=2)
    loss_fn = bound.with_fresh_inputs(np.random.default_rng(4))
    surrogate.seen.clear()
    losses = [float(loss_fn(near())) for _ in range(12)]
    assert len(surrogate.seen) == 12 + 2  # the clean photo once for each of the two
    assert len(set(losses)) == 2
    again = bind_objectives({LatentShift(): 1.0}, Noisy(), photo(), noise_samples=2).with_fresh_inputs(
        np.random.default_rng(4)
    )
    assert [float(again(near())) for _ in range(12)] == losses
