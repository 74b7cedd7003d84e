"""Wan I2V: the photo's latents join the noisy video's channels (2.1, 2.2 A14B) or replace its first frame (2.2 5B)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import cached_embedding, tokenized
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.hub import MODEL_INDEX
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["Wan", "context", "levels_of", "load"]

LENGTH = 512
"""Tokens of a caption. The transformer of 2.1 separates text from image tokens by this number."""

IMAGE_ENCODERS = ("CLIPVisionModel", "CLIPVisionModelWithProjection")

STAGES = {"high": "transformer", "low": "transformer_2"}
"""The denoisers of 2.2 A14B: the first for noise levels from `boundary_ratio` up, the second for lower ones."""

ONE_OF_TWO = "{} is one of two denoisers, and a video takes both: give it a clip as reference"


@final
class Wan(Backbone):
    """AutoencoderKLWan and WanTransformer3DModel (Team Wan 2025, arXiv 2503.20314).

    Videos are (B, C, frames, h, w). The training target is noise - video, the velocity of the straight path
    (1 - level) video + level noise (rectified flow). The paper samples levels from a logit-normal distribution without
    giving its parameters. Our choice: uniform over the scheduler's shifted levels, as DiffSynth-Studio fine-tunes these
    models; with two denoisers, only the range of the loaded one.

    The causal autoencoder encodes the photo followed by gray frames. All latent frames of the condition depend on the
    photo, so all are encoded and differentiated in every step; `checkpointing` saves most of that memory. If the photo
    replaces the first frame (5B), a single frame is encoded.

    Args:
        levels: noise levels in (0, 1], one for each timestep.
        replaces_first_frame: whether the photo's latent is the first frame, at timestep 0 (`expand_timesteps`).
        image_encoder: CLIP's vision model of 2.1, whose penultimate layer is used.
        view: settings of its image processor.
        steps: timestep of level 1.
        whole: whether one denoiser covers all noise levels.

    Raises:
        SurrogateError: there are too few frames, or one of two denoisers should generate the reference.
    """

    block_lists: ClassVar[tuple[str, ...]] = ("blocks",)
    samplers: ClassVar[tuple[str, ...]] = ("FlowMatchEulerDiscreteScheduler", "UniPCMultistepScheduler")
    levels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        levels: torch.Tensor,
        *,
        replaces_first_frame: bool = False,
        image_encoder: nn.Module | None = None,
        view: Mapping[str, Any] | None = None,
        steps: int = 1000,
        whole: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        if not whole and callable(self.reference):
            raise SurrogateError(ONE_OF_TWO.format(info.name))
        if replaces_first_frame and self.frames < 2:
            raise SurrogateError(f"{info.name} needs 2 latent frames or more: the first one is the photo itself")
        known, self._settings = self.autoencoder.config, self.denoiser.config
        self.replaces_first_frame, self._view, self._steps, self._whole = replaces_first_frame, view, steps, whole
        self._saves_memory = bool(options.get("checkpointing"))
        self.image_encoder: Any = None if image_encoder is None else image_encoder.eval().requires_grad_(False)
        self._time, self._patch = int(known.scale_factor_temporal), self._settings.patch_size[1]
        self.multiple = int(known.scale_factor_spatial) * self._patch
        side = f"/{known.scale_factor_spatial}"
        self.random_inputs = {
            "timestep": RandomInput(kind="integers", shape=("B",), low=0, high=len(levels)),
            "noise": RandomInput(kind="normal", shape=("B", known.z_dim, self.frames, f"H{side}", f"W{side}")),
        }
        self.register_buffer("levels", levels.float(), persistent=False)
        for name, values in (("mean", known.latents_mean), ("deviation", known.latents_std)):
            self.register_buffer(name, torch.tensor(values).view(1, -1, 1, 1, 1), persistent=False)

    def encode(self, pixels: Pixels) -> Feature:
        return self._latents(self.normalised(pixels).unsqueeze(2))[:, :, 0]

    def decode(self, latent: Feature) -> Pixels:
        from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify

        own = latent.unsqueeze(2) * self.deviation.to(latent.dtype) + self.mean.to(latent.dtype)
        given = self.autoencoder.post_quant_conv(own.to(self.autoencoder.dtype))
        # Its `decode` clamps, which stops gradients. A single frame needs no memory of earlier ones.
        decoded = self.autoencoder.decoder(given, first_chunk=True)
        pixels: Pixels = unpatchify(decoded, self.autoencoder.config.patch_size or 1)  # type: ignore[no-untyped-call]  # diffusers
        return pixels[:, :, 0].to(latent.dtype).add(1).div(2)

    def static_video(self, latent: Feature) -> Feature:
        return latent.unsqueeze(2).expand(-1, -1, self.frames, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        wanted = (self.frames - 1) * self._time + 1
        frames = torch.cat([frames, frames[-1:].expand(max(0, wanted - len(frames)), -1, -1, -1)])[:wanted]
        return self._latents(self.normalised(frames).movedim(0, 1).unsqueeze(0))

    def decode_video(self, latents: Feature) -> torch.Tensor:
        own = latents * self.deviation.to(latents.dtype) + self.mean.to(latents.dtype)
        video: torch.Tensor = self.autoencoder.decode(own.to(self.autoencoder.dtype)).sample
        return video.movedim(2, 1).to(latents.dtype).add(1).div(2).clamp(0, 1)

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        extended = dict(inputs)
        if not self.replaces_first_frame:
            extended["condition"] = self._condition(pixels)
        if self.image_encoder is not None:
            extended["image"] = self._image_tokens(pixels)
        return self.encode(pixels), extended

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"level": timestep / self._steps}

    def sampler(self, steps: int, noise: Feature) -> Any:
        if not self._whole:
            raise SurrogateError(ONE_OF_TWO.format(self.info.name))
        return super().sampler(steps, noise)

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        level = self.levels[inputs["timestep"]].view(-1, 1, 1, 1, 1).to(reference.dtype)
        noise = inputs["noise"].to(reference)
        return (1 - level) * reference + level * noise, (noise - reference)[:, :, int(self.replaces_first_frame) :]

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, len(pixels)
        timestep = (inputs["level"] if "level" in inputs else self.levels[inputs["timestep"]]) * self._steps
        if self.replaces_first_frame:
            given = torch.cat([latent.unsqueeze(2), noisy[:, :, 1:]], 2)
            tokens = noisy.shape[-2] * noisy.shape[-1] // self._patch**2
            known = torch.arange(self.frames * tokens, device=noisy.device) < tokens
            timestep = timestep.unsqueeze(1).masked_fill(known, 0)
        else:
            given = torch.cat([noisy, inputs["condition"]], 1)
        prediction: torch.Tensor = self.denoiser(
            given.to(dtype),
            timestep,
            as_batch(inputs["text"].to(dtype), batch),
            inputs["image"].to(dtype) if "image" in inputs else None,
            return_dict=False,
        )[0]
        return prediction[:, :, int(self.replaces_first_frame) :]

    def _latents(self, video: torch.Tensor) -> torch.Tensor:
        """Encode a video, (B, 3, T, H, W) in [-1, 1], and standardise each channel."""
        given = video.to(self.autoencoder.dtype)
        if self._saves_memory and given.requires_grad:
            latents = self._frame_by_frame(given)
        else:
            latents = self.autoencoder.encode(given).latent_dist.mode()
        return (latents.to(video.dtype) - self.mean.to(video.dtype)) / self.deviation.to(video.dtype)

    def _frame_by_frame(self, video: torch.Tensor) -> torch.Tensor:
        """Encode as `autoencoder.encode` does, but recompute each latent frame in the backward pass.

        Four latent frames of 480x832 in bfloat16 store 31 GiB of activations, and about 12 with this; only the photo
        stores 3.5 (counted on tensors without data).
        """
        from diffusers.models.autoencoders.autoencoder_kl_wan import patchify

        def encode(frames: torch.Tensor, memory: list[Any]) -> tuple[torch.Tensor, list[Any]]:
            memory = list(memory)
            return self.autoencoder.encoder(frames, memory, [0]), memory

        video = patchify(video, self.autoencoder.config.patch_size or 1)  # type: ignore[no-untyped-call]  # diffusers
        memory: list[Any] = [None] * len(list(self.autoencoder.encoder.modules()))  # one slot for each convolution
        moments = []
        for start in range(1 - self._time, video.shape[2], self._time):
            frames = video[:, :, max(0, start) : start + self._time]
            found, memory = checkpoint(encode, frames, memory, use_reentrant=False, preserve_rng_state=False)
            moments.append(found)
        latents: torch.Tensor = self.autoencoder.quant_conv(torch.cat(moments, 2)).chunk(2, 1)[0]
        return latents

    def _condition(self, pixels: Pixels) -> torch.Tensor:
        """Encode the photo and gray frames after it, behind a mask of the known frame: (B, 4 + C, frames, h, w)."""
        photo = self.normalised(pixels).unsqueeze(2)
        gray = photo.new_zeros(()).expand(*photo.shape[:2], (self.frames - 1) * self._time, *photo.shape[3:])
        latents = self._latents(torch.cat([photo, gray], 2))
        mask = latents.new_zeros(len(latents), self._time, *latents.shape[2:])
        mask[:, :, 0] = 1
        return torch.cat([mask, latents], 1)

    def _image_tokens(self, pixels: Pixels) -> torch.Tensor:
        """Embed the photo as CLIP's tokens."""
        given = clip_view(pixels, self._view or {}).to(self.image_encoder.dtype)
        tokens: torch.Tensor = self.image_encoder(given, output_hidden_states=True).hidden_states[-2]
        return tokens


