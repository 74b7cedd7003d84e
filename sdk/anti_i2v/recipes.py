"""Recipes: named, frozen sets of settings, read from data/recipes/*.toml, which hold every tuned number."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import msgspec

from anti_i2v.errors import RecipeError

__all__ = [
    "DENOISER_LAYERS",
    "Recipe",
    "Target",
    "Terms",
    "for_encoders",
    "hook_points",
    "load_recipe",
    "read_recipes",
    "recipe_names",
    "weighted_terms",
]


TransformName: TypeAlias = Literal["identity", "jpeg", "resize", "blur", "noise", "crop"]
"""The keys of `transforms.TRANSFORMS`, repeated so that a wrong recipe is refused without loading torch."""

Target: TypeAlias = Literal["checkerboard", "gray", "glyphs", "degraded"]
"""The keys of `targets.TARGETS`, likewise."""

DENOISER_TERMS = ("collapse", "denoising", "distillation")
"""Terms that need a denoiser."""

DENOISER_LAYERS = ("early", "late", "all", "prediction")
"""Hook points that only a denoiser has."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the objectives; 0 leaves one out.

    Attributes:
        displacement: shift of the latent (`LatentShift`).
        anchor: distance of features to those of a target (IRA).
        decoded: error of the decoded photo (`DecoderDistance`).
        auxiliary: LPIPS to the clean photo (L_aux).
        collapse: representation collapse (IRC); needs a denoiser.
        denoising: error of the denoiser (DM); needs a denoiser.
        clip: distance of CLIP embeddings.
        norm: norm of the latent.
        distillation: score distillation; needs a denoiser.
    """

    displacement: float = 0.0
    anchor: float = 0.0
    decoded: float = 0.0
    auxiliary: float = 0.0
    collapse: float = 0.0
    denoising: float = 0.0
    clip: float = 0.0
    norm: float = 0.0
    distillation: float = 0.0


def _no_eot() -> dict[TransformName, float]:
    return {"identity": 1.0}


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a protection.

    Attributes:
        budget: L-infinity bound in levels (1/255), 1..64.
        short_side: short side of the working size in pixels; the perturbation is scaled up from it to the photo.
        mask_floor: share of the budget in flat areas; 1 turns the perceptual mask off.
        start: "draft" (the trained tiles), "random" or "clean".
        steps: number of optimiser steps; 0 returns the start.
        step: length of the first step in levels (root mean square change).
        final_step: length of the last step as a share of `step`.
        algorithm: "sign-gradient", "momentum" or "adam".
        spaces: optimised in turn: "rgb", "lab", "dct", "dct8", "luma-dct8". The paper's dual space is ["lab", "dct"].
        lab_shares: relative step lengths of L*, a*, b*. The paper: [0, 1, 1].
        dct_cutoff: share of the lowest frequencies of each axis that may change.
        luma_quality: JPEG quality whose quantisation steps are the units of "luma-dct8".
        terms: weights of the objectives.
        target: target image of the anchor term, see `objectives.targets`.
        anchor_layers: hook points of the anchor term: "latent", encoder layers, a denoiser's "late" or "early" blocks,
            or its "prediction".
        noise_levels: quantiles between which a denoiser's noise level is sampled, (0, 1) for all. Near 1 the video
            is all noise, so the prediction depends on the photo.
        noise_samples: number of fixed samples of a denoiser's timestep and noise; 0: new ones in every step.
        turns: "one" surrogate per step, in turn, or "all" in every step.
        turn_weights: surrogate -> its number of turns in a round; 1 for those not named.
        eot: transform -> probability weight; one is sampled per step. {"identity": 1} turns EOT off.
        keep: the "best" candidate by its score, or the "last" one, as in published attacks.
        score_every: steps between comparisons of candidates on all surrogates; 0: only at start and end.
        video_models: packaged small video models that are optimised on too, if no surrogates were named and the engine
            has them. Terms that need a denoiser then do not apply to encoders.
        deadline: default limit in seconds; None: no limit.
    """

    name: str
    summary: str
    budget: int = 8
    short_side: int = 512
    mask_floor: float = 1.0
    start: Literal["draft", "random", "clean"] = "draft"
    steps: int = 0
    step: float = 2.0
    final_step: float = 0.1
    algorithm: Literal["sign-gradient", "momentum", "adam"] = "sign-gradient"
    spaces: tuple[Literal["rgb", "lab", "dct", "dct8", "luma-dct8"], ...] = ("rgb",)
    lab_shares: tuple[float, float, float] = (0.0, 1.0, 1.0)
    dct_cutoff: float = 0.25
    luma_quality: int = 85
    terms: Terms = Terms(displacement=1.0)
    target: Target = "checkerboard"
    anchor_layers: tuple[str, ...] = ("latent",)
    noise_levels: tuple[float, float] = (0.0, 1.0)
    noise_samples: int = 0
    turns: Literal["one", "all"] = "one"
    turn_weights: dict[str, int] = msgspec.field(default_factory=dict)
    eot: dict[TransformName, float] = msgspec.field(default_factory=_no_eot)
    keep: Literal["best", "last"] = "best"
    score_every: int = 0
    video_models: tuple[str, ...] = ()
    deadline: float | None = None

    @property
    def needs_denoiser(self) -> bool:
        """Whether the recipe runs only on a whole video model that the caller names."""
        needs_output = any(getattr(self.terms, term) for term in DENOISER_TERMS)
        needs_layers = bool(self.terms.anchor) and not set(DENOISER_LAYERS).isdisjoint(self.anchor_layers)
        return not self.video_models and (needs_output or needs_layers)

    def __post_init__(self) -> None:
        checks = [
            (1 <= self.budget <= 64, f"budget must be 1..64 levels, got {self.budget}"),
            (64 <= self.short_side <= 2048, f"short_side must be 64..2048 pixels, got {self.short_side}"),
            (0 <= self.mask_floor <= 1, f"mask_floor must be in [0, 1], got {self.mask_floor}"),
            (0 <= self.steps <= 10_000, f"steps must be 0..10000, got {self.steps}"),
            (0 < self.step <= 64, f"step must be above 0 and at most 64 levels, got {self.step}"),
            (0 <= self.final_step <= 1, f"final_step must be in [0, 1], got {self.final_step}"),
            (
                min(self.lab_shares) >= 0 and sum(self.lab_shares) > 0,
                f"lab_shares must be >= 0 and not all zero, got {self.lab_shares}",
            ),
            (0 < self.dct_cutoff <= 1, f"dct_cutoff must be above 0 and at most 1, got {self.dct_cutoff}"),
            (1 <= self.luma_quality <= 100, f"luma_quality must be 1..100, got {self.luma_quality}"),
            (
                all(1 <= weight <= 10 for weight in self.turn_weights.values()),
                f"turn_weights must be 1..10, got {self.turn_weights}",
            ),
            (
                0 <= self.noise_levels[0] < self.noise_levels[1] <= 1,
                f"noise_levels must rise within [0, 1], got {self.noise_levels}",
            ),
            (0 <= self.noise_samples <= 1000, f"noise_samples must be 0..1000, got {self.noise_samples}"),
            (len(self.spaces) > 0, "a recipe needs at least one space"),
            (self.deadline is None or self.deadline > 0, f"deadline must be above 0 seconds, got {self.deadline}"),
        ]
        for holds, message in checks:
            if not holds:
                raise RecipeError(message)


