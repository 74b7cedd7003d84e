"""From a recipe to a refined candidate: spaces, objectives, EOT and the algorithm, put together."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from anti_i2v._types import Budget, PerImage, Pixels
from anti_i2v.errors import RecipeError
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives import Anchor, Auxiliary, DecodedDamage, Displacement, Objective, bind, ensemble
from anti_i2v.optimise import ALGORITHMS, Outcome, Step
from anti_i2v.presets import Preset
from anti_i2v.recipes import Recipe
from anti_i2v.spaces import Lab, LowDct, Rgb, Space
from anti_i2v.surrogates.base import Surrogate
from anti_i2v.transforms import LossFn, Transform, expectation, jpeg, sampler

__all__ = ["anchor_target", "refine"]

PRESET_SHARE = 0.4
"""Of the draws, how many go through the preset's JPEG where a preset is given."""


def refine(
    clean: Pixels,
    start: Pixels,
    budget: Budget,
    recipe: Recipe,
    surrogates: Sequence[Surrogate],
    *,
    seed: int = 0,
    preset: Preset | None = None,
    lpips: Lpips | None = None,
    target: Pixels | None = None,
    callback: Callable[[Step], None] | None = None,
    deadline: float | None = None,
    cancel: threading.Event | None = None,
) -> Outcome:
    """Take the recipe's steps on the surrogates, from `start`, and give the best candidate found.

    Args:
        clean, start: photos and where to begin, (B, 3, H, W), sides multiples of what the surrogates need.
        budget: radius a pixel, in units of the [0, 1] range.
        surrogates: at least one.
        target: the anchor's unrelated photo (default: `anchor_target`).
        deadline: `time.monotonic()` seconds; what is found by then is given back.

    Raises:
        RecipeError: no surrogate, or a term whose weights are not at hand.
        Cancelled: when `cancel` is set.
    """
    blind = [surrogate.info.name for surrogate in surrogates if not surrogate.decodes]
    if recipe.terms.decoded and blind:
        raise RecipeError(f"recipe {recipe.name!r} looks through decoders and {blind[0]} has none: choose balanced")
    generator = torch.Generator().manual_seed(seed)
    objectives = _objectives(recipe, lpips, target)
    begun = time.monotonic()
    loss_fns = [bind(objectives, surrogate, clean, seed) for surrogate in surrogates]
    # Binding is about one forward pass a surrogate; a step with its gradient is about three of them.
    per_pass = (time.monotonic() - begun) / max(1, len(surrogates))
    passes_a_step = 3 if recipe.turns == "one" else 3 * len(surrogates)
    transform = _transform(recipe, preset)
    return ALGORITHMS[recipe.algorithm](
        _in_turn([loss_fn.with_fresh_draws(generator) for loss_fn in loss_fns], recipe, transform, generator),
        clean,
        budget=budget,
        steps=recipe.steps,
        step=recipe.step / 255,
        final_step=recipe.final_step,
        spaces=_spaces(recipe),
        start=start,
        score_fn=ensemble(loss_fns),
        score_every=recipe.score_every,
        callback=callback,
        # The last comparison of candidates is a forward pass on every surrogate: it must fit as well.
        deadline=None if deadline is None else deadline - 1.2 * per_pass * len(surrogates),
        step_seconds=per_pass * passes_a_step,
        cancel=cancel,
    )


def anchor_target(height: int = 64, width: int = 64) -> Pixels:
    """The anchor's default target: a checkerboard of mid-grey steps, unlike any photo and free of anybody's picture."""
    rows, columns = torch.arange(height) * 8 // height, torch.arange(width) * 8 // width
    checks = ((rows[:, None] + columns[None, :]) % 2).float()
    return (0.3 + 0.4 * checks).expand(1, 3, height, width)


def _objectives(recipe: Recipe, lpips: Lpips | None, target: Pixels | None) -> dict[Objective, float]:
    terms = recipe.terms
    chosen: dict[Objective, float] = {}
    if terms.displacement:
        chosen[Displacement()] = terms.displacement
    if terms.anchor:
        chosen[Anchor(anchor_target() if target is None else target, recipe.anchor_layers)] = terms.anchor
    if terms.decoded:
        chosen[DecodedDamage()] = terms.decoded
    if terms.auxiliary:
        if lpips is None:
            raise RecipeError(
                "the auxiliary term needs LPIPS weights: put perceptual/lpips_alex.safetensors into ANTI_I2V_HOME"
            )
        chosen[Auxiliary(lpips)] = terms.auxiliary
    if not chosen:
        raise RecipeError(f"recipe {recipe.name!r} has no term with a weight: set one of displacement, anchor, decoded")
    return chosen


def _spaces(recipe: Recipe) -> list[Space]:
    known: dict[str, Space] = {
        "rgb": Rgb(),
        "lab": Lab(recipe.lab_shares),
        "dct": LowDct(recipe.dct_cutoff),
        "dct8": LowDct(recipe.dct_cutoff, block=8),
    }
    return [known[name] for name in recipe.spaces]


def _transform(recipe: Recipe, preset: Preset | None) -> Transform:
    drawn = sampler(recipe.eot)
    if preset is None or preset.quality is None or not preset.reencodes:
        return drawn
    # The platform's size limit lies above the sizes that models work at, so its codec is what matters here.
    platform = jpeg(preset.quality - 3, min(100, preset.quality + 3))

    def apply(pixels: Pixels, generator: torch.Generator) -> Pixels:
        through = platform if float(torch.rand((), generator=generator)) < PRESET_SHARE else drawn
        return through(pixels, generator)

    return apply


def _in_turn(loss_fns: Sequence[LossFn], recipe: Recipe, transform: Transform, generator: torch.Generator) -> LossFn:
    """One surrogate a step, each in its turn (a third of the cost for three), or all of them; one draw of EOT."""
    turns: Iterator[LossFn] = itertools.cycle(loss_fns if recipe.turns == "one" else [ensemble(loss_fns)])

    def loss_fn(pixels: Pixels) -> PerImage:
        return expectation(next(turns), [transform], generator)(pixels)

    return loss_fn
