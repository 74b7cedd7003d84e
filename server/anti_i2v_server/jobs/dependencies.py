"""Dependencies of the job handlers: options from the query, and a signal when the client disconnects."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from litestar.params import QueryParameter

from anti_i2v.images.formats import FORMATS
from anti_i2v.images.platforms import PRESETS
from anti_i2v.recipes import recipe_names
from anti_i2v_server.errors import MalformedRequest
from anti_i2v_server.jobs.job_options import METADATA_POLICIES, PRIORITIES, JobOptions

__all__ = ["client_disconnect", "job_options", "protect_options"]

# `schema_extra` only documents enumerations and ranges: JobOptions checks them, with messages that say what to do.
Recipe = Annotated[
    str,
    QueryParameter(description="A name of GET /v1/recipes.", schema_extra={"enum": recipe_names(denoisers=False)}),
]
Preset = Annotated[
    str | None,
    QueryParameter(
        description="The platform on which the photo will be posted: a name of GET /v1/presets.",
        schema_extra={"enum": list(PRESETS)},
    ),
]
Deadline = Annotated[
    float | None,
    QueryParameter(
        description="Seconds from now, queueing included, after which the best result so far is returned. "
        "The default is the recipe's.",
        schema_extra={"exclusiveMinimum": 0},
    ),
]
Format = Annotated[
    str | None,
    QueryParameter(
        description="Format of the result. The default is the photo's own.",
        schema_extra={"enum": [name.lower() for name in FORMATS]},
    ),
]
MetadataPolicy = Annotated[
    str,
    QueryParameter(
        description="keep: keep camera, date and author. GPS and serial numbers are always removed.",
        schema_extra={"enum": list(METADATA_POLICIES)},
    ),
]
Seed = Annotated[
    int,
    QueryParameter(
        description="The same seed gives the same result, unless a deadline cut the steps.",
        schema_extra={"minimum": 0, "maximum": 2**63 - 1},
    ),
]
PriorityName = Annotated[
    str, QueryParameter(description="Interactive jobs run before bulk jobs.", schema_extra={"enum": list(PRIORITIES)})
]


async def protect_options(
    request: Request[Any, Any, Any],
    recipe: Recipe = "balanced",
    preset: Preset = None,
    deadline: Deadline = None,
    format: Format = None,
    metadata: MetadataPolicy = "drop",
    seed: Seed = 0,
) -> JobOptions:
    """Return the query of POST /v1/protect. Raises MalformedRequest, RecipeError."""
    return _validated(request, recipe, preset, deadline, format, metadata, seed, "interactive")


async def job_options(
    request: Request[Any, Any, Any],
    recipe: Recipe = "balanced",
    preset: Preset = None,
    deadline: Deadline = None,
    format: Format = None,
    metadata: MetadataPolicy = "drop",
    seed: Seed = 0,
    priority: PriorityName = "interactive",
) -> JobOptions:
    """Return the query of POST /v1/jobs. Raises MalformedRequest, RecipeError."""
    return _validated(request, recipe, preset, deadline, format, metadata, seed, priority, "priority")


def _validated(
    request: Request[Any, Any, Any],
    recipe: str,
    preset: str | None,
    deadline: float | None,
    format: str | None,
    metadata: str,
    seed: int,
    priority: str,
    *more: str,
) -> JobOptions:
    known = {"recipe", "preset", "deadline", "format", "metadata", "seed", *more}
    if unknown := set(request.query_params) - known:  # a misspelt name must not silently fall back to a default
        raise MalformedRequest(f"unknown parameter {min(unknown)[:40]!r}: choose from {', '.join(sorted(known))}")
    options = JobOptions(
        recipe=recipe,
        preset=preset,
        deadline=deadline,
        format=format,
        metadata=metadata,
        seed=seed,
        priority=priority,
    )
    options.validate()
    return options


async def client_disconnect(request: Request[Any, Any, Any]) -> None:
    """Wait until the client disconnects. Litestar does not cancel a handler by itself."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
