"""What there is to choose from."""

from __future__ import annotations

import msgspec
from litestar import get

from anti_i2v.artifacts import artifact_at_hand
from anti_i2v.presets import PRESETS
from anti_i2v.recipes import load_recipe, recipe_names
from anti_i2v.surrogates.registry import EMBEDDED, entries
from anti_i2v_server.openapi import problem_responses

__all__ = ["presets", "recipes", "surrogates"]


class RecipeInfo(msgspec.Struct, frozen=True, rename="camel"):
    """Settings under a name. `budget` in levels of 1/255, `deadline` in seconds."""

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
    """An encoder that is known. `present`: whether it was exported, so that this server can use it."""

    name: str
    role: str
    family: str
    licence: str
    present: bool


@get("/v1/recipes", responses=problem_responses())
async def recipes() -> list[RecipeInfo]:
    """The recipes that this server can run, lightest first."""
    found = [load_recipe(name) for name in recipe_names(denoisers=False)]
    return [RecipeInfo(each.name, each.summary, each.budget, each.steps, each.deadline) for each in found]


@get("/v1/presets", responses=problem_responses())
async def presets() -> list[PresetInfo]:
    """The presets."""
    return [
        PresetInfo(each.name, each.label, each.long_edge, each.quality, each.confidence, each.source)
        for each in PRESETS.values()
    ]


@get("/v1/surrogates", responses=problem_responses())
async def surrogates() -> list[SurrogateInfo]:
    """The encoders: the gauge of the package, and those that can be exported."""
    gauge = SurrogateInfo(EMBEDDED, "gauge", "a small network that imitates the surrogates", "Apache-2.0", True)
    return [
        gauge,
        *(
            SurrogateInfo(each.name, each.role, each.family, each.licence, artifact_at_hand(each.name) is not None)
            for each in entries().values()
        ),
    ]
