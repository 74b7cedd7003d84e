"""Recipes of published protections, for benchmarks only.

Each applies its paper's objective and perturbation to the given surrogates. Budget, steps, step sizes and working size
are the same for all, so that benchmarks compare objectives and not settings. The recipes therefore do not reproduce the
papers' numbers. Every file in data/baselines states what was kept and what was left out.
"""

from __future__ import annotations

from functools import cache

from anti_i2v.errors import RecipeError
from anti_i2v.recipes import Recipe, read_recipes

__all__ = ["baseline_names", "load_baseline"]


def baseline_names(*, denoisers: bool = True) -> list[str]:
    """List the names of the baselines; `denoisers` includes those that need a whole video model."""
    return sorted(name for name, recipe in _shipped().items() if denoisers or not recipe.needs_denoiser)


def load_baseline(name: str) -> Recipe:
    """Load a baseline's recipe; `load_recipe(load_baseline(name), budget=4)` replaces settings.

    Raises:
        RecipeError: there is no baseline of this name.
    """
    if name not in _shipped():
        raise RecipeError(f"unknown baseline {name!r}: choose from {', '.join(baseline_names())}")
    return _shipped()[name]


@cache
def _shipped() -> dict[str, Recipe]:
    return read_recipes("baselines")
