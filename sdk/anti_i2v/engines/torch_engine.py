"""The torch engine: eager, on a CPU or a GPU. ONNX graphs are verified against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch

from anti_i2v.arrays import PixelArray
from anti_i2v.engines.base import FrozenEncoder, PerceptualDistance
from anti_i2v.engines.device import resolve_device
from anti_i2v.errors import RecipeError
from anti_i2v.metrics.clip import Clip
from anti_i2v.metrics.perceptual import Lpips
from anti_i2v.objectives.binding import BoundLoss, bind_objectives, build_objectives, ensemble
from anti_i2v.objectives.targets import make_target
from anti_i2v.optim.eot import apply_transform
from anti_i2v.optim.perceptual_mask import initial_candidate
from anti_i2v.optim.projection import project
from anti_i2v.optim.space_constants import space_constants
from anti_i2v.optim.spaces import Space, make_space
from anti_i2v.optim.transforms import SampledTransform
from anti_i2v.optim.update_rules import UPDATE_RULES, projected_step, select_better, value_and_gradient
from anti_i2v.paths import LPIPS_WEIGHTS, find_weights
from anti_i2v.recipes import Recipe, for_encoders, hook_points
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.video_generation import STEPS
from anti_i2v.surrogates.base import DenoiserInputs, Surrogate
from anti_i2v.surrogates.captioner import caption_photo, locate_captioner
from anti_i2v.surrogates.catalogue import catalogue, load_surrogate, resolve
from anti_i2v.surrogates.reference_video import GENERATED, read_frames
from anti_i2v.surrogates.video_options import VideoOptions
from anti_i2v.surrogates.windowed import Windowed

__all__ = ["TorchEngine", "TorchFrozenEncoder", "TorchPhotoOptimiser"]

CLIP_FOLDER = "perceptual/clip"

OWN_REFERENCE = (
    f"reference: generated; each video model made its own from the clean photo, in {STEPS} steps without guidance"
)


@final
class TorchFrozenEncoder:
    """A surrogate without gradients, on numpy arrays."""

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate, self.info, self.decodes = surrogate, surrogate.info, surrogate.decodes
        self._device = next(surrogate.parameters()).device

    def encode(self, pixels: PixelArray) -> PixelArray:
        with torch.inference_mode():
            latent: PixelArray = self.surrogate.features(self._tensor(pixels))["latent"].float().cpu().numpy()
        return latent

    def decode(self, latent: PixelArray) -> PixelArray:
        with torch.inference_mode():
            decoded: PixelArray = self.surrogate.decode(self._tensor(latent)).clamp(0, 1).float().cpu().numpy()
        return decoded

    def _tensor(self, array: PixelArray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)


@final
class TorchPhotoOptimiser:
    """A photo with the losses of its surrogates: see `optimise.PhotoOptimiser`.

    Args:
        clean, start: (B, 3, H, W) in [0, 1], float32; the start is projected.
        radius: the budget of each pixel, in units of the [0, 1] range.
        seed: seed of the random inputs of scores and steps.

    Raises:
        RecipeError: a term needs a decoder, or weights that are not installed.
    """

    def __init__(
        self,
        surrogates: Sequence[Surrogate],
        clean: torch.Tensor,
        start: torch.Tensor,
        radius: torch.Tensor,
        recipe: Recipe,
        *,
        lpips: Lpips | None = None,
        clip: Clip | None = None,
        seed: int = 0,
    ) -> None:
        lacking = [surrogate.info.name for surrogate in surrogates if not surrogate.decodes]
        if recipe.terms.decoded and lacking:
            raise RecipeError(f"recipe {recipe.name!r} needs a decoder and {lacking[0]} has none: use recipe balanced")
        batch, channels, height, width = clean.shape
        self.surrogates: Sequence[str] = [model.info.name for model in surrogates]
        self.shape = (batch, channels, height, width)
        self.start = project(start, clean, radius)
        target = torch.from_numpy(make_target(recipe.target, clean.detach().cpu().float().numpy())).to(clean)
        self._clean, self._radius, self._seed = clean, radius, seed
        self._noise_samples, self._noise_levels = recipe.noise_samples, recipe.noise_levels
        self._models = surrogates
        self._objectives = [
            build_objectives(recipe if model.denoises else for_encoders(recipe), lpips, target, clip)
            for model in surrogates
        ]
        self._precomputed: dict[int, DenoiserInputs] = {}
        self._losses: dict[int, BoundLoss] = {}
        self._step_generator = np.random.default_rng([seed, 1])  # `seed` itself is that of the scores
        self._rule = UPDATE_RULES[recipe.algorithm]
        self._spaces = [self._make_space(name, recipe) for name in recipe.spaces]
        self._states = [tuple(torch.zeros_like(clean) for _ in self._rule.state) for _ in self._spaces]

    def _make_space(self, name: str, recipe: Recipe) -> Space:
        constants = space_constants(name, recipe, *self.shape[-2:])
        return make_space(name, {key: torch.from_numpy(value).to(self._clean) for key, value in constants.items()})

    def precompute(self, surrogate: int, check: Callable[[], None]) -> None:
        def on_step() -> None:
            self.synchronize()  # queued work has not taken its time yet
            check()

        with torch.no_grad():
            self._precomputed[surrogate] = self._models[surrogate].precompute(
                self._clean, seed=self._seed, on_step=on_step
            )

    def bind(self, surrogate: int) -> None:
        self._losses[surrogate] = bind_objectives(
            self._objectives[surrogate],
            self._models[surrogate],
            self._clean,
            self._seed,
            self._noise_samples,
            self._precomputed.pop(surrogate, None),
            self._noise_levels,
        )

    def step(
        self,
        candidate: torch.Tensor,
        surrogates: Sequence[int],
        transform: SampledTransform,
        space: int,
        index: int,
        step_size: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss_fn = ensemble([self._losses[each].with_fresh_inputs(self._step_generator) for each in surrogates])
        loss, gradient = value_and_gradient(lambda pixels: loss_fn(apply_transform(transform, pixels)), candidate)
        with torch.no_grad():
            candidate, self._states[space] = projected_step(
                self._rule,
                self._spaces[space],
                candidate,
                self._clean,
                self._radius,
                gradient,
                self._states[space],
                index,
                step_size,
            )
        return candidate, loss

    def score(self, candidate: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return ensemble([self._losses[index] for index in range(len(self.surrogates))])(candidate)

    def keep_better(
        self, best: torch.Tensor, score: torch.Tensor, candidate: torch.Tensor, loss: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return select_better(best, score, candidate, loss)

    def synchronize(self) -> None:
        if self._clean.device.type == "cuda":
            torch.cuda.synchronize(self._clean.device)

    def to_numpy(self, candidate: torch.Tensor) -> PixelArray:
        pixels: PixelArray = candidate.detach().cpu().float().numpy()
        return pixels


@final
class TorchEngine:
    """See `engines.base.Engine`.

    Args:
        names: surrogates to optimise on, by name or folder; a recipe without steps loads none.
        recipe: the recipe to run; None only measures.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        video: options of whole video models.
    """

    name: ClassVar[str] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "kornia")
    no_surrogates_note: ClassVar[str] = (
        "no encoders are installed, so no steps were taken: this is the draft. "
        "Run `anti-i2v surrogates pull` to download them (3 x 5 MB)"
    )

    def __init__(
        self, names: Sequence[str | Path], recipe: Recipe | None, device: str, video: VideoOptions | None = None
    ) -> None:
        self._names = list(names) if recipe is not None and recipe.steps else []
        self._requested_device, self._recipe = device, recipe
        self._video = video or VideoOptions()
        self._needs_lpips = bool(recipe is not None and recipe.terms.auxiliary)

    @cached_property
    def _device(self) -> torch.device:
        return resolve_device(self._requested_device)

    @cached_property
    def _models(self) -> list[Surrogate]:
        video = self._video
        reference: Any = video.reference
        if reference not in (None, GENERATED):
            reference = torch.from_numpy(read_frames(Path(reference), 8 * video.frames))
        recipe = self._recipe
        return [
            entry.load(
                device=self._device,
                hooks=() if recipe is None else hook_points(recipe if entry.is_video_model else for_encoders(recipe)),
                caption=video.caption,
                stage=video.stage,
                frames=video.frames,
                checkpointing=video.low_memory,
                reference=reference,
            )
            for entry in map(resolve, self._names)
        ]

    @cached_property
    def _lpips(self) -> Lpips | None:
        weights = find_weights(LPIPS_WEIGHTS)
        return Lpips.load(weights).to(self._device) if weights else None

    @cached_property
    def _clip(self) -> Clip | None:
        folder = find_weights(CLIP_FOLDER)
        return Clip.load(folder).to(self._device) if folder else None

    @property
    def device(self) -> str:
        return str(self._device)

    @property
    def notes(self) -> tuple[str, ...]:
        generated = self._video.reference == GENERATED and any(isinstance(model, Backbone) for model in self._models)
        return (OWN_REFERENCE,) if generated else ()

    @property
    def surrogates(self) -> list[str]:
        return [str(name) for name in self._names]

    @property
    def multiple(self) -> int:
        return int(np.lcm.reduce([8, *(model.multiple for model in self._models)]))

    @cached_property
    def _captioner(self) -> Path | None:
        """The captioner's folder; only whole video models read captions."""
        return None if self._video.captioner is None else locate_captioner(self._video.captioner)

    def prepare(self) -> None:
        _ = self._device, self._captioner, self._models

    def initial_candidate(
        self, clean: PixelArray, pattern: PixelArray, budget: float, floor: float
    ) -> tuple[PixelArray, PixelArray]:
        with torch.inference_mode():
            start, radius = initial_candidate(self._tensor(clean), self._tensor(pattern), budget, floor)
            return start.cpu().numpy(), radius.cpu().numpy()

    def caption(self, clean: PixelArray) -> str | None:
        backbones = [model for model in self._models if isinstance(model, Backbone)]
        if self._captioner is None or not backbones:
            return None
        photo = np.rint(clean[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        caption = caption_photo(photo, self._captioner)
        for model in backbones:
            model.recaption(caption)
        return caption

    def create_optimiser(
        self, clean: PixelArray, start: PixelArray, radius: PixelArray, recipe: Recipe, seed: int
    ) -> TorchPhotoOptimiser:
        return TorchPhotoOptimiser(
            self._models,
            self._tensor(clean),
            self._tensor(start),
            self._tensor(radius),
            recipe,
            lpips=self._lpips if self._needs_lpips else None,
            clip=self._clip if recipe.terms.clip else None,
            seed=seed,
        )

    def is_available(self, name: str) -> bool:
        entry = catalogue().get(name)
        return entry is not None and not entry.is_video_model and entry.available

    def load_encoder(self, name: str) -> FrozenEncoder:
        return TorchFrozenEncoder(load_surrogate(name, device=self._device))

    def optimised_encoders(self) -> list[FrozenEncoder]:
        # A windowed model sees only a part of the photo; its encoder is among the others.
        return [TorchFrozenEncoder(model) for model in self._models if not isinstance(model, Windowed)]

    def load_lpips(self) -> PerceptualDistance | None:
        lpips = self._lpips
        if lpips is None:
            return None

        def distance(first: PixelArray, second: PixelArray) -> Any:
            with torch.inference_mode():
                return lpips(self._tensor(first), self._tensor(second)).cpu().numpy()

        return distance

    def _tensor(self, array: PixelArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
