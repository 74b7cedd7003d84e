"""What image-to-video models have in common: the photo's latent, a noisy video, a denoiser whose blocks are watched.

A family says how the photo enters, how the video is noised and how the denoiser is called; everything else is here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, TypeAlias

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["PREDICTION", "TARGET", "Backbone", "as_batch", "named_layers"]

PREDICTION, TARGET = "prediction", "target"
"""Hook points of the denoising loss: what the denoiser says, and what its training asks for, shaped alike."""

EARLY, LATE, ALL = "early", "late", "all"

Generate: TypeAlias = Callable[..., Feature]
"""As `video_generation.generate`: the latents of a video of each clean photo."""


class StopForward(Exception):  # no error: how a forward pass ends once its last hook point was seen
    """The last watched block has run."""


class Backbone(Surrogate):
    """An image-to-video model: its autoencoder, its denoiser, the denoiser's blocks as hook points.

    Args:
        autoencoder: diffusers' class, encoding the photo.
        denoiser: diffusers' class.
        info: where it comes from.
        context: what the denoiser is told beside photo and noise, (1, ...) each.
        embed: caption -> context, for `recaption`.
        hooks: hook points whose features are wanted: names of `layers`, "early", "late", or `PREDICTION`. The forward
            pass ends at the last of them: a prediction that nobody asked for costs nothing.
        frames: of the video, in latent frames.
        checkpointing: recompute blocks of denoiser and autoencoder in the backward pass: less memory, more time.
        scheduler: settings of diffusers' scheduler, as the model's folder holds them; generation needs them.

    Attributes:
        layers: the denoiser's blocks, in the order in which they run.
        caption: what the video is to show, as `recaption` was told.
        in_place: the photo's latent is the first frame of the video, (B, C, frames, h, w), and is never noised.
        reference: a clip of the photo's scene, (T, 3, H, W) in [0, 1]; "generated": what `sampling.generate` makes of
            the clean photo; None: the clean photo stands still.
    """

    decodes: ClassVar[bool] = True
    denoises: ClassVar[bool] = True
    block_lists: ClassVar[tuple[str, ...]]
    """Attributes of the denoiser that hold its blocks, in the order in which they run."""
    samplers: ClassVar[tuple[str, ...]]
    """diffusers' schedulers by which videos are generated; the first one where the folder names none of them."""

    in_place: bool = False
    autoencoder: Any  # diffusers ships no type information
    denoiser: Any
    layers: tuple[str, ...]

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        *,
        context: Mapping[str, torch.Tensor] | None = None,
        embed: Callable[[str], Mapping[str, torch.Tensor]] | None = None,
        hooks: Sequence[str] = (),
        frames: int = 4,
        checkpointing: bool = False,
        reference: torch.Tensor | Generate | None = None,
        scheduler: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.reference = reference
        self._scheduler = scheduler
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.info, self.frames, self.context = info, frames, dict(context or {})
        self.caption, self._embed = "", embed
        blocks = named_layers(self.denoiser, self.block_lists)
        self.layers = tuple(blocks)
        self.hooked_layers = self._resolved(hooks)
        self._predicts = PREDICTION in hooks
        self._captured: dict[str, torch.Tensor] = {}
        self._hooks_enabled = True
        if checkpointing:
            # Not by tiles, which end what the encoder sees at their borders: another latent, and another gradient.
            for model in (self.autoencoder, self.denoiser):
                if getattr(model, "_supports_gradient_checkpointing", False):
                    model.enable_gradient_checkpointing()
        last = max((self.layers.index(name) for name in self.hooked_layers), default=-1)
        for index, name in enumerate(self.layers):
            if name in self.hooked_layers:
                blocks[name].register_forward_hook(self._keep(name, stop=index == last and not self._predicts))

    # What a family says -----------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, pixels: Pixels) -> Feature:
        """The photo's latent as the denoiser reads it, (B, C, h, w)."""

    @abstractmethod
    def decode(self, latent: Feature) -> Pixels:
        """Pixels of a photo's latent: see `Surrogate.decode`."""

    @abstractmethod
    def static_video(self, latent: Feature) -> Feature:
        """The video latents of a photo that stands still: the reference where no video is given."""

    @abstractmethod
    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        """The noisy video of the draw's noise and timestep, and what training asks the denoiser to say of it."""

    @abstractmethod
    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        """What the denoiser says, shaped like the target of `diffuse`."""

    def encode_video(self, frames: torch.Tensor) -> Feature:
        """The reference latents of a clip, (T, 3, H, W); too long ones are cut, too short ones stand still at last.

        Raises:
            SurrogateError: this family reads no reference.
        """
        raise SurrogateError(f"{self.info.name} takes no reference video: leave it out")

    @abstractmethod
    def decode_video(self, latents: Feature) -> torch.Tensor:
        """The pixels of a video's latents, (B, T, 3, H, W) in [0, 1]: as many frames as `encode_video` reads."""

    @abstractmethod
    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        """What a draw says where the denoiser is at the scheduler's timestep, (B,)."""

    def photo_conditioning(self, clean: Pixels) -> DenoiserInputs:
        """What the denoiser is told of a clean photo, computed once and constant, beside the reference."""
        return {}

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        """What `denoise` is told of the photo, which no noise level changes: its latent, and what goes to the draw."""
        return self.encode(pixels), inputs

    def sampler(self, steps: int, noise: Feature) -> Any:
        """The scheduler of a video of this size, its timesteps set as the family's pipeline sets them.

        Raises:
            SurrogateError: nothing is known of the scheduler, or this model alone makes no video.
        """
        scheduler = self.scheduler()
        scheduler.set_timesteps(steps)
        return scheduler

    def initial_latents(self, noise: Feature, latent: Feature) -> Feature:
        """Where generation starts, on a scale of 1."""
        return noise

    # What all have in common ------------------------------------------------------------------------------------------

    def recaption(self, caption: str) -> None:
        """What the video is to show, from now on: for photos that are bound afterwards."""
        if self._embed is not None:
            self.context = self._embed(caption)
        self.caption = caption

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        """ "latent", the watched blocks' outputs, and `PREDICTION` and `TARGET` where they are wanted.

        Without a draw: the latent alone, which is what judges compare.
        """
        if inputs is None or not (self.hooked_layers or self._predicts):
            return {"latent": self.encode(pixels)}
        latent, inputs = self.encode_condition(pixels, inputs)
        reference = inputs["reference"] if "reference" in inputs else self.static_video(latent.detach())
        noisy, target = self.add_noise(reference, inputs)
        self._captured.clear()
        found: dict[str, torch.Tensor] = {"latent": latent}
        try:
            prediction = self.denoise(noisy, latent, pixels, inputs)
            found |= {PREDICTION: prediction.to(pixels.dtype), TARGET: target.to(pixels.dtype)}
        except StopForward:
            pass
        captured, self._captured = self._captured, {}
        return found | {
            name: _by_photo(captured[name], pixels.shape[0]).to(pixels.dtype) for name in self.hooked_layers
        }

    def precompute(self, clean: Pixels, *, seed: int = 0, on_step: Callable[[], None] | None = None) -> DenoiserInputs:
        """The reference latents of a clean photo, and what `tell` says of it."""
        conditioning = self.photo_conditioning(clean)
        return {**conditioning, "reference": self._reference_latents(clean, conditioning, seed, on_step)}

    def _reference_latents(
        self, clean: Pixels, conditioning: DenoiserInputs, seed: int, on_step: Callable[[], None] | None
    ) -> Feature:
        if self.reference is None:
            return self.static_video(self.encode(clean))
        if not isinstance(self.reference, torch.Tensor):
            return self.reference(self, clean, seeds=seed, conditioning=conditioning, on_step=on_step)
        frames = torch.nn.functional.interpolate(
            self.reference.to(clean), clean.shape[-2:], mode="bilinear", antialias=True
        )
        return as_batch(self.encode_video(frames), len(clean))

    def scheduler(self) -> Any:
        """Diffusers' scheduler, new. Raises SurrogateError."""
        import diffusers

        if self._scheduler is None:
            raise SurrogateError(f"{self.info.name} has no scheduler, which generating takes: load it from its folder")
        named = self._scheduler.get("_class_name")
        kind: Any = getattr(diffusers, named if named in self.samplers else self.samplers[0])
        return kind.from_config(dict(self._scheduler))

    @contextmanager
    def without_hooks(self) -> Iterator[None]:
        """Within, the denoiser runs to its end and no features are kept."""
        self._hooks_enabled = False
        try:
            yield
        finally:
            self._hooks_enabled = True

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        """The (late, early) blocks that collapse onto each other.

        The paper's rule for every backbone: the last three layers onto layer 3, here counted from 0; in models of
        fewer than seven layers the one before the last three.
        """
        late = self.layers[-min(3, max(1, len(self.layers) - 1)) :]
        early = self.layers[min(3, max(0, len(self.layers) - 4))]
        return tuple((each, early) for each in late)

    def resolve_layers(self, layer: str) -> tuple[str, ...]:
        """The hook points that a name stands for: "late" and "early" are those of `pairs`, "all" is every block.

        Raises:
            SurrogateError: there is no such block.
        """
        if layer == ALL:
            return self.layers
        if layer in (LATE, EARLY):
            return tuple(dict.fromkeys(pair[layer == EARLY] for pair in self.collapse_pairs()))
        if layer in self.layers or layer in ("latent", PREDICTION):
            return (layer,)
        raise SurrogateError(f"{self.info.name} has no layer {layer!r}: choose from {', '.join(self.layers)}")

    def _resolved(self, hooks: Sequence[str]) -> tuple[str, ...]:
        wanted = {name for hook in hooks for name in self.resolve_layers(hook)}
        return tuple(name for name in self.layers if name in wanted)

    def _keep(self, name: str, *, stop: bool) -> Any:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            if not self._hooks_enabled:
                return
            # Blocks with a second stream (text) or skip connections give the video's features first.
            self._captured[name] = output[0] if isinstance(output, tuple) else output
            if stop:
                raise StopForward

        return hook


def _by_photo(feature: torch.Tensor, batch: int) -> torch.Tensor:
    """(B, ...): video U-Nets fold the frames into the batch. By `shape`, not `len`: a graph's batch varies."""
    return feature if feature.shape[0] == batch else feature.reshape(batch, -1, *feature.shape[1:])


def named_layers(denoiser: nn.Module, lists: Sequence[str]) -> dict[str, nn.Module]:
    """The blocks under each list (or single module) of a denoiser: "transformer_blocks.0" -> module, in order."""
    found: dict[str, nn.Module] = {}
    for name in lists:
        blocks = denoiser.get_submodule(name)
        if isinstance(blocks, nn.ModuleList):
            found |= {f"{name}.{index}": block for index, block in enumerate(blocks)}
        else:
            found[name] = blocks
    return found


def as_batch(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """What is the same for every photo, (1, ...), once for each."""
    return tensor.expand(batch, *tensor.shape[1:])
