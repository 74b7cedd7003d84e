"""What is minimised: functions of a surrogate's features, one number a photo.

An objective is bound once to a clean photo (constant work stays out of the loop) and then called on the features
of each candidate. Every term is dimensionless, so that surrogates of different latent scales can be added.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import torch

from anti_i2v._types import PerImage, Pixels
from anti_i2v.errors import RecipeError
from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.latents import mean_square, relative_shift, squared_shift
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.recipes import Recipe, terms_of
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.base import Draw, Features, Surrogate
from anti_i2v.surrogates.info import ALL_LEVELS, draw_all

__all__ = [
    "Anchor",
    "Auxiliary",
    "BoundLoss",
    "Collapse",
    "DecodedDamage",
    "Denoising",
    "Displacement",
    "Distillation",
    "Norm",
    "Objective",
    "Semantics",
    "bind",
    "ensemble",
    "objectives_of",
    "relative_shift",
    "weigh",
]

LossFn = Callable[[Pixels], PerImage]
Bound = Mapping[str, torch.Tensor]

SHIFT_FLOOR = 1e-3
"""Keeps the logarithms finite at the clean photo."""


class Objective(ABC):
    """Binds to clean photos, then judges features."""

    @abstractmethod
    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        """Everything that does not change while candidates do."""

    @abstractmethod
    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        """The loss of each photo; lower is better for the protector."""


@final
class Displacement(Objective):
    """Untargeted displacement of a feature (PhotoGuard's encoder attack, untargeted): minus the log relative shift.

    The logarithm gives surrogates that hardly budge the same say as those that budge easily. The gradient is zero at
    the clean photo itself: start from a draft or a random perturbation.
    """

    def __init__(self, layer: str = "latent") -> None:
        self.layer = layer

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"clean": surrogate.features(clean, draw)[self.layer]}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        ratio = squared_shift(features[self.layer], bound["clean"])
        return -0.5 * torch.log(ratio + SHIFT_FLOOR)


@final
class Anchor(Objective):
    """Internal representation anchor on encoder layers (Anti-I2V's IRA): the features of an unrelated target attract.

    Each layer's squared distance to the target is divided by the clean photo's own: 1 at the clean photo, 0 at the
    target.

    Args:
        target: the unrelated photo, (1, 3, h, w) in [0, 1]; it is scaled to the photo's size.
        layers: hook points; the loss is their mean.
    """

    def __init__(self, target: Pixels, layers: Sequence[str] = ("latent",)) -> None:
        if not layers:
            raise RecipeError("an anchor needs at least one layer")
        self.target, self.layers = target, tuple(layers)

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        target = self.target.to(clean)
        if target.shape[-2:] != clean.shape[-2:]:
            target = torch.nn.functional.interpolate(target, clean.shape[-2:], mode="bilinear", antialias=True)
        target = target.expand_as(clean)
        targets, cleans = surrogate.features(target, draw), surrogate.features(clean, draw)
        layers = self._layers_of(surrogate)
        bound = {f"target.{layer}": targets[layer] for layer in layers}
        return bound | {f"scale.{layer}": mean_square(cleans[layer] - targets[layer]) for layer in layers}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        terms = [
            mean_square(features[layer] - bound[f"target.{layer}"]) / bound[f"scale.{layer}"].clamp_min(1e-12)
            for layer in self._layers_of(surrogate)
        ]
        return torch.stack(terms).mean(0)

    def _layers_of(self, surrogate: Surrogate) -> list[str]:
        return [name for layer in self.layers for name in surrogate.resolve(layer)]


@final
class Norm(Objective):
    """The latent's norm, minimised (DCT-Shield's loss; PhotoGuard's published code), beside the clean photo's own.

    1 at the clean photo, 0 where the latent says nothing.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"scale": mean_square(surrogate.features(clean, draw)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        norm: PerImage = mean_square(features["latent"]) / bound["scale"].clamp_min(1e-12)
        return norm


@final
class Collapse(Objective):
    """Internal representation collapse (Anti-I2V's IRC): late features of the denoiser fall back onto early ones.

    Each pair's squared distance is divided by the clean photo's own: 1 at the clean photo, 0 where the late block says
    what the early one said. Where widths or sizes differ (U-Nets), both are pooled to the smaller of each.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        features = surrogate.features(clean, draw)
        return {f"scale.{late}": _apart(features, late, early) for late, early in _pairs(surrogate)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        terms = [
            _apart(features, late, early) / bound[f"scale.{late}"].clamp_min(1e-12) for late, early in _pairs(surrogate)
        ]
        return torch.stack(terms).mean(0)


@final
class Denoising(Objective):
    """The denoiser's own training loss with the photo as condition, maximised (Anti-I2V's DM; AdvDM, Liang 2023).

    Minus the log of the error's root mean square beside the clean photo's, with the same noise and timestep: 0 at the
    clean photo.
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"scale": _misprediction(surrogate, surrogate.features(clean, draw))}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        return -0.5 * torch.log(_misprediction(surrogate, features) / bound["scale"].clamp_min(1e-12) + SHIFT_FLOOR**2)


@final
class Distillation(Objective):
    """Score distillation on the photo's latent (Xue et al., ICLR 2024, arXiv 2311.12832): the denoiser's error is
    pushed down without the denoiser's Jacobian.

    There an image model denoises the photo's own latent. Here the photo is a condition, which the gradient would reach
    through that very Jacobian alone. So what is noised is the photo's latent as a video that stands still, whatever the
    reference; the photo is the condition as well, without a gradient. With z(t) that noisy video, the gradient is
    (prediction - target) dz(t)/dlatent, as if the prediction were constant: no backward pass through the denoiser.
    Whether a denoiser predicts noise or velocity scales the bracket by a positive number that depends on the noise
    level alone, which the signs of one draw do not see.

    The value is the squared error itself, beside the clean photo's: 1 at the clean photo. A positive weight descends,
    the paper's SDS(-), which it recommends and which blurs; a negative one ascends, its SDS(+).
    """

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        _denoiser_of(surrogate)
        given = {f"draw.{name}": value for name, value in (draw or {}).items() if name != "reference"}
        _, error = _distilled(surrogate, surrogate.features(clean)["latent"], clean, given)
        return given | {"scale": mean_square(error)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        scale = bound["scale"].clamp_min(1e-12)
        noisy, error = _distilled(surrogate, features["latent"], features["pixels"], bound)
        pull = (error * noisy).flatten(1).mean(1) / scale
        value: PerImage = mean_square(error) / scale
        return value + pull - pull.detach()


def _denoiser_of(surrogate: Surrogate) -> Backbone:
    if not isinstance(surrogate, Backbone):
        raise RecipeError(f"{surrogate.info.name} has no denoiser to distil: choose a recipe for encoders")
    return surrogate


def _distilled(
    surrogate: Surrogate, latent: torch.Tensor, pixels: Pixels, bound: Bound
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noisy still video of a latent, with its gradient, and the denoiser's error about it, without."""
    backbone = _denoiser_of(surrogate)
    draw = {name.removeprefix("draw."): value for name, value in bound.items() if name.startswith("draw.")}
    noisy, target = backbone.diffuse(backbone.still(latent), draw)
    with torch.no_grad(), backbone.unwatched():
        condition, told = backbone.condition(pixels.detach(), draw)
        error = backbone.denoise(noisy.detach(), condition, pixels.detach(), told).to(latent.dtype) - target.detach()
    # A first frame that is the photo itself, which no noise reaches, has no error.
    return noisy[:, :, 1:] if backbone.in_place else noisy, error


def _pairs(surrogate: Surrogate) -> tuple[tuple[str, str], ...]:
    pairs = surrogate.pairs()
    if not pairs:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to collapse: choose a recipe for encoders")
    return pairs


def _apart(features: Features, late: str, early: str) -> PerImage:
    one, other = features[late], features[early]
    if one.shape != other.shape:
        sides = [min(pair) for pair in zip(one.shape[1:], other.shape[1:], strict=True)]
        one, other = _pooled(one, sides), _pooled(other, sides)
    apart: PerImage = mean_square(one - other)
    return apart


def _pooled(feature: torch.Tensor, sides: Sequence[int]) -> torch.Tensor:
    """The means over equal parts, on every axis but the photos'."""
    for axis, side in enumerate(sides, start=1):
        if feature.shape[axis] != side:
            moved = feature.movedim(axis, -1)
            flat = torch.nn.functional.adaptive_avg_pool1d(moved.flatten(1, -2), side)
            feature = flat.reshape(*moved.shape[:-1], side).movedim(-1, axis)
    return feature


def _misprediction(surrogate: Surrogate, features: Features) -> PerImage:
    if "prediction" not in features:
        raise RecipeError(f"{surrogate.info.name} has no denoiser to mislead: choose a recipe for encoders")
    error: PerImage = mean_square(features["prediction"] - features["target"])
    return error


@final
class DecodedDamage(Objective):
    """What the surrogate's own decoder loses: minus the log error of the decoded photo, and minus its LPIPS.

    Twice the cost of a displacement, and nearer to what a person sees. Needs a surrogate that decodes.

    Args:
        lpips: adds the perceptual term where weights are at hand.
        lpips_weight: how much one LPIPS unit counts beside a factor of e in the error.
    """

    def __init__(self, lpips: Lpips | None = None, lpips_weight: float = 4.0) -> None:
        self.lpips, self.lpips_weight = lpips, lpips_weight

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"decoded": surrogate.decode(surrogate.features(clean, draw)["latent"])}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        decoded, expected = surrogate.decode(features["latent"]), bound["decoded"]
        loss = -0.5 * torch.log(mean_square(decoded - expected) + SHIFT_FLOOR**2)
        if self.lpips is None:
            return loss
        seen: PerImage = self.lpips(decoded, expected)
        return loss - self.lpips_weight * seen


@final
class Auxiliary(Objective):
    """The auxiliary term: minus LPIPS between the candidate itself and the clean photo (method: L_aux).

    It does not look at the surrogate; add it with a small weight beside an objective that does.
    """

    def __init__(self, lpips: Lpips) -> None:
        self.lpips = lpips

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"clean": clean}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        seen: PerImage = self.lpips(features["pixels"], bound["clean"])
        return -seen


@final
class Semantics(Objective):
    """The auxiliary term on CLIP (method: L_aux): minus one, plus the cosine of the candidate's embedding to the clean
    photo's. Like `Auxiliary` it does not look at the surrogate.
    """

    def __init__(self, clip: Clip) -> None:
        self.clip = clip

    def bind(self, surrogate: Surrogate, clean: Pixels, draw: Draw | None = None) -> Bound:
        return {"clean": self.clip(clean)}

    def __call__(self, surrogate: Surrogate, features: Features, bound: Bound) -> PerImage:
        likeness: PerImage = torch.nn.functional.cosine_similarity(self.clip(features["pixels"]), bound["clean"])
        return likeness - 1


def weigh(
    objectives: Sequence[Objective],
    surrogate: Surrogate,
    pixels: Pixels,
    weights: Sequence[Any],
    bounds: Sequence[Bound],
    draw: Draw,
) -> PerImage:
    """The weighted sum of objectives on one surrogate: what the torch engine runs and ONNX graphs are traced from."""
    features = {**surrogate.features(pixels, draw), "pixels": pixels}
    terms = [
        weight * objective(surrogate, features, bound)
        for weight, objective, bound in zip(weights, objectives, bounds, strict=True)
    ]
    return torch.stack(terms).sum(0)


@final
class BoundLoss:
    """The weighted sum of objectives on one surrogate, as a `loss_fn`; what is constant was computed once.

    A surrogate that draws (a denoiser: timestep, noise) is judged with one fixed draw here, so that candidates can be
    compared, and with others by `with_fresh_draws`: `draws` of them, each bound once when it first comes (0: new ones
    for ever, each bound when it comes, which costs the clean photo's forward pass in every step).
    """

    def __init__(
        self,
        objectives: Mapping[Objective, float],
        surrogate: Surrogate,
        clean: Pixels,
        seed: int,
        draws: int = 0,
        settled: Draw | None = None,
        noise_levels: tuple[float, float] = ALL_LEVELS,
    ) -> None:
        self._noise_levels = noise_levels
        self._objectives, self._surrogate, self._clean = objectives, surrogate, clean
        if settled is None:
            with torch.no_grad():
                settled = surrogate.settle(clean, seed=seed)
        self._settled = settled
        self._fixed = self._draw(np.random.default_rng(seed))
        self._bounds = self._bind(self._fixed)
        self._kept: list[tuple[Draw, list[Bound]] | None] = [None] * draws

    def _draw(self, generator: np.random.Generator) -> dict[str, torch.Tensor]:
        shape = tuple(self._clean.shape)
        drawn = draw_all(self._surrogate.draws, shape, generator, self._noise_levels)
        tensors = {name: torch.from_numpy(value).to(self._clean.device) for name, value in drawn.items()}
        return {**self._surrogate.context, **self._settled, **tensors}

    def _bind(self, draw: Draw) -> list[Bound]:
        with torch.no_grad():
            return [objective.bind(self._surrogate, self._clean, draw) for objective in self._objectives]

    def _loss(self, pixels: Pixels, draw: Draw, bounds: Sequence[Bound]) -> PerImage:
        weights = list(self._objectives.values())
        return weigh(list(self._objectives), self._surrogate, pixels, weights, bounds, draw)

    def __call__(self, pixels: Pixels) -> PerImage:
        return self._loss(pixels, self._fixed, self._bounds)

    def with_fresh_draws(self, generator: np.random.Generator) -> LossFn:
        """A `loss_fn` whose surrogate draws another time at each call; this very loss where it draws nothing."""
        if not self._surrogate.draws:
            return self

        def loss_fn(pixels: Pixels) -> PerImage:
            if not self._kept:
                draw = self._draw(generator)
                return self._loss(pixels, draw, self._bind(draw))
            index = int(generator.integers(len(self._kept)))
            kept = self._kept[index]
            if kept is None:
                draw = self._draw(generator)
                kept = self._kept[index] = (draw, self._bind(draw))
            return self._loss(pixels, *kept)

        return loss_fn


def bind(
    objectives: Mapping[Objective, float],
    surrogate: Surrogate,
    clean: Pixels,
    seed: int = 0,
    draws: int = 0,
    settled: Draw | None = None,
    noise_levels: tuple[float, float] = ALL_LEVELS,
) -> BoundLoss:
    """Bind weighted objectives to one surrogate and clean photos, (B, 3, H, W).

    Args:
        draws: see `BoundLoss`.
        settled: what the surrogate `settle`d for these photos, where that was done already.
        noise_levels: see `draw_all`.
    """
    return BoundLoss(objectives, surrogate, clean, seed, draws, settled, noise_levels)


def objectives_of(
    recipe: Recipe, lpips: Lpips | None, target: Pixels, clip: Clip | None = None
) -> dict[Objective, float]:
    """The recipe's objectives with their weights, in the order of `recipes.terms_of`.

    Args:
        target: the unrelated photo of the anchor term.

    Raises:
        RecipeError: the auxiliary term without LPIPS weights, or the clip term without CLIP's.
    """
    if recipe.terms.clip and clip is None:
        raise RecipeError(
            "the clip term needs a CLIP image encoder: put its folder in the hub's layout at perceptual/clip into "
            "ANTI_I2V_HOME, and pip install transformers"
        )
    if recipe.terms.auxiliary and lpips is None:
        raise RecipeError(
            "the auxiliary term needs LPIPS weights: put perceptual/lpips_alex.safetensors into ANTI_I2V_HOME"
        )
    made: dict[str, Callable[[], Objective]] = {
        "displacement": Displacement,
        "anchor": lambda: Anchor(target, recipe.anchor_layers),
        "decoded": DecodedDamage,
        "collapse": Collapse,
        "denoising": Denoising,
        "clip": lambda: Semantics(clip),  # type: ignore[arg-type]  # checked above
        "auxiliary": lambda: Auxiliary(lpips),  # type: ignore[arg-type]  # checked above
        "norm": Norm,
        "distillation": Distillation,
    }
    return {made[term](): weight for term, weight in terms_of(recipe).items()}


def ensemble(loss_fns: Sequence[LossFn]) -> LossFn:
    """The mean of several loss functions: one a surrogate."""
    if not loss_fns:
        raise RecipeError("an ensemble needs at least one surrogate")

    def averaged(pixels: Pixels) -> PerImage:
        return torch.stack([loss_fn(pixels) for loss_fn in loss_fns]).mean(0)

    return averaged