def for_encoders(recipe: Recipe) -> Recipe:
    """Remove the parts that need a denoiser from a recipe with video models of its own.

    Any other recipe is returned as it is; on an encoder such parts are then an error.
    """
    if not recipe.video_models:
        return recipe
    layers = tuple(layer for layer in recipe.anchor_layers if layer not in DENOISER_LAYERS)
    removed = DENOISER_TERMS if layers else (*DENOISER_TERMS, "anchor")
    terms = msgspec.structs.replace(recipe.terms, **dict.fromkeys(removed, 0.0))
    return msgspec.structs.replace(recipe, terms=terms, anchor_layers=layers or ("latent",), video_models=())


def weighted_terms(recipe: Recipe) -> dict[str, float]:
    """Return the terms with a weight, in the order of `Terms`.

    Raises:
        RecipeError: no term has a weight.
    """
    weights = {name: weight for name, weight in msgspec.structs.asdict(recipe.terms).items() if weight}
    if not weights:
        raise RecipeError(
            f"recipe {recipe.name!r} has no term with a weight: set one of {', '.join(Terms.__struct_fields__)}"
        )
    return weights


def hook_points(recipe: Recipe) -> tuple[str, ...]:
    """Return the hook points, besides the latent, that a recipe's terms need."""
    anchor = [layer for layer in recipe.anchor_layers if layer != "latent"] if recipe.terms.anchor else []
    collapse = ["early", "late"] if recipe.terms.collapse else []
    denoising = ["prediction"] if recipe.terms.denoising else []
    return tuple(dict.fromkeys([*anchor, *collapse, *denoising]))


RENAMED_SETTINGS = {"visual_floor": "mask_floor", "draws": "noise_samples"}
"""Earlier names of settings, accepted until 0.3."""


def recipe_names(*, denoisers: bool = True) -> list[str]:
    """List the packaged recipes, fastest first; `denoisers`: also those that need a whole video model."""
    names = [name for name, recipe in _packaged().items() if denoisers or not recipe.needs_denoiser]
    return sorted(names, key=lambda name: (_packaged()[name].steps, name))


def load_recipe(recipe: str | Recipe, **changes: object) -> Recipe:
    """Load a packaged recipe by name (or take a Recipe), and replace settings.

    Raises:
        RecipeError: an unknown name or setting, or a value out of range.
    """
    if isinstance(recipe, str):
        if recipe not in _packaged():
            raise RecipeError(f"unknown recipe {recipe!r}: choose from {', '.join(recipe_names())}")
        recipe = _packaged()[recipe]
    changes = {RENAMED_SETTINGS.get(name, name): value for name, value in changes.items()}
    if not changes:
        return recipe
    try:
        # Converted, so that replaced values are checked for type as well as for range.
        return msgspec.convert({**msgspec.to_builtins(recipe), **changes}, Recipe)
    except msgspec.ValidationError as problem:
        raise RecipeError(str(problem).replace("Object contains unknown field", "a recipe has no setting")) from None


@cache
def _packaged() -> dict[str, Recipe]:
    return read_recipes("recipes")


def read_recipes(name: str) -> dict[str, Recipe]:
    """Read the recipes in a folder of the package's data, by name."""
    folder = resources.files("anti_i2v").joinpath("data", name)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    recipes = [msgspec.toml.decode(file.read_bytes(), type=Recipe) for file in files]
    return {recipe.name: recipe for recipe in recipes}
