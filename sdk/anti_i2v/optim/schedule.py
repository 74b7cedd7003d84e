"""From a recipe to a refined candidate: surrogates in turn, spaces in turn, EOT, the schedule and the deadline.

It runs on either engine: an engine opens a photo and says what a step on it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from anti_i2v.recipes import Recipe

__all__ = ["surrogate_schedule"]


def surrogate_schedule(names: Sequence[str], recipe: Recipe) -> list[list[int]]:
    """Which surrogates each step takes, over and over: one at a time is a third of the cost of three in every step.

    A surrogate of weight 2 comes twice in a round, as far apart as it goes. The recipe's own video models join every
    turn: they see a window of the photo, at a tenth of the cost of an encoder at 512 pixels.
    """
    if recipe.turns == "all":
        return [list(range(len(names)))]
    beside = [index for index, name in enumerate(names) if name in recipe.video_models]
    weights = {index: recipe.turn_weights.get(name, 1) for index, name in enumerate(names) if index not in beside}
    places = [((turn + 0.5) / weight, index) for index, weight in weights.items() for turn in range(weight)]
    return [[index, *beside] for _, index in sorted(places)] or [beside]
