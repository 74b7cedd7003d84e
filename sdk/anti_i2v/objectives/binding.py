"""Build a recipe's objectives, and bind their weighted sum to a surrogate and a clean photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import BoundValues, Objective
from anti_i2v.objectives.denoising import DenoisingLoss
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.objectives.perceptual import ClipDistance, DecoderDistance, LpipsDistance
from anti_i2v.objectives.representation_anchor import RepresentationAnchor
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.paths import LPIPS_WEIGHTS
from anti_i2v.recipes import Recipe, weighted_terms
from anti_i2v.surrogates.base import DenoiserInputs, Surrogate
from anti_i2v.surrogates.info import ALL_LEVELS, sample_inputs
from anti_i2v.tensors import LossFn, PerImage, Pixels

__all__ = [
    "BUILDERS",
    "BoundLoss",
    "ObjectiveArguments",
    "bind_objectives",
    "build_objectives",
    "ensemble",
    "weighted_sum",
]


class ObjectiveArguments(NamedTuple):
    """Arguments from which objectives are built.

    Attributes:
        target: the anchor's image, (1 or B, 3, H, W).
        lpips, clip: None where their weights are not installed.
    """

    recipe: Recipe
    target: Pixels
    lpips: Lpips | None
    clip: Clip | None


def _build_lpips_distance(given: ObjectiveArguments) -> Objective:
    if given.lpips is None:
        raise RecipeError(f"the auxiliary term needs LPIPS weights: put {LPIPS_WEIGHTS} into ANTI_I2V_HOME")
    return LpipsDistance(given.lpips)


def _build_clip_distance(given: ObjectiveArguments) -> Objective:
    if given.clip is None:
        raise RecipeError(
            "the clip term needs a CLIP image encoder: put its folder in the hub's layout at perceptual/clip into "
            "ANTI_I2V_HOME, and pip install transformers"
        )
    return ClipDistance(given.clip)


BUILDERS: dict[str, Callable[[ObjectiveArguments], Objective]] = {
    "displacement": lambda given: LatentShift(),
    "anchor": lambda given: RepresentationAnchor(given.target, given.recipe.anchor_layers),
    "decoded": lambda given: DecoderDistance(),
    "auxiliary": _build_lpips_distance,
    "collapse": lambda given: RepresentationCollapse(),
    "denoising": lambda given: DenoisingLoss(),
    "clip": _build_clip_distance,
}
"""Term of a recipe -> its objective. Importing `anti_i2v.evaluation.baselines` adds "norm" and "distillation"."""


def build_objectives(
    recipe: Recipe, lpips: Lpips | None, target: Pixels, clip: Clip | None = None
) -> dict[Objective, float]:
    """Build a recipe's objectives with their weights, in the order of `recipes.Terms`.

    Args:
        target: the anchor's image, (1 or B, 3, H, W).

    Raises:
        RecipeError: the recipe has no term, a term's weights are not installed, or nothing builds the term.
    """
    terms = weighted_terms(recipe)
    for term in terms:
        if term not in BUILDERS:
            raise RecipeError(
                f"the {term} term belongs to the published baselines: import anti_i2v.evaluation.baselines first"
            )
    given = ObjectiveArguments(recipe, target, lpips, clip)
    return {BUILDERS[term](given): weight for term, weight in terms.items()}


def weighted_sum(
    objectives: Sequence[Objective],
    surrogate: Surrogate,
    pixels: Pixels,
    weights: Sequence[Any],
    bounds: Sequence[BoundValues],
    inputs: DenoiserInputs,
) -> PerImage:
    """Add up objectives on one surrogate. The torch engine runs this function, and ONNX graphs are traced from it."""
    features = {**surrogate.features(pixels, inputs), "pixels": pixels}
    terms = [
        weight * objective(surrogate, features, bound)
        for weight, objective, bound in zip(weights, objectives, bounds, strict=True)
    ]
    return torch.stack(terms).sum(0)


@final
class BoundLoss:
    """The weighted sum of objectives on one surrogate and one clean photo, as a `loss_fn`.

    A surrogate with random inputs (a denoiser: timestep, noise) gets the same inputs in every call, so that candidates
    can be compared. `with_fresh_inputs` resamples them, for the steps.

    Args:
        seed: seed of the fixed inputs.
        noise_samples: number of samples of the random inputs that the steps share, each bound when it is first used; 0
            samples new ones in every step, each of which costs a forward pass on the clean photo.
        precomputed: the surrogate's `precompute` for these photos; None computes it here.
        noise_levels: see `sample_inputs`.
    """

    def __init__(
        self,
        objectives: Mapping[Objective, float],
        surrogate: Surrogate,
        clean: Pixels,
        seed: int,
        noise_samples: int = 0,
        precomputed: DenoiserInputs | None = None,
        noise_levels: tuple[float, float] = ALL_LEVELS,
    ) -> None:
        self._noise_levels = noise_levels
        self._objectives, self._surrogate, self._clean = objectives, surrogate, clean
        if precomputed is None:
            with torch.no_grad():
                precomputed = surrogate.precompute(clean, seed=seed)
        self._precomputed = precomputed
        self._fixed_inputs = self._sample_inputs(np.random.default_rng(seed))
        self._fixed_bounds = self._bind(self._fixed_inputs)
        self._samples: list[tuple[DenoiserInputs, list[BoundValues]] | None] = [None] * noise_samples

    def _sample_inputs(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        shape = tuple(self._clean.shape)
        arrays = sample_inputs(self._surrogate.random_inputs, shape, generator, self._noise_levels)
        tensors = {name: torch.from_numpy(value).to(self._clean.device) for name, value in arrays.items()}
        return {**self._surrogate.context, **self._precomputed, **tensors}

    def _bind(self, inputs: DenoiserInputs) -> list[BoundValues]:
        with torch.no_grad():
            return [objective.bind(self._surrogate, self._clean, inputs) for objective in self._objectives]

    def _loss(self, pixels: Pixels, inputs: DenoiserInputs, bounds: Sequence[BoundValues]) -> PerImage:
        weights = list(self._objectives.values())
        return weighted_sum(list(self._objectives), self._surrogate, pixels, weights, bounds, inputs)

    def __call__(self, pixels: Pixels) -> PerImage:
        return self._loss(pixels, self._fixed_inputs, self._fixed_bounds)

    def with_fresh_inputs(self, generator: np.random.Generator) -> LossFn:
        """Return a `loss_fn` that resamples the random inputs at each call; this loss itself where there are none."""
        if not self._surrogate.random_inputs:
            return self

        def loss_fn(pixels: Pixels) -> PerImage:
            return self._loss(pixels, *self._next_sample(generator))

        return loss_fn

    def _next_sample(self, generator: np.random.Generator) -> tuple[DenoiserInputs, list[BoundValues]]:
        index = int(generator.integers(len(self._samples))) if self._samples else None
        if index is not None and (known := self._samples[index]) is not None:
            return known
        inputs = self._sample_inputs(generator)
        sample = (inputs, self._bind(inputs))
        if index is not None:
            self._samples[index] = sample
        return sample


def bind_objectives(
    objectives: Mapping[Objective, float],
    surrogate: Surrogate,
    clean: Pixels,
    seed: int = 0,
    noise_samples: int = 0,
    precomputed: DenoiserInputs | None = None,
    noise_levels: tuple[float, float] = ALL_LEVELS,
) -> BoundLoss:
    """Bind weighted objectives to one surrogate and clean photos, (B, 3, H, W). See `BoundLoss` for the arguments."""
    return BoundLoss(objectives, surrogate, clean, seed, noise_samples, precomputed, noise_levels)


def ensemble(loss_fns: Sequence[LossFn]) -> LossFn:
    """Return the mean of loss functions, one for each surrogate. Raises RecipeError where there is none."""
    if not loss_fns:
        raise RecipeError("an ensemble needs at least one surrogate")

    def averaged(pixels: Pixels) -> PerImage:
        return torch.stack([loss_fn(pixels) for loss_fn in loss_fns]).mean(0)

    return averaged
