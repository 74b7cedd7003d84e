"""Recipes: the packaged ones, replaced settings, and values that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from anti_i2v.errors import RecipeError
from anti_i2v.objectives.targets import TARGETS
from anti_i2v.optim.transforms import TRANSFORMS, weighted_choice
from anti_i2v.optim.update_rules import UPDATE_RULES
from anti_i2v.recipes import Recipe, Target, Terms, TransformName, load_recipe, recipe_names

DATA = Path(load_recipe.__code__.co_filename).parent / "data" / "recipes"


def test_packaged_recipes_are_listed_fastest_first() -> None:
    assert recipe_names() == ["draft", "balanced", "strong", "full", "paper"]
    assert recipe_names(denoisers=False) == ["draft", "balanced", "strong"]


@pytest.mark.parametrize("name", recipe_names())
def test_every_packaged_recipe_loads(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary.endswith(".")
    assert recipe.algorithm in UPDATE_RULES
    assert any(msgspec.to_builtins(recipe.terms).values())
    weighted_choice(recipe.eot)


def test_paper_differs_from_full_only_in_its_spaces() -> None:
    full, paper = (msgspec.to_builtins(load_recipe(name)) for name in ("full", "paper"))
    assert {key for key in full if full[key] != paper[key]} == {"name", "summary", "spaces"}
    assert paper["spaces"] == ("lab", "dct")
    assert (paper["lab_shares"], paper["dct_cutoff"]) == ((0, 1, 1), 0.25)


def test_files_are_named_after_their_recipes() -> None:
    assert sorted(path.stem for path in DATA.glob("*.toml")) == sorted(recipe_names())


def test_the_draft_takes_no_steps() -> None:
    assert load_recipe("draft").steps == 0
    assert load_recipe("balanced").steps < load_recipe("strong").steps


def test_replacing_settings_does_not_change_the_packaged_recipe() -> None:
    before = load_recipe("balanced")
    changed = load_recipe("balanced", budget=4, spaces=["lab", "dct"], terms={"anchor": 1.0})
    assert (changed.budget, changed.spaces, changed.terms) == (4, ("lab", "dct"), Terms(anchor=1.0))
    assert changed.steps == before.steps
    assert load_recipe("balanced") == before


@pytest.mark.parametrize(
    ("earlier", "name", "value"), [("visual_floor", "mask_floor", 0.5), ("draws", "noise_samples", 3)]
)
def test_earlier_names_of_settings_are_accepted(earlier: str, name: str, value: float) -> None:
    assert getattr(load_recipe("balanced", **{earlier: value}), name) == value


def test_a_recipe_object_is_used_as_it_is() -> None:
    own = Recipe(name="own", summary="Mine.", steps=3)
    assert load_recipe(own) is own
    assert load_recipe(own, steps=4).steps == 4


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load_recipe("draft").budget = 3  # type: ignore[misc]  # the point of this test


BAD = {
    "budget 0": ({"budget": 0}, "budget must be 1..64 levels, got 0"),
    "budget 300": ({"budget": 300}, "budget must be 1..64 levels, got 300"),
    "half a level": ({"budget": 2.5}, "Expected `int`, got `float` - at `$.budget`"),
    "budget in words": ({"budget": "8"}, "Expected `int`, got `str` - at `$.budget`"),
    "a small short side": ({"short_side": 63}, "short_side must be 64..2048 pixels, got 63"),
    "a large short side": ({"short_side": 2049}, "short_side must be 64..2048 pixels, got 2049"),
    "a negative floor": ({"mask_floor": -0.1}, "mask_floor must be in [0, 1], got -0.1"),
    "a floor above 1": ({"mask_floor": 1.5}, "mask_floor must be in [0, 1], got 1.5"),
    "a floor that is not a number": ({"mask_floor": float("nan")}, "mask_floor must be in [0, 1], got nan"),
    "negative steps": ({"steps": -1}, "steps must be 0..10000, got -1"),
    "too many steps": ({"steps": 10_001}, "steps must be 0..10000, got 10001"),
    "no step length": ({"step": 0}, "step must be above 0 and at most 64 levels, got 0"),
    "a long step": ({"step": 65}, "step must be above 0 and at most 64 levels, got 65"),
    "a growing step": ({"final_step": 1.1}, "final_step must be in [0, 1], got 1.1"),
    "no frequencies": ({"dct_cutoff": 0}, "dct_cutoff must be above 0 and at most 1, got 0"),
    "no luma quality": ({"luma_quality": 0}, "luma_quality must be 1..100, got 0"),
    "no space": ({"spaces": []}, "a recipe needs at least one space"),
    "an unknown space": ({"spaces": ["hsv"]}, "Invalid enum value 'hsv' - at `$.spaces[0]`"),
    "an unknown algorithm": ({"algorithm": "sgd"}, "Invalid enum value 'sgd' - at `$.algorithm`"),
    "an unknown target": ({"target": "mist"}, "Invalid enum value 'mist' - at `$.target`"),
    "an unknown thing to keep": ({"keep": "first"}, "Invalid enum value 'first' - at `$.keep`"),
    "an unknown start": ({"start": "noise"}, "Invalid enum value 'noise' - at `$.start`"),
    "two Lab shares": ({"lab_shares": [0, 1]}, "at `$.lab_shares`"),
    "zero Lab shares": ({"lab_shares": [0, 0, 0]}, "lab_shares must be >= 0 and not all zero, got (0.0, 0.0, 0.0)"),
    "a negative Lab share": ({"lab_shares": [0, -1, 2]}, "lab_shares must be >= 0 and not all zero"),
    "falling noise levels": ({"noise_levels": [0.6, 0.5]}, "noise_levels must rise within [0, 1], got (0.6, 0.5)"),
    "more than noise": ({"noise_levels": [0.6, 1.5]}, "noise_levels must rise within [0, 1], got (0.6, 1.5)"),
    "a deadline of zero": ({"deadline": 0}, "deadline must be above 0 seconds, got 0"),
    "no turns": ({"turn_weights": {"taesd": 0}}, "turn_weights must be 1..10, got {'taesd': 0}"),
    "too many turns": ({"turn_weights": {"taesd": 11}}, "turn_weights must be 1..10, got {'taesd': 11}"),
    "half a turn": ({"turn_weights": {"taesd": 1.5}}, "Expected `int`, got `float` - at `$.turn_weights[...]`"),
    "an unknown setting": ({"bugdet": 8}, "a recipe has no setting `bugdet`"),
    "an unknown transform": ({"eot": {"fax": 1.0}}, "Invalid enum value 'fax' - at `key` in `$.eot`"),
    "an unknown term": ({"terms": {"colour": 1.0}}, "colour"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_bad_value_is_refused_by_its_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe("balanced", **changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_recipes_know_the_names_of_all_transforms() -> None:
    assert set(get_args(TransformName)) == set(TRANSFORMS)


def test_recipes_know_the_names_of_all_targets() -> None:
    assert set(get_args(Target)) == set(TARGETS)


def test_some_terms_need_a_denoiser() -> None:
    for terms in (Terms(collapse=1.0), Terms(denoising=1.0), Terms(distillation=-1.0)):
        assert Recipe(name="own", summary="Mine.", terms=terms).needs_denoiser
    assert not Recipe(name="own", summary="Mine.", terms=Terms(norm=1.0)).needs_denoiser
    anchored = Recipe(name="own", summary="Mine.", terms=Terms(anchor=1.0))
    assert not anchored.needs_denoiser
    assert load_recipe(anchored, anchor_layers=["latent", "prediction"]).needs_denoiser


def test_an_unknown_recipe_is_refused_with_the_choices() -> None:
    with pytest.raises(RecipeError, match="unknown recipe 'balance': choose from draft, balanced, strong"):
        load_recipe("balance")


def test_a_recipe_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="budget"):
        Recipe(name="own", summary="Mine.", budget=0)
