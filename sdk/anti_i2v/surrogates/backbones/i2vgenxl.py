"""I2VGen-XL: the photo enters as the first frame of a second video, as context tokens, and through CLIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.nn.functional import interpolate, pad
from torch.utils.checkpoint import checkpoint

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import cached_embedding, tokenized
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.backbones.unet_layers import BLOCKS, matching
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["I2VGenXL", "context", "load"]

FPS = 16
"""Frames a second, the pipeline's default."""

CAPTION_TOKENS = 77


@final
class I2VGenXL(Backbone):
    """AutoencoderKL and I2VGenXLUNet (Zhang et al. 2023, arXiv 2311.04145).

    Videos are (B, C, frames, h, w). VGen trains on v with a cosine schedule that ends without signal
    (i2vgen_xl_train.yaml); here the scheduler's `prediction_type` and noise levels decide. VGen also adds noise that is
    constant over each channel ("offset noise"); our noise is plain.

    The photo enters three times, with gradients through all: its latent is the first frame of a second video that is
    concatenated to the noisy one, and whose other frames hold their position in time from 0 to 1; the same latent
    becomes context tokens; and so does CLIP's embedding of the central square. The pipeline samples the latent; we use
    the mode.

    Args:
        image_encoder: transformers' CLIPVisionModelWithProjection.
        view: settings of its feature extractor: crop size and normalisation.
        alphas: the scheduler's cumulative products of alpha, one for each timestep.
        prediction: "v_prediction" or "epsilon".
    """

    block_lists: ClassVar[tuple[str, ...]] = BLOCKS
    samplers: ClassVar[tuple[str, ...]] = ("DDIMScheduler",)
    alphas: torch.Tensor
    image_encoder: Any

    def __init__(
        self,
        autoencoder: nn.Module,
        denoiser: nn.Module,
        info: SurrogateInfo,
        image_encoder: nn.Module,
        view: Mapping[str, Any],
        alphas: torch.Tensor,
        prediction: str = "v_prediction",
        **options: Any,
    ) -> None:
        super().__init__(autoencoder, denoiser, info, **options)
        self.image_encoder = image_encoder.eval().requires_grad_(False)
        known, self._predicts_v = self.autoencoder.config, prediction == "v_prediction"
        self._view = {**view, "do_resize": False, "do_center_crop": False}
        self.multiple = 2 ** (len(known.block_out_channels) - 1)
        self.latent_scale = float(known.scaling_factor)
        side = f"/{self.multiple}"
        shape = ("B", known.latent_channels, self.frames, f"H{side}", f"W{side}")
        self.random_inputs = {
            "timestep": RandomInput(kind="integers", shape=("B",), low=0, high=len(alphas)),
            "noise": RandomInput(kind="normal", shape=shape),
        }
        self.register_buffer("alphas", alphas.float(), persistent=False)
        if options.get("checkpointing"):  # diffusers does not offer it for this U-Net
            for name in self.layers:
                _recompute(self.denoiser.get_submodule(name))

    def encode(self, pixels: Pixels) -> Feature:
        given = self.normalised(pixels).to(self.autoencoder.dtype)
        latent: torch.Tensor = self.autoencoder.encode(given).latent_dist.mode()
        return latent.to(pixels.dtype) * self.latent_scale

    def decode(self, latent: Feature) -> Pixels:
        decoded = self.autoencoder.decode((latent / self.latent_scale).to(self.autoencoder.dtype)).sample
        pixels: Pixels = decoded.to(latent.dtype).add(1).div(2)
        return pixels

    def static_video(self, latent: Feature) -> Feature:
        return latent.unsqueeze(2).expand(-1, -1, self.frames, -1, -1)

    def encode_video(self, frames: torch.Tensor) -> Feature:
        wanted = frames[torch.arange(self.frames).clamp_max(len(frames) - 1)]
        # One by one: no more memory than for a photo.
        latents = torch.cat([self.encode(frame) for frame in wanted.unsqueeze(1).unbind()])
        return latents.movedim(0, 1).unsqueeze(0)

    def decode_video(self, latents: Feature) -> torch.Tensor:
        # Frame by frame: no more memory than for a photo.
        return torch.stack([self.decode(frame).clamp(0, 1) for frame in latents.unbind(2)], 1)

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        return self.encode(pixels), {**inputs, "image": self._embedding(pixels)}

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"timestep": timestep}

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        level = self.alphas[inputs["timestep"]].view(-1, 1, 1, 1, 1).to(reference.dtype)
        noise, signal, rest = inputs["noise"].to(reference), level.sqrt(), (1 - level).sqrt()
        target = signal * noise - rest * reference if self._predicts_v else noise
        return signal * reference + rest * noise, target

    def denoise(self, noisy: Feature, latent: Feature, pixels: Pixels, inputs: DenoiserInputs) -> Feature:
        dtype, batch = self.denoiser.dtype, len(pixels)
        places = torch.linspace(0, 1, self.frames, device=latent.device, dtype=latent.dtype)[1:]
        later = places.view(1, 1, -1, 1, 1).expand(*latent.shape[:2], -1, *latent.shape[2:])
        prediction: torch.Tensor = self.denoiser(
            noisy.to(dtype),
            inputs["timestep"],
            fps=torch.full_like(inputs["timestep"], FPS),
            image_latents=torch.cat([latent.unsqueeze(2), later], 2).to(dtype),
            image_embeddings=inputs["image"].to(dtype),
            encoder_hidden_states=as_batch(inputs["text"].to(dtype), batch),
            return_dict=False,
        )[0]
        return prediction

    def collapse_pairs(self) -> tuple[tuple[str, str], ...]:
        return matching(self.layers)

    def _embedding(self, pixels: Pixels) -> torch.Tensor:
        """Embed the photo with CLIP, (B, 1, D)."""
        size = self._view["crop_size"]
        small = interpolate(_central_square(pixels), (size["height"], size["width"]), mode="bilinear", antialias=True)
        given = clip_view(small, self._view).to(self.image_encoder.dtype)
        embedding: torch.Tensor = self.image_encoder(given).image_embeds.unsqueeze(1)
        return embedding


