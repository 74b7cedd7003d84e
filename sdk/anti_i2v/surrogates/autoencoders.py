"""Autoencoders of diffusers as surrogates: AutoencoderTiny, AutoencoderKL and AutoencoderKLCogVideoX.

AutoencoderKLCogVideoX encodes the photo as a video of one frame.
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
    """A diffusers autoencoder as a surrogate: its latent, its encoder's layers as hook points, its decoder.

    Args:
        model: one of `CLASSES`.
        info: its name, source, fingerprint and licence.
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
        # AutoencoderTiny's latents already have the denoiser's scale.
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
            # Layers of video autoencoders also return their convolutions' cache.
            self._captured[name] = output[0] if isinstance(output, tuple) else output

        return hook

    def features(self, pixels: Pixels, inputs: DenoiserInputs | None = None) -> Features:
        # Layers of video autoencoders call `view` on tensors in channels-first layout.
        layout = torch.contiguous_format if self.video else torch.channels_last
        scaled = self.normalised(pixels).to(self.model.dtype).contiguous(memory_format=layout)
        self._captured.clear()
        if self.tiny:
            latent = self.model.encoder(scaled)
        else:
            # The posterior's mode, which image-to-video pipelines condition on.
            posterior = self.model.encode(scaled.unsqueeze(2) if self.video else scaled).latent_dist
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
    """Hash the names, shapes and values of a safetensors file with SHA-256, the values as fp16.

    The hash does not depend on the stored precision: an fp32 file and its fp16 copy agree.

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
    """Load an autoencoder from a folder with config.json and safetensors weights. Pickles are never read.

    Args:
        pinned: the fingerprint that the weights must have; None accepts any.
        hooks: see `Autoencoder`.

    Raises:
        SurrogateError: diffusers is not installed; the folder, its config or its weights are missing or unusable; the
            fingerprint is not the pinned one.
    """
    digest, kind = _checked(folder, pinned)
    model = _pretrained(folder, kind, dtype)
    info = SurrogateInfo(
        name=name or folder.name, kind=kind, source=source or folder.name, fingerprint=digest, licence=licence
    )
    # channels_last was 1.2 to 1.6 times faster on a CPU. Videos have no such layout.
    layout = torch.preserve_format if kind == "AutoencoderKLCogVideoX" else torch.channels_last
    return Autoencoder(model.to(device=device, memory_format=layout), info, hooks)


def _checked(folder: Path, pinned: str | None) -> tuple[str, str]:
    """Check a folder's files, and return their fingerprint and class. Raises SurrogateError."""
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
    return digest, kind


def _pretrained(folder: Path, kind: str, dtype: torch.dtype) -> Any:
    """Load one of diffusers' classes. Raises SurrogateError."""
    try:
        import diffusers
    except ImportError:
        raise SurrogateError(f'{folder} needs diffusers: pip install "anti-i2v-sdk[backbones]"') from None
    # diffusers warns about ignored config entries and an optional package, which users need not see.
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
    if loading["missing_keys"]:  # diffusers would fill them with random numbers
        missing = min(loading["missing_keys"])
        raise SurrogateError(f"{folder / WEIGHTS} lacks {missing!r}, which {kind} needs: pull it again")
    return model
