"""A tiny image autoencoder, run frame by frame, in place of a video autoencoder, for small video models.

AutoencoderTiny exists for the latents of Stable Diffusion (4 channels) and of newer models (16 channels). `Framewise`
has the interface of diffusers' video autoencoders, so that the families here work with it unchanged.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.parts import Parts, settings_of
from anti_i2v.surrogates.encoders import encoders

__all__ = ["Framewise", "video_autoencoder"]

TINY = "AutoencoderTiny"


@final
class Framewise(nn.Module):
    """AutoencoderTiny frame by frame, with the interface of AutoencoderKLCogVideoX and AutoencoderKLTemporalDecoder.

    Frames are not compressed over time. Latents have the denoiser's scale.
    """

    tiny: Any  # diffusers ships no type information

    def __init__(self, tiny: nn.Module) -> None:
        super().__init__()
        self.tiny = tiny
        known: Any = tiny.config
        self.config = SimpleNamespace(
            block_out_channels=known.encoder_block_out_channels,
            latent_channels=known.latent_channels,
            scaling_factor=1.0,
            invert_scale_latents=False,
            temporal_compression_ratio=1,
        )

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = self.tiny.dtype
        return found

    def encode(self, pixels: torch.Tensor) -> Any:
        """Encode pixels in [-1, 1], (B, 3, H, W) or (B, 3, T, H, W). The distribution's mode is the latent."""
        latent = _framewise(self.tiny.encoder, pixels)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, latent: torch.Tensor, num_frames: int = 1) -> Any:
        """Decode latents. `num_frames` has no effect; temporal decoders take it."""
        return SimpleNamespace(sample=_framewise(self.tiny.decoder, latent))


def _framewise(network: nn.Module, video: torch.Tensor) -> torch.Tensor:
    if video.ndim == 4:
        output: torch.Tensor = network(video)
        return output
    batch, channels, frames, *sides = video.shape
    output = network(video.movedim(2, 1).reshape(batch * frames, channels, *sides))
    return output.reshape(batch, frames, *output.shape[1:]).movedim(1, 2)


def video_autoencoder(parts: Parts, kind: str) -> nn.Module:
    """Load the folder's autoencoder: the family's own class, or AutoencoderTiny.

    A vae/config.json of class AutoencoderTiny either has weights beside it, or names a known encoder as "encoder", so
    that small models can share its weights.

    Raises:
        SurrogateError: it has another class, or the named encoder is not on this machine.
    """
    settings = settings_of(parts.folder / "vae" / "config.json")
    if settings.get("_class_name") != TINY:
        return parts.load("vae", [kind])
    if "encoder" not in settings:
        return Framewise(parts.load("vae", [TINY]))
    known = encoders().get(settings["encoder"])
    if known is None:
        raise SurrogateError(f"{parts.folder} is built on {settings['encoder']!r}, which is not a known encoder")
    encoder = known.load(device=parts.device, dtype=parts.dtype)
    if not encoder.tiny:
        raise SurrogateError(f"{parts.folder} is built on {known.name}, which is not an {TINY}")
    return Framewise(encoder.model)
