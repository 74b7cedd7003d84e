"""Recipes: named, frozen sets of settings, read from data/recipes/*.toml. Every tuned number lives there."""

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


TransformName = Literal["identity", "jpeg", "resize", "blur", "noise", "crop"]
"""The keys of `transforms.TRANSFORMS`, said again so that a wrong recipe is refused without loading torch."""


Target: TypeAlias = Literal["checkerboard", "gray", "glyphs", "degraded"]
"""The keys of `targets.TARGETS`, likewise."""


DENOISER_TERMS = ("collapse", "denoising", "distillation")
"""The terms that look at a denoiser."""

DENOISER_LAYERS = ("early", "late", "all", "prediction")
"""Names of hook points that a denoiser has alone."""


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights of the objectives; 0 leaves one out. See `objectives`: collapse, denoising and distillation need a
    denoiser."""

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
    """How a photo is protected.

    Attributes:
        budget: L-infinity bound in levels (1/255), 1..64.
        short_side: the short side in pixels at which the perturbation is made; it is scaled up to the photo.
        mask_floor: share of the budget that flat areas may take; 1 turns the visual weighting off.
        start: "draft" (the trained tiles), "random" or "clean".
        steps: of the optimiser; 0 keeps the start.
        step: first step in levels (root mean square change); `final_step` is the last one's share of it.
        algorithm: "sign-gradient", "momentum" or "adam".
        spaces: used in turn: "rgb", "lab", "dct", "dct8", "luma-dct8". The paper's dual space is ["lab", "dct"].
        lab_shares: how far L*, a*, b* move beside each other. The paper: [0, 1, 1].
        dct_cutoff: share of the lowest frequencies of each axis that may move.
        luma_quality: whose quantisation steps are the units of "luma-dct8", on libjpeg's scale.
        terms: weights of the objectives.
        target: what the anchor term pulls to: see `targets`.
        anchor_layers: hook points that the anchor term pulls: "latent", encoder layers, a denoiser's "late" or "early"
            blocks, or its "prediction".
        noise_levels: quantiles between which a denoiser's noise level is drawn: (0, 1) for all of them; near 1 the
            video is all noise, and what the denoiser says of it comes from the photo.
        noise_samples: of a denoiser's timestep and noise, each bound once; 0: new ones in every step.
        turns: "one" surrogate a step, in turn, or "all" in every step.
        turn_weights: surrogate -> how many of the turns it takes, beside 1 for those not named.
        eot: transform -> weight of its draw; one draw a step. {"identity": 1} turns it off.
        keep: the "best" candidate by its score, or the "last" one, as published attacks do.
        score_every: how often candidates are compared on all surrogates; 0: at the start and the end.
        video_models: the package's small video models that steps are taken on as well, where no surrogates were named
            and these are at hand (see `surrogates.trained`). Encoders are spared what looks at a denoiser.
        deadline: seconds that a person waits at most unless another is given; None: no limit.
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
        """Whether it runs on nothing but a video model that somebody names."""
        looks = any(getattr(self.terms, term) for term in DENOISER_TERMS)
        pulls = bool(self.terms.anchor) and not set(DENOISER_LAYERS).isdisjoint(self.anchor_layers)
        return not self.video_models and (looks or pulls)

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
    """What is left of a recipe that brings video models of its own on a surrogate without a denoiser.

    Any other recipe is given back as it is: what an encoder cannot answer is then an error.
    """
    if not recipe.video_models:
        return recipe
    layers = tuple(layer for layer in recipe.anchor_layers if layer not in DENOISER_LAYERS)
    spare = DENOISER_TERMS if layers else (*DENOISER_TERMS, "anchor")
    spared = msgspec.structs.replace(recipe.terms, **dict.fromkeys(spare, 0.0))
    return msgspec.structs.replace(recipe, terms=spared, anchor_layers=layers or ("latent",), video_models=())


def weighted_terms(recipe: Recipe) -> dict[str, float]:
    """The terms that a recipe weighs, with their weights, in the order of `Terms`.

    Raises:
        RecipeError: there is none.
    """
    weighed = {name: weight for name, weight in msgspec.structs.asdict(recipe.terms).items() if weight}
    if not weighed:
        raise RecipeError(
            f"recipe {recipe.name!r} has no term with a weight: set one of {', '.join(Terms.__struct_fields__)}"
        )
    return weighed


def hook_points(recipe: Recipe) -> tuple[str, ...]:
    """The hook points, beside the latent, that a recipe's terms look at."""
    anchor = [layer for layer in recipe.anchor_layers if layer != "latent"] if recipe.terms.anchor else []
    collapse = ["early", "late"] if recipe.terms.collapse else []
    denoising = ["prediction"] if recipe.terms.denoising else []
    return tuple(dict.fromkeys([*anchor, *collapse, *denoising]))


RENAMED_SETTINGS = {"visual_floor": "mask_floor", "draws": "noise_samples"}
"""Earlier names of settings, accepted until 0.3."""


def recipe_names(*, denoisers: bool = True) -> list[str]:
    """The recipes that the package ships, lightest first; `denoisers`: those that need a whole video model as well."""
    names = [name for name, recipe in _shipped().items() if denoisers or not recipe.needs_denoiser]
    return sorted(names, key=lambda name: (_shipped()[name].steps, name))


def load_recipe(recipe: str | Recipe, **changes: object) -> Recipe:
    """A shipped recipe by name (or a Recipe), with settings replaced.

    Raises:
        RecipeError: an unknown name or setting, or a value out of range.
    """
    if isinstance(recipe, str):
        if recipe not in _shipped():
            raise RecipeError(f"unknown recipe {recipe!r}: choose from {', '.join(recipe_names())}")
        recipe = _shipped()[recipe]
    changes = {RENAMED_SETTINGS.get(name, name): value for name, value in changes.items()}
    if not changes:
        return recipe
    try:
        # Through convert, so that replaced values are checked for type as well as for range.
        return msgspec.convert({**msgspec.to_builtins(recipe), **changes}, Recipe)
    except msgspec.ValidationError as problem:
        raise RecipeError(str(problem).replace("Object contains unknown field", "a recipe has no setting")) from None


@cache
def _shipped() -> dict[str, Recipe]:
    return read_recipes("recipes")


def read_recipes(name: str) -> dict[str, Recipe]:
    """The recipes in a folder of the package's data, by name."""
    folder = resources.files("anti_i2v").joinpath("data", name)
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    recipes = [msgspec.toml.decode(file.read_bytes(), type=Recipe) for file in files]
    return {recipe.name: recipe for recipe in recipes}
