"""HunyuanVideo I2V: the photo's latent beside the noisy video's channels, or in place of its first frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import cached_embedding, tokenized
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["HunyuanVideo", "context", "load"]

GUIDANCE = 6.0
"""Input of weights with distilled guidance, as in the pipeline's example."""

CAPTION_TOKENS = 77
"""For CLIP. LLaVA reads up to 256 tokens and the photo."""

TOKEN_INTERLEAVE = {"latent_concat": 2, "token_replace": 4}
"""How the photo enters -> which of LLaVA's image tokens the denoiser reads: every second, or every fourth."""

INITIAL_NOISE = 0.999
"""Share of noise in the latents from which the pipeline starts; the rest is the photo."""

Describe = Callable[[Pixels, str], Mapping[str, torch.Tensor]]


@final
class HunyuanVideo(Backbone):
    """AutoencoderKLHunyuanVideo and HunyuanVideoTransformer3DModel (Kong et al. 2024, arXiv 2412.03603).

    Videos are (B, C, frames, h, w). The training target is noise - video, the velocity of the straight path
    (1 - level) video + level noise, with levels from a logit-normal distribution (flow matching). Our choice: the
    standard logit-normal, with the scheduler's shift.

    The photo's latent enters in one of two ways, depending on the weights. "latent_concat": it is zero-padded over time
    and concatenated to the noisy video, with a mask of the known frame. "token_replace": it replaces the first frame,
    at timestep 0, and the loss excludes that frame.

    The photo also enters through LLaVA, which reads it before the caption. Our choice: this embedding is computed once
    from the clean photo, without gradients, because LLaVA is more than half as large as the denoiser. Without the
    photo's tokens the denoiser would run outside its training distribution. They are not cached on disk, because they
    describe the photo.

    Args:
        shift: shift of the noise levels.
        describe: photos, caption -> LLaVA's "text" (B, L, D) of both, and its "text_mask" (B, L).
    """

    block_lists: ClassVar[tuple[str, ...]] = ("transformer_blocks", "single_transformer_blocks")
    samplers: ClassVar[tuple[str, ...]] = ("FlowMatchEulerDiscreteScheduler",)

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        shift: float,
        describe: Describe,
        **options: Any,
    ) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        known, self._settings = self.autoencoder.config, self.denoiser.config
        self.replaces_first_frame = self._settings.image_condition_type == "token_replace"
        if self.replaces_first_frame and self.frames < 2:
            raise SurrogateError(f"{info.name} needs 2 latent frames or more: the first one is the photo itself")
        self._shift, self._describe = shift, describe
        self.multiple = int(known.spatial_compression_ratio) * self._settings.patch_size
        self.latent_scale = float(known.scaling_factor)
        side = f"/{known.spatial_compression_ratio}"
        shape = ("B", known.latent_channels, self.frames, f"H{side}", f"W{side}")
        self.random_inputs = {
            "level": RandomInput(kind="normal", shape=("B",)),  # logit of the noise level, before the shift
            "noise": RandomInput(kind="normal", shape=shape),
        }

    def encode(self, pixels: Pixels) -> Feature:
        return self._latents(pixels.unsqueeze(2))[:, :, 0]

    def decode(self, latent: Feature) -> Pixels:
        given = (latent / self.latent_scale).to(self.autoencoder.dtype).unsqueeze(2)
        pixels: Pixels = self.autoencoder.decode(given).sample[:, :, 0].to(latent.dtype).add(1).div(2)
        return pixels

    def static_video(self, latent: Feature) -> Feature:
        return latent.unsqueeze(2).expand(-1, -1, self.frames, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        count = (self.frames - 1) * int(self.autoencoder.config.temporal_compression_ratio) + 1
        wanted = frames[torch.arange(count).clamp_max(len(frames) - 1)]
        return self._latents(wanted.movedim(0, 1).unsqueeze(0))

    def decode_video(self, latents: Feature) -> torch.Tensor:
        given = (latents / self.latent_scale).to(self.autoencoder.dtype)
        video: torch.Tensor = self.autoencoder.decode(given).sample
        return video.movedim(2, 1).to(latents.dtype).add(1).div(2).clamp(0, 1)

    def photo_conditioning(self, clean: Pixels) -> DenoiserInputs:
        """Embed the clean photo and the caption with LLaVA."""
        return dict(self._describe(clean, self.caption))

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"level": torch.logit(timestep / 1000) - math.log(self._shift)}  # the inverse of `_level`

    def sampler(self, steps: int, noise: Feature) -> Any:
        scheduler = self.scheduler()
        scheduler.set_timesteps(sigmas=torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:-1].tolist())
        return scheduler

    def initial_latents(self, noise: Feature, latent: Feature) -> Feature:
        return torch.lerp(latent.unsqueeze(2).expand_as(noise), noise, INITIAL_NOISE)

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        level = self._level(inputs).view(-1, 1, 1, 1, 1).to(reference.dtype)
        noise = inputs["noise"].to(reference)
        return (1 - level) * reference + level * noise, (noise - reference)[:, :, int(self.replaces_first_frame) :]

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, len(pixels)
        first = latent.unsqueeze(2)
        if self.replaces_first_frame:
            given = torch.cat([first, noisy[:, :, 1:]], 2)
        else:
            later = self.frames - 1, *first.shape[3:]
            condition = torch.cat([first, first.new_zeros(*first.shape[:2], *later)], 2)
            mask = torch.cat([torch.ones_like(first[:, :1]), first.new_zeros(batch, 1, *later)], 2)
            given = torch.cat([noisy, condition, mask], 1)
        guided = self._settings.guidance_embeds
        prediction: torch.Tensor = self.denoiser(
            given.to(dtype),
            self._level(inputs) * 1000,
            as_batch(inputs["text"].to(dtype), batch),
            as_batch(inputs["text_mask"].to(dtype), batch),
            as_batch(inputs["pooled"].to(dtype), batch),
            guidance=given.new_full((batch,), GUIDANCE * 1000, dtype=dtype) if guided else None,
            return_dict=False,
        )[0]
        return prediction[:, :, int(self.replaces_first_frame) :]

    def _latents(self, video: torch.Tensor) -> torch.Tensor:
        """Encode a video, (B, 3, T, H, W) in [0, 1]."""
        given = (video * 2 - 1).to(self.autoencoder.dtype)
        latents: torch.Tensor = self.autoencoder.encode(given).latent_dist.mode()
        return latents.to(video.dtype) * self.latent_scale

    def _level(self, inputs: DenoiserInputs) -> torch.Tensor:
        even = inputs["level"].sigmoid()
        return self._shift * even / (1 + (self._shift - 1) * even)


