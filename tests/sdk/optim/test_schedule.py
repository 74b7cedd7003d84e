"""Which surrogates each step uses."""

from __future__ import annotations

from itertools import pairwise

import pytest

from anti_i2v.optim.schedule import surrogate_schedule
from anti_i2v.recipes import Recipe, load_recipe


def own(**settings: object) -> Recipe:
    return load_recipe(Recipe(name="own", summary="Of this test."), **settings)


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
def test_a_surrogate_gets_as_many_steps_as_its_weight(weights: dict[str, int], expected: list[str]) -> None:
    weighted = own(turn_weights=weights)
    assert ["abc"[index] for (index,) in surrogate_schedule(["a", "b", "c"], weighted)] == expected
    assert surrogate_schedule(["a", "b", "c"], load_recipe(weighted, turns="all")) == [[0, 1, 2]]


def test_the_steps_of_a_surrogate_are_evenly_spaced() -> None:
    order = [index for (index,) in surrogate_schedule(["a", "b", "c"], own(turn_weights={"a": 3, "b": 3}))]
    assert [order.count(index) for index in range(3)] == [3, 3, 1]
    for index in (0, 1):
        places = [place for place, found in enumerate(order) if found == index]
        assert all(second - first >= 2 for first, second in pairwise(places))


def test_a_recipes_own_video_model_joins_every_step() -> None:
    recipe = Recipe(name="own", summary="Mine.", turn_weights={"taesd": 2}, video_models=("dit-taef1",))
    names = ["taesd", "taef1", "dit-taef1"]
    assert surrogate_schedule(names, recipe) == [[0, 2], [1, 2], [0, 2]]
    assert surrogate_schedule(names[:2], recipe) == [[0], [1], [0]]
    assert surrogate_schedule(names[2:], recipe) == [[0]]
    assert surrogate_schedule(names, load_recipe(recipe, turns="all")) == [[0, 1, 2]]
