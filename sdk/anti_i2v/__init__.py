"""Anti-I2V: adds friction to turning a photo into a fake video, and measures the effect.

    from anti_i2v import protect

    protection = protect("photo.jpg", preset="instagram", deadline=10)
    protection.save("protected.jpg")
    print(protection.receipt)

The names in `__all__` are public; all others may change. Importing the package loads neither torch nor kornia.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from anti_i2v.errors import (
    AntiI2VError,
    BudgetError,
    Cancelled,
    OutputError,
    PhotoError,
    RecipeError,
    SurrogateError,
)

# ONNX Runtime 1.29 and later report their use to Microsoft and store an identifier, unless this is set before it is
# imported. Nothing about a person's photos may leave the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from anti_i2v.checking import check
    from anti_i2v.protector import Protection, Protector, protect
    from anti_i2v.receipts.receipt import Receipt
    from anti_i2v.recipes import Recipe, load_recipe, recipe_names
    from anti_i2v.surrogates.video_options import VideoOptions

    Video = VideoOptions

_LAZY = {
    "Protection": "protector",
    "Protector": "protector",
    "Receipt": "receipts.receipt",
    "Recipe": "recipes",
    "VideoOptions": "surrogates.video_options",
    "check": "checking",
    "load_recipe": "recipes",
    "protect": "protector",
    "recipe_names": "recipes",
}

__all__ = [
    "AntiI2VError",
    "BudgetError",
    "Cancelled",
    "OutputError",
    "PhotoError",
    "Protection",
    "Protector",
    "Receipt",
    "Recipe",
    "RecipeError",
    "SurrogateError",
    "Video",
    "VideoOptions",
    "check",
    "load_recipe",
    "protect",
    "recipe_names",
]


_RENAMED = {"Video": "VideoOptions"}
"""Earlier public names, importable until 0.3."""


def __getattr__(name: str) -> object:
    name = _RENAMED.get(name, name)
    if name in _LAZY:
        return getattr(import_module(f"anti_i2v.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
