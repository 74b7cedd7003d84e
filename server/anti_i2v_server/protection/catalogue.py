"""Routes that list recipes, presets and surrogates."""

from __future__ import annotations

from litestar import get

from anti_i2v.engines.artifacts import find_artifact
from anti_i2v.images.platforms import PRESETS
from anti_i2v.recipes import load_recipe, recipe_names
from anti_i2v.surrogates.encoders import encoders
from anti_i2v.surrogates.info import STUDENT, STUDENT_ROLE
from anti_i2v_server.openapi import problem_responses
from anti_i2v_server.protection.schemas import PresetInfo, RecipeInfo, SurrogateInfo

__all__ = ["presets", "recipes", "surrogates"]


@get("/v1/recipes", responses=problem_responses())
async def recipes() -> list[RecipeInfo]:
    """List the recipes that this server can run, lightest first."""
    found = [load_recipe(name) for name in recipe_names(denoisers=False)]
    return [RecipeInfo(each.name, each.summary, each.budget, each.steps, each.deadline) for each in found]


@get("/v1/presets", responses=problem_responses())
async def presets() -> list[PresetInfo]:
    """List the presets."""
    return [
        PresetInfo(each.name, each.label, each.long_edge, each.quality, each.confidence, each.source)
        for each in PRESETS.values()
    ]


@get("/v1/surrogates", responses=problem_responses())
async def surrogates() -> list[SurrogateInfo]:
    """List the encoders: the embedded student, and those that can be exported."""
    student = SurrogateInfo(STUDENT, STUDENT_ROLE, "a small network that imitates the surrogates", "Apache-2.0", True)
    return [
        student,
        *(
            SurrogateInfo(each.name, each.role, each.family, each.licence, find_artifact(each.name) is not None)
            for each in encoders().values()
        ),
    ]
