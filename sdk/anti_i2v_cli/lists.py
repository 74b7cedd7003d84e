"""`anti-i2v recipes` and `anti-i2v presets`: what there is to choose from."""

from __future__ import annotations

import typer

__all__ = ["presets", "recipes"]


def recipes() -> None:
    """List the recipes: settings under a name."""
    from anti_i2v.recipes import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        limit = "no limit" if recipe.deadline is None else f"{recipe.deadline:g} s"
        effort = f"{recipe.steps} steps, {limit}" if recipe.steps else "no steps"
        typer.echo(f"{name:<12}{recipe.summary}\n{'':<12}budget {recipe.budget}, {effort}")


def presets() -> None:
    """List the presets: models of platforms."""
    from anti_i2v.images.platforms import PRESETS

    for name, preset in PRESETS.items():
        size = f"{preset.long_edge} px" if preset.long_edge else "any size"
        quality = f"JPEG {preset.quality}" if preset.reencodes else "mostly as it is"
        typer.echo(f"{name:<12}{size:<12}{quality:<18}{preset.label} (confidence: {preset.confidence})")
