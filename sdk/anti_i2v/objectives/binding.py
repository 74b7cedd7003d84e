"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch

from anti_i2v.errors import RecipeError
from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.base import Bound, Objective
from anti_i2v.objectives.denoising import DenoisingError
from anti_i2v.objectives.encoder_shift import LatentShift
from anti_i2v.evaluation.baselines.latent_norm import LatentNorm
from anti_i2v.objectives.perceptual import ClipDistance, DecoderError, LpipsDistance
from anti_i2v.objectives.representation_anchor import RepresentationAnchor
from anti_i2v.objectives.representation_collapse import RepresentationCollapse
from anti_i2v.paths import LPIPS_WEIGHTS
from anti_i2v.evaluation.baselines.score_distillation import ScoreDistillation
from anti_i2v.recipes import Recipe, weighted_terms
from anti_i2v.surrogates.base import DenoiserInputs, Surrogate
from anti_i2v.surrogates.info import ALL_LEVELS, sample_inputs
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["BoundLoss", "bind_objectives", "build_objectives", "ensemble", "weighted_sum"]

LossFn = Callable[[Pixels], PerImage]


def weighted_sum(
    objectives: Sequence[Objective],
    surrogate: Surrogate,
    pixels: Pixels,
    weights: Sequence[Any],
    bounds: Sequence[Bound],
    draw: DenoiserInputs,
) -> PerImage:
    """The weighted sum of objectives on one surrogate: what the torch engine runs and ONNX graphs are traced from."""
    features = {**surrogate.features(pixels, draw), "pixels": pixels}
    terms = [
        weight * objective(surrogate, features, bound)
        for weight, objective, bound in zip(weights, objectives, bounds, strict=True)
    ]
    return torch.stack(terms).sum(0)


@final
class BoundLoss:
    """The weighted sum of objectives on one surrogate, as a `loss_fn`; what is constant was computed once.

    A surrogate that draws (a denoiser: timestep, noise) is judged with one fixed draw here, so that candidates can be
    compared, and with others by `with_fresh_draws`: `draws` of them, each bound once when it first comes (0: new ones
    for ever, each bound when it comes, which costs the clean photo's forward pass in every step).
    """

    def __init__(
        self,
        objectives: Mapping[Objective, float],
        surrogate: Surrogate,
        clean: Pixels,
        seed: int,
        draws: int = 0,
        settled: DenoiserInputs | None = None,
        noise_levels: tuple[float, float] = ALL_LEVELS,
    ) -> None:
        self._noise_levels = noise_levels
        self._objectives, self._surrogate, self._clean = objectives, surrogate, clean
        if settled is None:
            with torch.no_grad():
                settled = surrogate.precompute(clean, seed=seed)
        self._settled = settled
        self._fixed = self._draw(np.random.default_rng(seed))
        self._bounds = self._bind(self._fixed)
        self._kept: list[tuple[DenoiserInputs, list[Bound]] | None] = [None] * draws

    def _draw(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        shape = tuple(self._clean.shape)
        drawn = sample_inputs(self._surrogate.random_inputs, shape, generator, self._noise_levels)
        tensors = {name: torch.from_numpy(value).to(self._clean.device) for name, value in drawn.items()}
        return {**self._surrogate.context, **self._settled, **tensors}

    def _bind(self, draw: DenoiserInputs) -> list[Bound]:
        with torch.no_grad():
            return [objective.bind(self._surrogate, self._clean, draw) for objective in self._objectives]

    def _loss(self, pixels: Pixels, draw: DenoiserInputs, bounds: Sequence[Bound]) -> PerImage:
        weights = list(self._objectives.values())
        return weighted_sum(list(self._objectives), self._surrogate, pixels, weights, bounds, draw)

    def __call__(self, pixels: Pixels) -> PerImage:
        return self._loss(pixels, self._fixed, self._bounds)

    def with_fresh_inputs(self, generator: np.random.Generator) -> LossFn:
        """A `loss_fn` whose surrogate draws another time at each call; this very loss where it draws nothing."""
        if not self._surrogate.random_inputs:
            return self

        def loss_fn(pixels: Pixels) -> PerImage:
            if not self._kept:
                draw = self._draw(generator)
                return self._loss(pixels, draw, self._bind(draw))
            index = int(generator.integers(len(self._kept)))
            kept = self._kept[index]
            if kept is None:
                draw = self._draw(generator)
                kept = self._kept[index] = (draw, self._bind(draw))
            return self._loss(pixels, *kept)

        return loss_fn


def bind_objectives(
    objectives: Mapping[Objective, float],
    surrogate: Surrogate,
    clean: Pixels,
    seed: int = 0,
    draws: int = 0,
    settled: DenoiserInputs | None = None,
    noise_levels: tuple[float, float] = ALL_LEVELS,
) -> BoundLoss:
    """Bind weighted objectives to one surrogate and clean photos, (B, 3, H, W).

    Args:
        draws: see `BoundLoss`.
        settled: what the surrogate `settle`d for these photos, where that was done already.
        noise_levels: see `draw_all`.
    """
    return BoundLoss(objectives, surrogate, clean, seed, draws, settled, noise_levels)


def build_objectives(
    recipe: Recipe, lpips: Lpips | None, target: Pixels, clip: Clip | None = None
) -> dict[Objective, float]:
    """The recipe's objectives with their weights, in the order of `recipes.terms_of`.

    Args:
        target: the unrelated photo of the anchor term.

    Raises:
        RecipeError: the auxiliary term without LPIPS weights, or the clip term without CLIP's.
    """
    if recipe.terms.clip and clip is None:
        raise RecipeError(
            "the clip term needs a CLIP image encoder: put its folder in the hub's layout at perceptual/clip into "
            "ANTI_I2V_HOME, and pip install transformers"
        )
    if recipe.terms.auxiliary and lpips is None:
        raise RecipeError(f"the auxiliary term needs LPIPS weights: put {LPIPS_WEIGHTS} into ANTI_I2V_HOME")
    made: dict[str, Callable[[], Objective]] = {
        "displacement": LatentShift,
        "anchor": lambda: RepresentationAnchor(target, recipe.anchor_layers),
        "decoded": DecoderError,
        "collapse": RepresentationCollapse,
        "denoising": DenoisingError,
        "clip": lambda: ClipDistance(clip),  # type: ignore[arg-type]  # checked above
        "auxiliary": lambda: LpipsDistance(lpips),  # type: ignore[arg-type]  # checked above
        "norm": LatentNorm,
        "distillation": ScoreDistillation,
    }
    return {made[term](): weight for term, weight in weighted_terms(recipe).items()}


def ensemble(loss_fns: Sequence[LossFn]) -> LossFn:
    """The mean of several loss functions: one a surrogate."""
    if not loss_fns:
        raise RecipeError("an ensemble needs at least one surrogate")

    def averaged(pixels: Pixels) -> PerImage:
        return torch.stack([loss_fn(pixels) for loss_fn in loss_fns]).mean(0)

    return averaged
