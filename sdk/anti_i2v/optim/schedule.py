"""Which surrogates each step uses."""

from __future__ import annotations

from collections.abc import Sequence

from anti_i2v.recipes import Recipe

__all__ = ["surrogate_schedule"]


def surrogate_schedule(names: Sequence[str], recipe: Recipe) -> list[list[int]]:
    """Return the indices of the surrogates of each step; the steps repeat the list.

    By default one surrogate a step: with three surrogates that costs a third of using all of them. A surrogate of
    weight 2 appears twice in the list, as evenly spaced as possible. The recipe's own video models join every step:
    they see a window of the photo, at a tenth of the cost of an encoder at 512 pixels.
    """
    if recipe.turns == "all":
        return [list(range(len(names)))]
    in_every_step = [index for index, name in enumerate(names) if name in recipe.video_models]
    weights = {
        index: recipe.turn_weights.get(name, 1) for index, name in enumerate(names) if index not in in_every_step
    }
    positions = [((place + 0.5) / weight, index) for index, weight in weights.items() for place in range(weight)]
    return [[index, *in_every_step] for _, index in sorted(positions)] or [in_every_step]