def _central_square(pixels: Pixels) -> Pixels:
    """Crop the central square, as wide as the photo, as the pipeline does for a video of the photo's size.

    The pipeline's arithmetic is kept, which leaves a black line at the edge for some sizes.
    """
    height, width = pixels.shape[-2:]
    scale = min(1.0, height / width)
    rows, columns = round(height // scale), round(width // scale)
    top, left = (rows - width) // 2, (columns - width) // 2
    enlarged = pixels[..., _nearest(height, rows).to(pixels.device), :][..., _nearest(width, columns).to(pixels.device)]
    return pad(enlarged, (-left, left + width - columns, -top, top + width - rows))


def _nearest(size: int, wanted: int) -> torch.Tensor:
    """Compute the indices of Pillow's box filter when it enlarges; torch breaks ties differently."""
    return ((torch.arange(wanted, dtype=torch.float64) + 0.5) * (size / wanted)).long()


def _recompute(block: nn.Module) -> None:
    """Recompute a block in the backward pass instead of storing its activations."""
    forward = block.forward

    def run(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=False, **named)

    block.forward = run


def load(parts: Parts) -> I2VGenXL:
    """Load from a folder: unet/, vae/, image_encoder/, feature_extractor/, scheduler/, text_encoder/ and tokenizer/."""
    settings = parts.scheduler()
    prediction = settings.get("prediction_type", "epsilon")
    if prediction not in ("v_prediction", "epsilon"):
        raise SurrogateError(f"{parts.folder} was trained to predict {prediction}, which is not supported")
    return I2VGenXL(
        parts.load("vae", ["AutoencoderKL"]),
        parts.load("unet", ["I2VGenXLUNet"]),
        parts.info,
        parts.load("image_encoder", ["CLIPVisionModelWithProjection"], "transformers"),
        settings_of(parts.folder / "feature_extractor" / "preprocessor_config.json"),
        alphas_of(settings),
        prediction,
        scheduler=settings,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """Embed the caption with CLIP."""

    def encode() -> dict[str, torch.Tensor]:
        tokens = tokenized(parts.folder / "tokenizer", parts.caption, CAPTION_TOKENS)
        encoder: Any = parts.load("text_encoder", ["CLIPTextModel"], "transformers")
        states = encoder(tokens["input_ids"].to(parts.device), output_hidden_states=True).hidden_states
        # The penultimate layer with the final norm: the pipeline's clip_skip of 1. Transformers 5 has no text_model.
        return {"text": getattr(encoder, "text_model", encoder).final_layer_norm(states[-2])}

    return cached_embedding(parts.folder, parts.caption, encode, kind=f"clip -2 {CAPTION_TOKENS}")


def alphas_of(settings: Mapping[str, Any]) -> torch.Tensor:
    """Compute the cumulative products of alpha, one for each timestep, as diffusers' DDIM scheduler does."""
    from diffusers import DDIMScheduler

    kind: Any = DDIMScheduler
    alphas: torch.Tensor = kind.from_config(dict(settings)).alphas_cumprod
    return alphas
