"""Latent encoders from diffusers, from a local folder in the hub's layout: AutoencoderTiny, AutoencoderKL, and
AutoencoderKLCogVideoX, which encodes the photo as a video of one frame.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.base import DenoiserInputs, Features, Surrogate, SurrogateInfo
from anti_i2v.surrogates.hub import CONFIG, WEIGHTS
from anti_i2v.tensors import Feature, Pixels

__all__ = ["CLASSES", "Autoencoder", "fingerprint", "load_autoencoder"]


@final
class Autoencoder(Surrogate):
    """A diffusers autoencoder as a surrogate: its latent, its encoder's stages as hook points, its decoder.

    Args:
        model: one of `CLASSES`.
        info: where it comes from.
        hooks: names of modules under `model.encoder` whose outputs become features, beside "latent".
    """

    decodes: ClassVar[bool] = True
    model: Any  # diffusers ships no type information

    def __init__(self, model: nn.Module, info: SurrogateInfo, hooks: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.info = info
        kind = type(model).__name__
        self.tiny, self.video = kind == "AutoencoderTiny", kind == "AutoencoderKLCogVideoX"
        stages = self.model.config.encoder_block_out_channels if self.tiny else self.model.config.block_out_channels
        self.multiple = 2 ** (len(stages) - 1)
        # AutoencoderTiny's own latents are at the scale of its model's denoiser already.
        self.latent_scale = 1.0 if self.tiny else float(self.model.config.scaling_factor)
        self._captured: dict[str, torch.Tensor] = {}
        modules = dict(self.model.encoder.named_modules())
        for name in hooks:
            if name not in modules:
                raise SurrogateError(
                    f"{info.name} has no encoder layer {name!r}: choose from {', '.join(filter(None, modules))}"
                )
            modules[name].register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            # Layers of video autoencoders give their convolutions' cache as well.
            self._captured[name] = output[0] if isinstance(output, tuple) else output

        return hook

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        # channels_last only where the weights have it: a video's layers view what they are given as channels first.
        layout = torch.contiguous_format if self.video else torch.channels_last
        given = self.normalised(pixels).to(self.model.dtype).contiguous(memory_format=layout)
        self._captured.clear()
        if self.tiny:
            latent = self.model.encoder(given)
        else:
            # The mode of the posterior: what image-to-video pipelines take as their condition.
            posterior = self.model.encode(given.unsqueeze(2) if self.video else given).latent_dist
            latent = posterior.mode() * self.latent_scale
        captured, self._captured = self._captured, {}
        return {name: value.to(pixels.dtype) for name, value in ({"latent": latent} | captured).items()}

    def decode(self, latent: Feature) -> Pixels:
        typed = latent.to(self.model.dtype)
        decoded = self.model.decoder(typed) if self.tiny else self.model.decode(typed / self.latent_scale).sample
        if self.video:
            decoded = decoded[:, :, 0]
        pixels: Pixels = decoded.to(latent.dtype).add(1).div(2)
        return pixels


CLASSES = ("AutoencoderTiny", "AutoencoderKL", "AutoencoderKLCogVideoX")


def fingerprint(weights: Path) -> str:
    """SHA-256 over names, shapes and values of a safetensors file, the values as fp16.

    It pins what a model computes, whichever precision a hub stores it in: an fp32 file and its fp16 copy agree.

    Raises:
        SurrogateError: the file is not safetensors.
    """
    digest = hashlib.sha256()
    try:
        with safe_open(weights, framework="pt") as tensors:
            for name in sorted(tensors.keys()):
                value = tensors.get_tensor(name).to(torch.float16).contiguous()
                digest.update(f"{name}{tuple(value.shape)}".encode())
                digest.update(value.numpy().tobytes())
    except SafetensorError:
        raise SurrogateError(f"{weights} is not a safetensors file: pull it again") from None
    return digest.hexdigest()


def load_autoencoder(
    folder: Path,
    *,
    name: str | None = None,
    pinned: str | None = None,
    licence: str = "unknown",
    source: str | None = None,
    hooks: tuple[str, ...] = (),
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Autoencoder:
    """Load a folder that holds config.json and safetensors weights; pickles are never read.

    Raises:
        SurrogateError: diffusers is not installed; the folder, its config or its weights are missing or unfit; the
            weights' fingerprint is not the pinned one.
    """
    weights, config = folder / WEIGHTS, folder / CONFIG
    if not config.is_file() or not weights.is_file():
        raise SurrogateError(
            f"no surrogate at {folder}: it needs config.json and {WEIGHTS} (safetensors, not a pickle)"
        )
    digest = fingerprint(weights)
    if pinned is not None and digest != pinned:
        raise SurrogateError(
            f"{weights} is not the pinned file (its fingerprint is {digest[:8]}..., not {pinned[:8]}...): pull it again"
        )
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("_class_name", "")
    except (ValueError, AttributeError):
        raise SurrogateError(f"{config} is not a diffusers config: {config.name} must be a JSON object") from None
    if kind not in CLASSES:
        raise SurrogateError(
            f"{folder} holds a {kind or 'model of unknown class'}: this version reads {', '.join(CLASSES)}"
        )
    try:
        import diffusers
    except ImportError:
        raise SurrogateError(f'{folder} needs diffusers: pip install "anti-i2v-sdk[backbones]"') from None
    # diffusers warns of config entries that it ignores and of an optional package; neither concerns the person here.
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        model, loading = getattr(diffusers, kind).from_pretrained(
            folder,
            torch_dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
    except (OSError, TypeError, ValueError, RuntimeError) as problem:
        first_line = str(problem).strip().splitlines()[0]
        raise SurrogateError(f"{folder} cannot be loaded as {kind}: {first_line}") from None
    if loading["missing_keys"]:  # diffusers would go on with random numbers in their place
        missing = min(loading["missing_keys"])
        raise SurrogateError(f"{weights} lacks {missing!r}, which {kind} needs: pull it again")
    info = SurrogateInfo(
        name=name or folder.name, kind=kind, source=source or folder.name, fingerprint=digest, licence=licence
    )
    # channels_last: 1.2 to 1.6 times faster on a CPU, never slower where it was measured. Videos have no such layout.
    layout = torch.preserve_format if kind == "AutoencoderKLCogVideoX" else torch.channels_last
    return Autoencoder(model.to(device=device, memory_format=layout), info, hooks)
