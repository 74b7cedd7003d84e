"""The base of all image-to-video models: encode the photo, noise a video, run the denoiser, capture its blocks.

A family module defines how the photo enters, how the video is noised and how the denoiser is called.
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
"""Hook points of the denoising loss: the denoiser's prediction and its training target, of the same shape."""

EARLY, LATE, ALL = "early", "late", "all"

Generate: TypeAlias = Callable[..., Feature]
"""The signature of `video_generation.generate`."""


class StopForward(Exception):  # ends a forward pass early, which is not an error
    """The last hooked block has run."""


class Backbone(Surrogate):
    """An image-to-video model: its autoencoder, its denoiser, the denoiser's blocks as hook points.

    Args:
        autoencoder: diffusers' class, which encodes the photo.
        denoiser: diffusers' class.
        info: its name, source, fingerprint and licence.
        context: the denoiser's inputs that are the same for every photo, (1, ...) each.
        embed: caption -> context, for `recaption`.
        hooks: hook points whose features are wanted: names of `layers`, "early", "late", or `PREDICTION`. The forward
            pass stops at the last of them, so an unneeded prediction costs nothing.
        frames: latent frames of the video.
        checkpointing: recompute blocks of denoiser and autoencoder in the backward pass: less memory, more time.
        scheduler: settings of diffusers' scheduler from the model's folder, which generation needs.

    Attributes:
        layers: the denoiser's blocks, in the order in which they run.
        caption: description of the video, as last given to `recaption`.
        replaces_first_frame: whether the photo's latent is the first frame of the video, (B, C, frames, h, w), which is
            then never noised.
        reference: a clip of the photo's scene, (T, 3, H, W) in [0, 1]; or a function that generates one
            (`video_generation.generate`); None: the clean photo stands still.
    """

    decodes: ClassVar[bool] = True
    denoises: ClassVar[bool] = True
    block_lists: ClassVar[tuple[str, ...]]
    """Attributes of the denoiser that hold its blocks, in the order in which they run."""
    samplers: ClassVar[tuple[str, ...]]
    """diffusers' schedulers that can generate its videos; the first is the default."""

    replaces_first_frame: bool = False
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
            # Tiling is not used: it cuts the encoder's view at tile borders, which changes latent and gradient.
            for model in (self.autoencoder, self.denoiser):
                if getattr(model, "_supports_gradient_checkpointing", False):
                    model.enable_gradient_checkpointing()
        last = max((self.layers.index(name) for name in self.hooked_layers), default=-1)
        for index, name in enumerate(self.layers):
            if name in self.hooked_layers:
                blocks[name].register_forward_hook(self._keep(name, stop=index == last and not self._predicts))

    # Defined by each family -------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, pixels: Pixels) -> Feature:
        """Encode photos to the latent that the denoiser reads, (B, C, h, w)."""

    @abstractmethod
    def decode(self, latent: Feature) -> Pixels:
        """Decode a photo's latent: see `Surrogate.decode`."""

    @abstractmethod
    def static_video(self, latent: Feature) -> Feature:
        """Repeat a photo's latent over time: the default reference, a video in which nothing moves."""

    @abstractmethod
    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        """Noise a reference with the inputs' noise and timestep; return the noisy video and the training target."""

    @abstractmethod
    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        """Run the denoiser; the prediction has the shape of the target of `add_noise`."""

    def encode_video(self, frames: torch.Tensor) -> Feature:
        """Encode a clip, (T, 3, H, W), to reference latents; a short one repeats its last frame, a long one is cut.

        Raises:
            SurrogateError: this family takes no reference.
        """
        raise SurrogateError(f"{self.info.name} takes no reference video: leave it out")

    @abstractmethod
    def decode_video(self, latents: Feature) -> torch.Tensor:
        """Decode a video's latents to (B, T, 3, H, W) in [0, 1], with as many frames as `encode_video` reads."""

    @abstractmethod
    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        """Convert the scheduler's timestep, (B,), to the denoiser's inputs."""

    def photo_conditioning(self, clean: Pixels) -> DenoiserInputs:
        """Compute the denoiser's inputs that depend on the clean photo only, beside the reference."""
        return {}

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        """Encode what `denoise` reads of the photo at every noise level: its latent, and the extended inputs."""
        return self.encode(pixels), inputs

    def sampler(self, steps: int, noise: Feature) -> Any:
        """Create the scheduler for a video of this size, with timesteps as in the family's pipeline.

        Raises:
            SurrogateError: the scheduler is unknown, or this model cannot generate a video without another.
        """
        scheduler = self.scheduler()
        scheduler.set_timesteps(steps)
        return scheduler

    def initial_latents(self, noise: Feature, latent: Feature) -> Feature:
        """Return the latents from which generation starts, at unit scale."""
        return noise

    # Common to all ----------------------------------------------------------------------------------------------------

    def recaption(self, caption: str) -> None:
        """Set the caption for photos that are bound afterwards."""
        if self._embed is not None:
            self.context = self._embed(caption)
        self.caption = caption

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        """Compute "latent", the hooked blocks' outputs, and `PREDICTION` and `TARGET` if they are hooked.

        Without inputs the denoiser does not run, and only the latent is returned.
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
        """Compute the reference latents of clean photos, and their `photo_conditioning`."""
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
        """Create diffusers' scheduler. Raises SurrogateError if its settings are unknown."""
        import diffusers

        if self._scheduler is None:
            raise SurrogateError(f"{self.info.name} has no scheduler, which generating takes: load it from its folder")
        named = self._scheduler.get("_class_name")
        kind: Any = getattr(diffusers, named if named in self.samplers else self.samplers[0])
        return kind.from_config(dict(self._scheduler))

    @contextmanager
    def without_hooks(self) -> Iterator[None]:
        """Let the denoiser run to its end and capture no features, within a `with` block."""
        self._hooks_enabled = False
        try:
            yield
        finally:
            self._hooks_enabled = True

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        """List the (late, early) blocks that the collapse term pulls together.

        The paper's rule for every backbone: the last three layers onto layer 3, here counted from 0. In models of
        fewer than seven layers, the one before the last three takes the place of layer 3.
        """
        late = self.layers[-min(3, max(1, len(self.layers) - 1)) :]
        early = self.layers[min(3, max(0, len(self.layers) - 4))]
        return tuple((each, early) for each in late)

    def resolve_layers(self, layer: str) -> tuple[str, ...]:
        """List the hook points of a name: "late" and "early" are those of `collapse_pairs`, "all" is every block.

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
            # Blocks with a text stream or skip connections return the video's features first.
            self._captured[name] = output[0] if isinstance(output, tuple) else output
            if stop:
                raise StopForward

        return hook


def _by_photo(feature: torch.Tensor, batch: int) -> torch.Tensor:
    """Separate the frames, which video U-Nets fold into the batch, from it: (B, ...)."""
    # By `shape`, not `len`: the batch of a traced graph varies.
    return feature if feature.shape[0] == batch else feature.reshape(batch, -1, *feature.shape[1:])


def named_layers(denoiser: nn.Module, lists: Sequence[str]) -> dict[str, nn.Module]:
    """Name the blocks under each list (or single module) of a denoiser: "transformer_blocks.0" -> module, in order."""
    found: dict[str, nn.Module] = {}
    for name in lists:
        blocks = denoiser.get_submodule(name)
        if isinstance(blocks, nn.ModuleList):
            found |= {f"{name}.{index}": block for index, block in enumerate(blocks)}
        else:
            found[name] = blocks
    return found


def as_batch(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Expand what is the same for every photo, (1, ...), to the batch."""
    return tensor.expand(batch, *tensor.shape[1:])
