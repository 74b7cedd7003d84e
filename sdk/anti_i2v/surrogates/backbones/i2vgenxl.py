"""I2VGen-XL: the photo's latent as the first frame of a second video, in the context, and CLIP's embedding of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.nn.functional import interpolate, pad
from torch.utils.checkpoint import checkpoint

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone, as_batch
from anti_i2v.surrogates.backbones.caption_embeddings import embedded_caption, tokenized
from anti_i2v.surrogates.backbones.clip_view import clip_view
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.backbones.unet_layers import BLOCKS, matching
from anti_i2v.surrogates.base import DenoiserInputs
from anti_i2v.surrogates.info import RandomInput, SurrogateInfo
from anti_i2v.tensors import Feature, Pixels

__all__ = ["I2VGenXL", "context", "load"]

FPS = 16
"""The pipeline's own wish."""

CAPTION_TOKENS = 77


@final
class I2VGenXL(Backbone):
    """AutoencoderKL and I2VGenXLUNet (Zhang et al. 2023, arXiv 2311.04145).

    Videos are (B, C, frames, h, w). Training asks for v on a cosine schedule without signal at its end (VGen's
    i2vgen_xl_train.yaml); here it is what the scheduler's `prediction_type` and noise levels say. VGen adds noise that
    is the same over a channel as well ("offset noise"); ours is plain.

    The photo enters three times, and gradients flow through all: its latent is the first frame of a video that stands
    beside the noisy one, whose other frames are filled with their place in time from 0 to 1; the same latent becomes
    tokens of the context; and so does CLIP's embedding of its central square. The pipeline samples the latent, here it
    is the mode.

    Args:
        image_encoder: transformers' CLIPVisionModelWithProjection.
        view: settings of the feature extractor before it: the crop's size and how it normalises.
        alphas: the scheduler's cumulative products of alpha, one a timestep.
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
        known, self._asks_for_v = self.autoencoder.config, prediction == "v_prediction"
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
        if options.get("checkpointing"):  # which diffusers does not offer for this U-Net
            for name in self.layers:
                _recomputed(self.denoiser.get_submodule(name))

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
        # One by one: no more memory than a photo takes.
        latents = torch.cat([self.encode(frame) for frame in wanted.unsqueeze(1).unbind()])
        return latents.movedim(0, 1).unsqueeze(0)

    def decode_video(self, latents: Feature) -> torch.Tensor:
        # Frame by frame: no more memory than a photo takes.
        return torch.stack([self.decode(frame).clamp(0, 1) for frame in latents.unbind(2)], 1)

    def encode_condition(self, pixels: Pixels, inputs: DenoiserInputs) -> tuple[Feature, DenoiserInputs]:
        return self.encode(pixels), {**inputs, "image": self._embedding(pixels)}

    def timestep_inputs(self, timestep: torch.Tensor) -> DenoiserInputs:
        return {"timestep": timestep}

    def add_noise(self, reference: Feature, inputs: DenoiserInputs) -> tuple[Feature, Feature]:
        level = self.alphas[inputs["timestep"]].view(-1, 1, 1, 1, 1).to(reference.dtype)
        noise, signal, rest = inputs["noise"].to(reference), level.sqrt(), (1 - level).sqrt()
        target = signal * noise - rest * reference if self._asks_for_v else noise
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
        """CLIP's embedding of the photo, (B, 1, D)."""
        size = self._view["crop_size"]
        small = interpolate(_central_square(pixels), (size["height"], size["width"]), mode="bilinear", antialias=True)
        given = clip_view(small, self._view).to(self.image_encoder.dtype)
        embedding: torch.Tensor = self.image_encoder(given).image_embeds.unsqueeze(1)
        return embedding


def _central_square(pixels: Pixels) -> Pixels:
    """As the pipeline cuts it, for a video of the photo's own size: as large as the photo is wide.

    Its arithmetic is kept, which at some sizes leaves a black line at the edge.
    """
    height, width = pixels.shape[-2:]
    scale = min(1.0, height / width)
    rows, columns = round(height // scale), round(width // scale)
    top, left = (rows - width) // 2, (columns - width) // 2
    enlarged = pixels[..., _nearest(height, rows).to(pixels.device), :][..., _nearest(width, columns).to(pixels.device)]
    return pad(enlarged, (-left, left + width - columns, -top, top + width - rows))


def _nearest(size: int, wanted: int) -> torch.Tensor:
    """The indices that Pillow's box filter takes where it enlarges; torch's own differ where two are equally near."""
    return ((torch.arange(wanted, dtype=torch.float64) + 0.5) * (size / wanted)).long()


def _recomputed(block: nn.Module) -> None:
    forward = block.forward

    def run(*given: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given, **named)
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=False, **named)

    block.forward = run


def load(parts: Parts) -> I2VGenXL:
    """From a folder: unet/, vae/, image_encoder/, feature_extractor/, scheduler/, text_encoder/ and tokenizer/."""
    settings = parts.scheduler()
    asked = settings.get("prediction_type", "epsilon")
    if asked not in ("v_prediction", "epsilon"):
        raise SurrogateError(f"{parts.folder} was trained to predict {asked}, which is not read")
    return I2VGenXL(
        parts.load("vae", ["AutoencoderKL"]),
        parts.load("unet", ["I2VGenXLUNet"]),
        parts.info,
        parts.load("image_encoder", ["CLIPVisionModelWithProjection"], "transformers"),
        settings_of(parts.folder / "feature_extractor" / "preprocessor_config.json"),
        alphas_of(settings),
        asked,
        scheduler=settings,
        **parts.options,
    )


def context(parts: Parts) -> dict[str, torch.Tensor]:
    """The caption through CLIP."""

    def encode() -> dict[str, torch.Tensor]:
        tokens = tokenized(parts.folder / "tokenizer", parts.caption, CAPTION_TOKENS)
        encoder: Any = parts.load("text_encoder", ["CLIPTextModel"], "transformers")
        states = encoder(tokens["input_ids"].to(parts.device), output_hidden_states=True).hidden_states
        # The last layer but one, normalised as the last: the pipeline's clip_skip of 1. Transformers 5 has no
        # text_model around it.
        return {"text": getattr(encoder, "text_model", encoder).final_layer_norm(states[-2])}

    return embedded_caption(parts.folder, parts.caption, encode, kind=f"clip -2 {CAPTION_TOKENS}")


def alphas_of(settings: Mapping[str, Any]) -> torch.Tensor:
    """The cumulative products of alpha, one a timestep, as diffusers' DDIM scheduler makes them."""
    from diffusers import DDIMScheduler

    kind: Any = DDIMScheduler
    alphas: torch.Tensor = kind.from_config(dict(settings)).alphas_cumprod
    return alphas
