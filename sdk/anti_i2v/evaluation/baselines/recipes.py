"""What others published, as recipes of our own making that run through the same loop: for benchmarks, not for people.

Each is its paper's objective and perturbation on the surrogates that one gives it. What the papers leave to the
experiment is the same for all, so that objectives are compared and not settings: budget, steps, their lengths, the
working size. So no number of a paper is reproduced here, and none is claimed to be. Every file in data/baselines says
what was kept and what was left out.
"""

from __future__ import annotations

from functools import cache

from anti_i2v.errors import RecipeError
from anti_i2v.recipes import Recipe, read_recipes

__all__ = ["baseline_names", "load_baseline"]


def baseline_names(*, denoisers: bool = True) -> list[str]:
    """The competitors by name; `denoisers`: those that need a whole video model as well."""
    return sorted(name for name, recipe in _shipped().items() if denoisers or not recipe.needs_denoiser)


def load_baseline(name: str) -> Recipe:
    """A competitor's recipe; `load_recipe(competitor(name), budget=4)` replaces settings.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in _shipped():
        raise RecipeError(f"unknown competitor {name!r}: choose from {', '.join(baseline_names())}")
    return _shipped()[name]


@cache
def _shipped() -> dict[str, Recipe]:
    return read_recipes("baselines")
