"""LTX-Video I2V: the photo's latent is the video's first frame, at timestep 0; each token has its own timestep."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import cached_embedding, tokenized
from anti_i2v.surrogates.backbones.parts import Parts
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["LTXVideo", "context", "load"]

LENGTH = 128
"""Tokens of a caption."""

FRAME_RATE = 25
"""Frames a second, the pipeline's default; it scales positions in time."""

SHIFT = ((1024, 0.95), (4096, 2.05))
"""Two points (tokens, shift) of a line: training uses more noise for longer videos."""


@final
class LTXVideo(Backbone):
    """AutoencoderKLLTXVideo and LTXVideoTransformer3DModel (HaCohen et al. 2024, arXiv 2501.00103).

    Videos are (B, C, frames, h, w), and (B, frames h w, C) for the denoiser. The training target is noise - video, the
    velocity of the straight path (1 - level) video + level noise (rectified flow). Noise levels follow Lightricks'
    LTX-Video-Trainer (ShiftedLogitNormalTimestepSampler): logit-normal, with a shift that grows with the number of
    tokens. Its loss excludes the first frame, which is given, and so does this one.
    """

    block_lists: ClassVar[tuple[str, ...]] = ("transformer_blocks",)
    samplers: ClassVar[tuple[str, ...]] = ("FlowMatchEulerDiscreteScheduler",)

    replaces_first_frame = True

    def __init__(self, autoencoder: nn.Module, denoiser: nn.Module, info: SurrogateInfo, **options: Any) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        if self.frames < 2:
            raise SurrogateError(f"{info.name} needs 2 latent frames or more: the first one is the photo itself")
        self._space = int(self.autoencoder.spatial_compression_ratio)
        self._time = int(self.autoencoder.temporal_compression_ratio)
        self.multiple = self._space
        side = f"/{self._space}"
        shape = ("B", self.autoencoder.config.latent_channels, self.frames, f"H{side}", f"W{side}")
        self.random_inputs = {
            "timestep": RandomInput(kind="normal", shape=("B",)),  # logit of the noise level, before the shift
            "noise": RandomInput(kind="normal", shape=shape),
        }
        for block in self.autoencoder.decoder.modules():
            if hasattr(block, "per_channel_scale1"):  # the decoder injects noise, so decoding would be random
                block.per_channel_scale1 = block.per_channel_scale2 = None

    def encode(self, pixels: Pixels) -> Feature:
        return self._latents(self.normalised(pixels).unsqueeze(2))[:, :, 0]

    def decode(self, latent: Feature) -> Pixels:
        mean, deviation = self._statistics(latent)
        given = (latent.unsqueeze(2) * deviation + mean).to(self.autoencoder.dtype)
        timestep = given.new_zeros(len(given)) if self.autoencoder.config.timestep_conditioning else None
        pixels: Pixels = self.autoencoder.decode(given, timestep).sample[:, :, 0].to(latent.dtype).add(1).div(2)
        return pixels

    def static_video(self, latent: Feature) -> Feature:
        return latent.unsqueeze(2).expand(-1, -1, self.frames, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        wanted = (self.frames - 1) * self._time + 1
        frames = torch.cat([frames, frames[-1:].expand(max(0, wanted - len(frames)), -1, -1, -1)])[:wanted]
        return self._latents(self.normalised(frames).movedim(0, 1).unsqueeze(0))

    def decode_video(self, latents: Feature) -> torch.Tensor:
        mean, deviation = self._statistics(latents)
        given = (latents * deviation + mean).to(self.autoencoder.dtype)
        timestep = given.new_zeros(len(given)) if self.autoencoder.config.timestep_conditioning else None
        video: torch.Tensor = self.autoencoder.decode(given, timestep).sample
        return video.movedim(2, 1).to(latents.dtype).add(1).div(2).clamp(0, 1)

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"level": timestep / 1000}

    def sampler(self, steps: int, noise: Feature) -> Any:
        from diffusers.pipelines.ltx.pipeline_ltx_image2video import calculate_shift

        scheduler = self.scheduler()
        defaults = ("base_image_seq_len", 256), ("max_image_seq_len", 4096), ("base_shift", 0.5), ("max_shift", 1.15)
        line = [scheduler.config.get(name, otherwise) for name, otherwise in defaults]
        shift = calculate_shift(noise[0, 0].numel(), *line)
        scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps, dtype=torch.float64).tolist(), mu=shift)
        return scheduler

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        noise = inputs["noise"].to(reference)
        level = self._level(inputs, noise).view(-1, 1, 1, 1, 1).to(reference.dtype)
        return (1 - level) * reference + level * noise, (noise - reference)[:, :, 1:]

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, len(pixels)
        _, _, frames, height, width = noisy.shape
        given = torch.cat([latent.unsqueeze(2), noisy[:, :, 1:]], 2)
        known = torch.arange(frames * height * width, device=noisy.device) < height * width
        timestep = self._level(inputs, noisy).mul(1000).unsqueeze(1).masked_fill(known, 0)
        prediction: torch.Tensor = self.denoiser(
            given.flatten(2).mT.to(dtype),
            as_batch(inputs["text"].to(dtype), batch),
            timestep,
            as_batch(inputs["mask"].bool(), batch),
            num_frames=frames,
            height=height,
            width=width,
            rope_interpolation_scale=(self._time / FRAME_RATE, self._space, self._space),
            return_dict=False,
        )[0]
        return prediction.mT.reshape(batch, -1, frames, height, width)[:, :, 1:]

    def _level(self, inputs: DenoiserInputs, video: Feature) -> torch.Tensor:
        """Compute noise levels in (0, 1], (B,)."""
        if "level" in inputs:
            return inputs["level"]
        (few, low), (many, high) = SHIFT
        shift = low + (high - low) * (video[0, 0].numel() - few) / (many - few)
        return torch.sigmoid(inputs["timestep"] + shift)

    def _latents(self, video: torch.Tensor) -> torch.Tensor:
        """Encode a video, (B, 3, T, H, W) in [-1, 1], and standardise each channel."""
        latents: torch.Tensor = self.autoencoder.encode(video.to(self.autoencoder.dtype)).latent_dist.mode()
        mean, deviation = self._statistics(video)
        return (latents.to(video.dtype) - mean) / deviation

    def _statistics(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, deviation = self.autoencoder.latents_mean, self.autoencoder.latents_std
        return mean.view(1, -1, 1, 1, 1).to(like), deviation.view(1, -1, 1, 1, 1).to(like)


def load(parts: Parts) -> LTXVideo:
    """Load from a folder: transformer/, vae/, scheduler/, and text_encoder/ with tokenizer/ for the caption."""
    return LTXVideo(
        parts.load("vae", ["AutoencoderKLLTXVideo"]),
        parts.load("transformer", ["LTXVideoTransformer3DModel"]),
        parts.info,
        scheduler=parts.scheduler(),
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with T5, and return its mask."""
    return cached_embedding(parts.folder, parts.caption, lambda: _text(parts), kind=f"t5 mask {LENGTH}")


def _text(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with T5, padded to 128 tokens, with the mask of its own tokens."""
    tokens = tokenized(parts.folder / "tokenizer", parts.caption, LENGTH)
    encoder: Any = parts.load("text_encoder", ["T5EncoderModel"], "transformers")
    return {"text": encoder(tokens["input_ids"].to(parts.device))[0], "mask": tokens["attention_mask"]}
