"""A tiny image autoencoder in the place of a video autoencoder: what small video models are built on.

AutoencoderTiny knows the latents of Stable Diffusion (4 channels) and of newer models (16 channels). Run on each frame
it answers as diffusers' video autoencoders do, so that the families here take it unchanged.
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

    Frames are not compressed over time; latents have the scale of the denoisers that the autoencoder was made for.
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
        """Pixels in [-1, 1], (B, 3, H, W) or (B, 3, T, H, W); it has no spread, the mode is the latent."""
        latent = _framewise(self.tiny.encoder, pixels)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, latent: torch.Tensor, num_frames: int = 1) -> Any:
        """The inverse; `num_frames` is what temporal decoders are told, nothing here depends on it."""
        return SimpleNamespace(sample=_framewise(self.tiny.decoder, latent))


def _framewise(network: nn.Module, given: torch.Tensor) -> torch.Tensor:
    if given.ndim == 4:
        found: torch.Tensor = network(given)
        return found
    batch, channels, frames, *sides = given.shape
    found = network(given.movedim(2, 1).reshape(batch * frames, channels, *sides))
    return found.reshape(batch, frames, *found.shape[1:]).movedim(1, 2)


def video_autoencoder(parts: Parts, kind: str) -> nn.Module:
    """The folder's autoencoder: the family's own class, or a known tiny one.

    A vae/config.json of class AutoencoderTiny either has weights beside it, or names a known encoder as "encoder":
    small models share it and need not carry it.

    Raises:
        SurrogateError: the class is another, or the encoder that is named is not on this machine.
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
        raise SurrogateError(f"{parts.folder} is built on {known.name}, which is no {TINY}")
    return Framewise(encoder.model)
