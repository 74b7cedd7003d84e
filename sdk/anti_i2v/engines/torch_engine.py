"""The torch engine: eager, on a CPU or a GPU; the reference that ONNX graphs are verified against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch

from anti_i2v.arrays import PixelArray
from anti_i2v.engines.base import FrozenEncoder, Perceptual
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
from anti_i2v.optim.spaces import make_space
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

__all__ = ["LPIPS_WEIGHTS", "TorchEngine", "TorchFrozenEncoder", "TorchPhoto"]

CLIP_FOLDER = "perceptual/clip"

OWN_REFERENCE = (
    f"reference: generated; each video model made its own from the clean photo, in {STEPS} steps without guidance"
)


@final
class TorchFrozenEncoder:
    """A surrogate, forward only, between numpy arrays."""

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
class TorchPhoto:
    """A photo with its surrogates' losses bound: see `refine.OpenPhoto`."""

    def __init__(
        self,
        surrogates: Sequence[Surrogate],
        clean: torch.Tensor,
        start: torch.Tensor,
        radius: torch.Tensor,
        recipe: Recipe,
        *,
        target: torch.Tensor | None = None,
        lpips: Lpips | None = None,
        clip: Clip | None = None,
        seed: int = 0,
    ) -> None:
        blind = [surrogate.info.name for surrogate in surrogates if not surrogate.decodes]
        if recipe.terms.decoded and blind:
            raise RecipeError(f"recipe {recipe.name!r} looks through decoders and {blind[0]} has none: choose balanced")
        batch, channels, height, width = clean.shape
        self.surrogates: Sequence[str] = [model.info.name for model in surrogates]
        self.shape = (batch, channels, height, width)
        self.start = project(start, clean, radius)
        if target is None:
            target = torch.from_numpy(make_target(recipe.target, clean.detach().cpu().float().numpy())).to(clean)
        self._clean, self._radius, self._seed = clean, radius, seed
        self._draws, self._noise_levels = recipe.noise_samples, recipe.noise_levels
        self._models = surrogates
        self._objectives = [
            build_objectives(recipe if model.denoises else for_encoders(recipe), lpips, target, clip)
            for model in surrogates
        ]
        self._settled: dict[int, DenoiserInputs] = {}
        self._losses: dict[int, BoundLoss] = {}
        self._fresh = np.random.default_rng([seed, 1])  # draws of the steps; `seed` itself draws for comparisons
        self._rule = UPDATE_RULES[recipe.algorithm]
        self._spaces = [
            make_space(
                name,
                {
                    key: torch.from_numpy(value).to(clean)
                    for key, value in space_constants(name, recipe, height, width).items()
                },
            )
            for name in recipe.spaces
        ]
        self._memories = [tuple(torch.zeros_like(clean) for _ in self._rule.memory) for _ in self._spaces]

    def precompute(self, index: int, watch: Callable[[], None]) -> None:
        def on_step() -> None:
            self.synchronize()  # what is only queued has taken no time yet
            watch()

        with torch.no_grad():
            self._settled[index] = self._models[index].precompute(self._clean, seed=self._seed, on_step=on_step)

    def bind(self, index: int) -> None:
        settled = self._settled.pop(index, None)
        self._losses[index] = bind_objectives(
            self._objectives[index],
            self._models[index],
            self._clean,
            self._seed,
            self._draws,
            settled,
            self._noise_levels,
        )

    def step(
        self,
        candidate: torch.Tensor,
        on: Sequence[int],
        change: SampledTransform,
        space: int,
        moved: int,
        length: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss_fn = ensemble([self._losses[index].with_fresh_inputs(self._fresh) for index in on])
        loss, gradient = value_and_gradient(lambda pixels: loss_fn(apply_transform(change, pixels)), candidate)
        with torch.no_grad():
            following, self._memories[space] = projected_step(
                self._rule,
                self._spaces[space],
                candidate,
                self._clean,
                self._radius,
                gradient,
                self._memories[space],
                moved,
                length,
            )
        return following, loss

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
        names: surrogates to optimise on, by name or folder; none are loaded for a recipe without steps.
        recipe: what hook points its anchor needs.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        video: for whole video models.
    """

    name: ClassVar[str] = "torch"
    libraries: ClassVar[tuple[str, ...]] = ("torch", "kornia")
    no_surrogates: ClassVar[str] = (
        "no real encoders on this machine, so nothing was refined: this is the draft. "
        "`anti-i2v surrogates pull` fetches them (3 x 5 MB)"
    )

    def __init__(
        self, names: Sequence[str | Path], recipe: Recipe | None, device: str, video: VideoOptions | None = None
    ) -> None:
        self._names = list(names) if recipe is not None and recipe.steps else []
        self._asked, self._recipe = device, recipe
        self._video = video or VideoOptions()
        self._needs_lpips = bool(recipe is not None and recipe.terms.auxiliary)

    @cached_property
    def _device(self) -> torch.device:
        return resolve_device(self._asked)

    @cached_property
    def _models(self) -> list[Surrogate]:
        told = self._video
        reference: Any = told.reference
        if reference not in (None, GENERATED):
            reference = torch.from_numpy(read_frames(Path(reference), 8 * told.frames))
        recipe = self._recipe
        return [
            entry.load(
                device=self._device,
                hooks=() if recipe is None else hook_points(recipe if entry.is_video_model else for_encoders(recipe)),
                caption=told.caption,
                stage=told.stage,
                frames=told.frames,
                checkpointing=told.low_memory,
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
        tells = self._video.reference == GENERATED and any(isinstance(model, Backbone) for model in self._models)
        return (OWN_REFERENCE,) if tells else ()

    @property
    def surrogates(self) -> list[str]:
        return [str(name) for name in self._names]

    @property
    def multiple(self) -> int:
        return int(np.lcm.reduce([8, *(model.multiple for model in self._models)]))

    @cached_property
    def _captioner(self) -> Path | None:
        """For the photos of whole video models; encoders alone read no caption."""
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
        told = [model for model in self._models if isinstance(model, Backbone)]
        if self._captioner is None or not told:
            return None
        photo = np.rint(clean[0].transpose(1, 2, 0) * 255).astype(np.uint8)
        made = caption_photo(photo, self._captioner)
        for model in told:
            model.recaption(made)
        return made

    def open_photo(
        self,
        clean: PixelArray,
        start: PixelArray,
        radius: PixelArray,
        recipe: Recipe,
        target: PixelArray | None,
        seed: int,
    ) -> TorchPhoto:
        return TorchPhoto(
            self._models,
            self._tensor(clean),
            self._tensor(start),
            self._tensor(radius),
            recipe,
            target=None if target is None else self._tensor(target),
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
        # What looks through a window says nothing of a whole photo; its encoder is among the others.
        return [TorchFrozenEncoder(model) for model in self._models if not isinstance(model, Windowed)]

    def load_lpips(self) -> Perceptual | None:
        lpips = self._lpips
        if lpips is None:
            return None

        def distance(first: PixelArray, second: PixelArray) -> Any:
            with torch.inference_mode():
                return lpips(self._tensor(first), self._tensor(second)).cpu().numpy()

        return distance

    def _tensor(self, array: PixelArray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
