"""Options of a job, validated before it enters the queue."""

from __future__ import annotations

import math

import msgspec

from anti_i2v.errors import RecipeError
from anti_i2v.images.formats import FORMATS
from anti_i2v.images.platforms import get_preset
from anti_i2v.recipes import load_recipe, recipe_names

__all__ = ["METADATA_POLICIES", "PRIORITIES", "JobOptions"]

METADATA_POLICIES = ("drop", "keep")
PRIORITIES = ("interactive", "bulk")

DEADLINE_SHARE = 0.8
"""Longest deadline as a share of the job timeout, so that the best result so far comes before the timeout."""


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to protect a photo.

    Attributes:
        recipe, preset: names.
        deadline: seconds from submission, queueing included; None takes the recipe's.
        format: format of the result, lower case; None keeps the photo's.
        metadata: "keep" keeps camera, date and author. GPS and serial numbers are always removed.
        seed: the same seed gives the same result, unless a deadline cut the steps.
        priority: "interactive" jobs run before "bulk" jobs.
    """

    recipe: str = "balanced"
    preset: str | None = None
    deadline: float | None = None
    format: str | None = None
    metadata: str = "drop"
    seed: int = 0
    priority: str = "interactive"

    def validate(self) -> None:
        """Check every option. Raises RecipeError."""
        if load_recipe(self.recipe).needs_denoiser:
            raise RecipeError(
                f"recipe {self.recipe!r} needs a whole video model: use the command line, or choose from "
                f"{', '.join(recipe_names(denoisers=False))}"
            )
        if self.preset is not None:
            get_preset(self.preset)
        if self.deadline is not None and not (self.deadline > 0 and math.isfinite(self.deadline)):
            raise RecipeError(f"a deadline must be above 0 seconds, got {self.deadline:g}")
        if not 0 <= self.seed < 2**63:
            raise RecipeError(f"a seed must be 0..2**63 - 1, got {self.seed}")
        if self.format is not None and self.format.upper() not in FORMATS:
            known = ", ".join(name.lower() for name in FORMATS)
            raise RecipeError(f"unknown format {self.format!r}: choose from {known}")
        for name, value, choices in (
            ("metadata", self.metadata, METADATA_POLICIES),
            ("priority", self.priority, PRIORITIES),
        ):
            if value not in choices:
                raise RecipeError(f"unknown {name} {value!r}: choose from {', '.join(choices)}")

    def effective_deadline(self, job_timeout: float) -> float:
        """Return the requested deadline or the recipe's, limited to a share of `job_timeout`."""
        requested = load_recipe(self.recipe).deadline if self.deadline is None else self.deadline
        longest = DEADLINE_SHARE * job_timeout
        return longest if requested is None else min(requested, longest)
