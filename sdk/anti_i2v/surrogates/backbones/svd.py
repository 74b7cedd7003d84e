"""Stable Video Diffusion: the photo's latent beside each noisy frame, its CLIP embedding in cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.framewise import video_autoencoder
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.backbones.unet_layers import BLOCKS, matching
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["StableVideoDiffusion", "context", "load"]

LEVEL_MEAN, LEVEL_DEVIATION = 0.7, 1.6
"""Of the logarithm of the noise level, as in public trainers of the image-to-video model (SVD_Xtend's train_svd.py)."""

FPS, MOTION, AUGMENTATION = 7, 127, 0.02
"""The pipeline's defaults: frames a second, "motion bucket", and the noise added to the photo, on the scale [-1, 1].

Training sampled the strength of that noise (log-normal, about 0.05). It is fixed here, as in generation."""

CLIP_SIDE = 224
"""The pipeline resizes the photo to this side, whatever the feature extractor's settings are."""


@final
class StableVideoDiffusion(Backbone):
    """AutoencoderKLTemporalDecoder and UNetSpatioTemporalConditionModel (Blattmann et al. 2023, arXiv 2311.15127).

    Videos are (B, frames, C, h, w). Training follows EDM (Karras et al. 2022, arXiv 2206.00364) with preconditioners
    and a weight under which the loss is the plain squared error of v on a video scaled to unit variance:
    noisy = (video + sigma noise) / sqrt(sigma^2 + 1), v = (noise - sigma video) / sqrt(sigma^2 + 1). The U-Net reads
    log(sigma) / 4.

    The photo enters twice, with gradients through both: with a little noise through the autoencoder, whose latent
    (not scaled, unlike the video's) is concatenated to each frame, and without noise through CLIP. When the denoiser
    runs, "latent" is that of the noisy photo.

    Args:
        image_encoder: transformers' CLIPVisionModelWithProjection.
        view: settings of its feature extractor, which only normalises here.
    """

    block_lists: ClassVar[tuple[str, ...]] = BLOCKS
    samplers: ClassVar[tuple[str, ...]] = ("EulerDiscreteScheduler",)
    image_encoder: Any

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        image_encoder: nn.Module,
        view: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        self.image_encoder = image_encoder.eval().requires_grad_(False)
        known, self._view = self.autoencoder.config, {**view, "do_resize": False, "do_center_crop": False}
        self.multiple = 2 ** (len(known.block_out_channels) - 1)
        self._video_scale = float(known.scaling_factor)
        side = f"/{self.multiple}"
        self.random_inputs = {
            "level": RandomInput(kind="normal", shape=("B",)),
            "noise": RandomInput(
                kind="normal", shape=("B", self.frames, known.latent_channels, f"H{side}", f"W{side}")
            ),
            "augmentation": RandomInput(kind="normal", shape=("B", 3, "H", "W")),
        }

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        noise = inputs["augmentation"].to(pixels) * (AUGMENTATION / 2)
        return self.encode(pixels + noise), {**inputs, "image": self.embedding(pixels)}  # CLIP sees no noise

    def encode(self, pixels: Pixels) -> Feature:
        given = self.normalised(pixels).to(self.autoencoder.dtype)
        latent: torch.Tensor = self.autoencoder.encode(given).latent_dist.mode()
        return latent.to(pixels.dtype)

    def decode(self, latent: Feature) -> Pixels:
        decoded = self.autoencoder.decode(latent.to(self.autoencoder.dtype), num_frames=1).sample
        pixels: Pixels = decoded.to(latent.dtype).add(1).div(2)
        return pixels

    def static_video(self, latent: Feature) -> Feature:
        return (latent * self._video_scale).unsqueeze(1).expand(-1, self.frames, -1, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        wanted = frames[torch.arange(self.frames).clamp_max(len(frames) - 1)]
        # One by one: no more memory than for a photo.
        latents = torch.cat([self.encode(frame) for frame in wanted.unsqueeze(1).unbind()])
        return latents.unsqueeze(0) * self._video_scale

    def decode_video(self, latents: Feature) -> torch.Tensor:
        given = (latents / self._video_scale).to(self.autoencoder.dtype)
        videos = [self.autoencoder.decode(video, num_frames=len(video)).sample for video in given]
        return torch.stack(videos).to(latents.dtype).add(1).div(2).clamp(0, 1)

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"level": (timestep * 4 - LEVEL_MEAN) / LEVEL_DEVIATION}

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        sigma = _log_sigma(inputs).to(reference).exp().view(-1, 1, 1, 1, 1)
        noise, size = inputs["noise"].to(reference), (sigma.square() + 1).sqrt()
        return (reference + sigma * noise) / size, (noise - sigma * reference) / size

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, len(pixels)
        given = torch.cat([noisy, latent.unsqueeze(1).expand(-1, self.frames, -1, -1, -1)], 2)
        time_ids = pixels.new_tensor([FPS - 1, MOTION, AUGMENTATION])  # training subtracted one from the frame rate
        prediction: torch.Tensor = self.denoiser(
            given.to(dtype),
            _log_sigma(inputs) / 4,
            inputs["image"].to(dtype),
            added_time_ids=time_ids.to(dtype).expand(batch, 3),
            return_dict=False,
        )[0]
        return prediction

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        return matching(self.layers)

    def embedding(self, pixels: Pixels) -> torch.Tensor:
        """Embed the photo with CLIP, (B, 1, D)."""
        from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as pipeline

        resize: Any = pipeline._resize_with_antialiasing
        small = resize(pixels * 2 - 1, (CLIP_SIDE, CLIP_SIDE)).add(1).div(2)
        given = clip_view(small, self._view).to(self.image_encoder.dtype)
        embedding: torch.Tensor = self.image_encoder(given).image_embeds.unsqueeze(1)
        return embedding


def _log_sigma(inputs: DenoiserInputs) -> torch.Tensor:
    return LEVEL_MEAN + LEVEL_DEVIATION * inputs["level"]


def load(parts: Parts) -> StableVideoDiffusion:
    """Load from a folder: unet/, vae/, image_encoder/, feature_extractor/, scheduler/."""
    scheduler = parts.scheduler()
    prediction = scheduler.get("prediction_type")
    if prediction != "v_prediction":
        raise SurrogateError(f"{parts.folder} was trained to predict {prediction}, not v_prediction: it is not SVD")
    half = parts.dtype == torch.float16  # this autoencoder overflows in fp16, as its configuration says
    return StableVideoDiffusion(
        video_autoencoder(replace(parts, dtype=torch.float32) if half else parts, "AutoencoderKLTemporalDecoder"),
        parts.load("unet", ["UNetSpatioTemporalConditionModel"]),
        parts.info,
        parts.load("image_encoder", ["CLIPVisionModelWithProjection"], "transformers"),
        settings_of(parts.folder / "feature_extractor" / "preprocessor_config.json"),
        scheduler=scheduler,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Return nothing: the model reads no caption."""
    return {}
