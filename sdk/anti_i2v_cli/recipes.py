"""`anti-i2v recipes`: list the recipes."""

from __future__ import annotations

import typer

__all__ = ["recipes"]


def recipes() -> None:
    """List the recipes: settings for `protect --recipe`."""
    from anti_i2v.recipes import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        limit = "no limit" if recipe.deadline is None else f"{recipe.deadline:g} s"
        effort = f"{recipe.steps} steps, {limit}" if recipe.steps else "no steps"
        typer.echo(f"{name:<12}{recipe.summary}\n{'':<12}budget {recipe.budget}, {effort}")