def levels_of(settings: Mapping[str, Any]) -> torch.Tensor:
    """Compute the scheduler's shifted noise levels, one for each training timestep, rising to 1."""
    count = int(settings.get("num_train_timesteps", 1000))
    shift = float(settings.get("flow_shift", settings.get("shift", 1.0)))  # UniPC, or Euler
    even = torch.arange(1, count + 1, dtype=torch.float64) / count
    return shift * even / (1 + (shift - 1) * even)


def load(parts: Parts) -> Wan:
    """Load from a folder.

    It holds transformer/, vae/, scheduler/, text_encoder/ and tokenizer/; that of 2.1 also image_encoder/ and
    image_processor/.

    The folder of A14B holds transformer/ and transformer_2/, of which `stage` selects one: "high" (the default, which
    starts from pure noise and takes the whole scene from the photo) or "low". To use both, name two surrogates.

    Raises:
        SurrogateError: it is a text-to-video model, needs a last frame, or has no such stage.
    """
    if find_spec("accelerate") is None:  # diffusers needs it to keep parts of this transformer in float32
        raise SurrogateError(f'{parts.folder} needs accelerate: pip install "anti-i2v-sdk[backbones]"')
    index, scheduler = settings_of(parts.folder / MODEL_INDEX), parts.scheduler()
    levels, boundary, stage = levels_of(scheduler), index.get("boundary_ratio"), parts.stage or "high"
    if stage not in STAGES:
        raise SurrogateError(f"{parts.folder} has no stage {stage!r}: choose from {', '.join(STAGES)}")
    if boundary is not None:
        levels = levels[(levels >= boundary) == (stage == "high")]
    autoencoder: Any = parts.load("vae", ["AutoencoderKLWan"])
    denoiser: Any = parts.load(STAGES[stage], ["WanTransformer3DModel"])
    replaces_first_frame, settings = bool(index.get("expand_timesteps")), denoiser.config
    concatenated = 2 * autoencoder.config.z_dim + autoencoder.config.scale_factor_temporal
    if settings.in_channels != (autoencoder.config.z_dim if replaces_first_frame else concatenated):
        raise SurrogateError(f"{parts.folder} generates videos from text only: its denoiser takes no photo")
    if settings.pos_embed_seq_len is not None:
        raise SurrogateError(f"{parts.folder} needs a first and a last frame: choose a model that takes one photo")
    has_image_encoder = settings.image_dim is not None
    return Wan(
        autoencoder,
        denoiser,
        parts.info,
        levels,
        replaces_first_frame=replaces_first_frame,
        image_encoder=parts.load("image_encoder", IMAGE_ENCODERS, "transformers") if has_image_encoder else None,
        view=settings_of(parts.folder / "image_processor" / "preprocessor_config.json") if has_image_encoder else None,
        steps=int(scheduler.get("num_train_timesteps", 1000)),
        whole=boundary is None,
        scheduler=scheduler,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with UMT5."""
    return cached_embedding(parts.folder, parts.caption, lambda: {"text": _text(parts)}, kind=f"umt5 {LENGTH}")


def _text(parts: Parts) -> torch.Tensor:
    """Embed the caption with UMT5, (1, 512, D), with zeros after its end."""
    tokens = tokenized(parts.folder / "tokenizer", " ".join(parts.caption.split()), LENGTH)
    encoder: Any = parts.load("text_encoder", ["UMT5EncoderModel"], "transformers")
    mask = tokens["attention_mask"].to(parts.device)
    embedding: torch.Tensor = encoder(tokens["input_ids"].to(parts.device), mask)[0]
    return embedding * mask.unsqueeze(-1)
