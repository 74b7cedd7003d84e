"""JSON of the recipes, presets and surrogates."""

from __future__ import annotations

import msgspec

__all__ = ["PresetInfo", "RecipeInfo", "SurrogateInfo"]


class RecipeInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A recipe. `budget` in levels of 1/255, `deadline` in seconds."""

    name: str
    summary: str
    budget: int
    steps: int
    deadline: float | None


class PresetInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A model of what one platform does to a photo. `longEdge` in pixels, `quality` of its JPEG."""

    name: str
    label: str
    long_edge: int | None
    quality: int | None
    confidence: str
    source: str


class SurrogateInfo(msgspec.Struct, frozen=True, rename="camel"):
    """A known encoder. `present`: whether it was exported, so that this server can use it."""

    name: str
    role: str
    family: str
    licence: str
    present: bool
