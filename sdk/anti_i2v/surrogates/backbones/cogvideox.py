"""CogVideoX I2V (5B, 1.0 and 1.5): the photo's latent, zero-padded over time, is concatenated to the noisy video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import cached_embedding, t5_embedding
from anti_i2v.surrogates.backbones.framewise import video_autoencoder
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.hub import MODEL_INDEX
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["ROTARY_SLICE", "CogVideoX", "context", "load"]

LENGTH = 226
"""Default number of tokens of a caption."""

ROTARY_SLICE = ("rotary_grid", "slice")
"""Entry of a model_index.json: rotary positions count from the corner at every size, as they always do in 1.5. In 1.0
they are stretched from the training size to any other, which breaks models with local attention."""

OFS = 2.0
"""The pipelines' value for the offset embedding."""


@final
class CogVideoX(Backbone):
    """AutoencoderKLCogVideoX and CogVideoXTransformer3DModel (Yang et al. 2024, arXiv 2408.06072).

    Videos are (B, frames, C, h, w). The training target is v (Salimans and Ho 2022), at the scheduler's noise levels.

    Args:
        alphas: the scheduler's cumulative products of alpha, one for each timestep.
        rotary_slice: whether rotary positions count from the corner at every size; always true for 1.5.
    """

    block_lists: ClassVar[tuple[str, ...]] = ("transformer_blocks",)
    samplers: ClassVar[tuple[str, ...]] = ("CogVideoXDDIMScheduler",)
    alphas: torch.Tensor

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        alphas: torch.Tensor,
        *,
        rotary_slice: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        known, self._settings = self.autoencoder.config, self.denoiser.config
        self._down = 2 ** (len(known.block_out_channels) - 1)
        self._patch, self._time_patch = self._settings.patch_size, self._settings.patch_size_t
        self._rotary_slice = rotary_slice or bool(self._time_patch)
        if self._time_patch:  # 1.5 reads latent frames in groups
            self.frames += -self.frames % self._time_patch
        self.multiple = self._down * self._patch
        self.latent_scale = float(known.scaling_factor)
        # Some I2V weights were trained on latents divided by the factor.
        self._condition_scale = 1 / self.latent_scale if known.invert_scale_latents else self.latent_scale
        side = f"/{self._down}"
        shape = ("B", self.frames, known.latent_channels, f"H{side}", f"W{side}")
        self.random_inputs = {
            "timestep": RandomInput(kind="integers", shape=("B",), low=0, high=len(alphas)),
            "noise": RandomInput(kind="normal", shape=shape),
        }
        self.register_buffer("alphas", alphas.float(), persistent=False)
        self._rotary: dict[tuple[int, int], Any] = {}
        self._learned: torch.Tensor | None = None
        self._positions_fitted = False
        if self._settings.use_learned_positional_embeddings:
            self._learned = self.denoiser.patch_embed.pos_embedding
            most = (self._settings.sample_frames - 1) // self._settings.temporal_compression_ratio + 1
            if self.frames > most:
                raise SurrogateError(
                    f"{info.name} learned positions for {most} latent frames: set frames to {most} or fewer"
                )

    def encode(self, pixels: Pixels) -> Feature:
        scaled = self.normalised(pixels).to(self.autoencoder.dtype)
        latent: torch.Tensor = self.autoencoder.encode(scaled.unsqueeze(2)).latent_dist.mode()[:, :, 0]
        return latent.to(pixels.dtype) * self.latent_scale

    def decode(self, latent: Feature) -> Pixels:
        given = (latent / self.latent_scale).to(self.autoencoder.dtype).unsqueeze(2)
        pixels: Pixels = self.autoencoder.decode(given).sample[:, :, 0].to(latent.dtype).add(1).div(2)
        return pixels

    def static_video(self, latent: Feature) -> Feature:
        return latent.unsqueeze(1).expand(-1, self.frames, -1, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        wanted = (self.frames - 1) * int(self.autoencoder.config.temporal_compression_ratio) + 1
        frames = torch.cat([frames, frames[-1:].expand(max(0, wanted - len(frames)), -1, -1, -1)])[:wanted]
        given = self.normalised(frames).to(self.autoencoder.dtype).movedim(0, 1).unsqueeze(0)
        latents: torch.Tensor = self.autoencoder.encode(given).latent_dist.mode()
        return latents.movedim(2, 1).to(frames.dtype) * self.latent_scale

    def decode_video(self, latents: Feature) -> torch.Tensor:
        given = (latents / self.latent_scale).movedim(1, 2).to(self.autoencoder.dtype)
        video: torch.Tensor = self.autoencoder.decode(given).sample.movedim(2, 1).to(latents.dtype)
        # If the number of latent frames is even, the first one decodes to surplus frames: drop them.
        wanted = (latents.shape[1] - 1) * int(self.autoencoder.config.temporal_compression_ratio) + 1
        return video[:, -wanted:].add(1).div(2).clamp(0, 1)

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"timestep": timestep}

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        level = self.alphas[inputs["timestep"]].view(-1, 1, 1, 1, 1).to(reference.dtype)
        noise, signal, rest = inputs["noise"].to(reference), level.sqrt(), (1 - level).sqrt()
        return signal * reference + rest * noise, signal * noise - rest * reference

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, pixels.shape[0]
        self._fit_positions(noisy.shape[-2], noisy.shape[-1])
        first = (latent * (self._condition_scale / self.latent_scale)).unsqueeze(1)
        condition = torch.cat([first, first.new_zeros(batch, self.frames - 1, *first.shape[2:])], 1)
        given = torch.cat([noisy, condition], 2).to(dtype)
        prediction: torch.Tensor = self.denoiser(
            given,
            as_batch(inputs["text"].to(dtype), batch),
            inputs["timestep"],
            ofs=None if self._settings.ofs_embed_dim is None else given.new_full((1,), OFS),
            image_rotary_emb=self._rotary_tables(noisy.shape[-2], noisy.shape[-1], inputs),
            return_dict=False,
        )[0]
        return prediction

    def _fit_positions(self, height: int, width: int) -> None:
        """Fit learned positions (1.0's 5B I2V) to this size: the first frames' tables, scaled bilinearly.

        diffusers runs such a model only at its training size, and silently drops the learned table for another number
        of frames. At the training size and number of frames this is the table itself.
        """
        embed = self.denoiser.patch_embed
        if self._learned is None or (embed.sample_height, embed.sample_width, self._positions_fitted) == (
            height,
            width,
            True,
        ):
            return
        known, patch = self._settings, self._patch
        tokens = known.max_text_seq_length
        shape = (-1, known.sample_height // patch, known.sample_width // patch, self._learned.shape[-1])
        positions = self._learned[0, tokens:].reshape(shape)[: self.frames].movedim(-1, 1).float()
        scaled = torch.nn.functional.interpolate(positions, (height // patch, width // patch), mode="bilinear")
        flat = scaled.movedim(1, -1).flatten(0, 2)[None].to(self._learned)
        embed.pos_embedding = torch.cat([self._learned[:, :tokens], flat], 1)
        embed.sample_height, embed.sample_width = height, width
        embed.sample_frames = (self.frames - 1) * known.temporal_compression_ratio + 1
        self._positions_fitted = True

    def _rotary_tables(
        self, height: int, width: int, inputs: DenoiserInputs
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return the rotary tables of one size, computed once. An exported graph has them as inputs."""
        if not self._settings.use_rotary_positional_embeddings:
            return None
        if "cosine" in inputs:
            return inputs["cosine"].flatten(0, 2), inputs["sine"].flatten(0, 2)
        if (height, width) not in self._rotary:
            self._rotary[height, width] = self._make_tables(height // self._patch, width // self._patch)
        cosine, sine = self._rotary[height, width]
        return cosine, sine

    def _make_tables(self, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        from diffusers.models.embeddings import get_3d_rotary_pos_embed
        from diffusers.pipelines.cogvideo import pipeline_cogvideox_image2video as pipeline

        full = (self._settings.sample_height // self._patch, self._settings.sample_width // self._patch)
        where = self.alphas.device
        if self._rotary_slice:
            tables = get_3d_rotary_pos_embed(
                self._settings.attention_head_dim,
                None,
                (rows, columns),
                self.frames // (self._time_patch or 1),
                grid_type="slice",
                max_size=(max(rows, full[0]), max(columns, full[1])),
                device=where,
            )
        else:
            crop = pipeline.get_resize_crop_region_for_grid((rows, columns), full[1], full[0])  # type: ignore[no-untyped-call]  # diffusers
            tables = get_3d_rotary_pos_embed(
                self._settings.attention_head_dim, crop, (rows, columns), self.frames, device=where
            )
        return tables[0], tables[1]


def load(parts: Parts) -> CogVideoX:
    """Load from a folder: transformer/, vae/, scheduler/, and text_encoder/ with tokenizer/ for the caption."""
    denoiser: Any = parts.load("transformer", ["CogVideoXTransformer3DModel"])
    scheduler = parts.scheduler()
    return CogVideoX(
        video_autoencoder(parts, "AutoencoderKLCogVideoX"),
        denoiser,
        parts.info,
        alphas_of(scheduler),
        rotary_slice=settings_of(parts.folder / MODEL_INDEX).get(ROTARY_SLICE[0]) == ROTARY_SLICE[1],
        scheduler=scheduler,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with T5; zeros for a model without a text encoder in its model_index.json."""
    settings = settings_of(parts.folder / "transformer" / "config.json")
    length = int(settings.get("max_text_seq_length", LENGTH))
    if "text_encoder" not in settings_of(parts.folder / MODEL_INDEX):
        return {"text": torch.zeros(1, length, int(settings["text_embed_dim"]))}
    return cached_embedding(
        parts.folder, parts.caption, lambda: {"text": t5_embedding(parts, length)}, kind=f"t5 {length}"
    )


def alphas_of(settings: Mapping[str, Any]) -> torch.Tensor:
    """Compute the cumulative products of alpha, one for each timestep, as diffusers' CogVideoX schedulers do."""
    from diffusers import CogVideoXDDIMScheduler

    kind: Any = CogVideoXDDIMScheduler
    alphas: torch.Tensor = kind.from_config(dict(settings)).alphas_cumprod
    return alphas