def load(parts: Parts) -> HunyuanVideo:
    """Load from a folder.

    It holds transformer/, vae/, scheduler/, text_encoder/ (LLaVA) with tokenizer/ and image_processor/, and
    text_encoder_2/ (CLIP) with tokenizer_2/.

    Raises:
        SurrogateError: a part is missing or unusable, or it is a text-to-video model.
    """
    denoiser: Any = parts.load("transformer", ["HunyuanVideoTransformer3DModel"])
    if denoiser.config.image_condition_type not in TOKEN_INTERLEAVE:
        raise SurrogateError(f"{parts.folder} generates videos from text only: its denoiser takes no photo")
    scheduler = parts.scheduler()
    view = settings_of(parts.folder / "image_processor" / "preprocessor_config.json")
    settings_of(
        parts.folder / "text_encoder" / "config.json"
    )  # it loads later, with a photo; a missing file is reported now
    tokenized(parts.folder / "tokenizer", parts.caption, CAPTION_TOKENS)
    interleave = TOKEN_INTERLEAVE[denoiser.config.image_condition_type]
    return HunyuanVideo(
        parts.load("vae", ["AutoencoderKLHunyuanVideo"]),
        denoiser,
        parts.info,
        float(scheduler.get("shift", 1.0)),
        lambda clean, caption: _llava_embedding(replace(parts, caption=caption), view, interleave, clean),
        scheduler=scheduler,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with CLIP."""

    def encode() -> dict[str, torch.Tensor]:
        tokens = tokenized(parts.folder / "tokenizer_2", parts.caption, CAPTION_TOKENS)
        encoder: Any = parts.load("text_encoder_2", ["CLIPTextModel"], "transformers")
        return {"pooled": encoder(tokens["input_ids"].to(parts.device)).pooler_output}

    return cached_embedding(parts.folder, parts.caption, encode, kind=f"clip pooled {CAPTION_TOKENS}")


def _llava_embedding(parts: Parts, view: Mapping[str, Any], interleave: int, clean: Pixels) -> dict[str, torch.Tensor]:
    """Embed photos and caption with LLaVA, with the pipeline's template, cropping and interleave; then free LLaVA."""
    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_image2video as pipeline
    from transformers import AutoTokenizer

    where = parts.with_room("text_encoder").device
    llava = replace(parts, device=where).load("text_encoder", ["LlavaForConditionalGeneration"], "transformers")
    reader = SimpleNamespace(  # the attributes that the pipeline's method uses
        text_encoder=llava,
        tokenizer=AutoTokenizer.from_pretrained(parts.folder / "tokenizer", local_files_only=True),
        image_processor=lambda photo, return_tensors: SimpleNamespace(pixel_values=clip_view(photo, view)),
    )
    read: Any = pipeline.HunyuanVideoImageToVideoPipeline._get_llama_prompt_embeds
    template = pipeline.DEFAULT_PROMPT_TEMPLATE
    with torch.no_grad():
        embeddings = [
            read(
                reader,
                photo,
                parts.caption,
                template,
                device=where,
                dtype=parts.dtype,
                image_embed_interleave=interleave,
            )
            for photo in clean.unsqueeze(1).unbind()
        ]
    text, mask = (torch.cat(tensors).to(parts.device) for tensors in zip(*embeddings, strict=True))
    return {"text": text, "text_mask": mask}
