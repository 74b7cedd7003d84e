"""Image-to-video models from a folder in the hub's layout: model_index.json, and a folder for each part.

Safetensors alone are read, never a pickle. What a folder holds is compared with the SHA-256 sums that `surrogates pull`
wrote beside it (see `locks`).
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.hub_lock import check_lock
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v.surrogates.video_models import MODEL_INDEX

__all__ = ["FAMILIES", "Parts", "architecture", "load_backbone", "pretrained", "settings_of", "trained_frames"]

FAMILIES = {
    "CogVideoXImageToVideoPipeline": "cogvideox",
    "HunyuanVideoImageToVideoPipeline": "hunyuan",
    "I2VGenXLPipeline": "i2vgenxl",
    "LTXImageToVideoPipeline": "ltx",
    "LTXPipeline": "ltx",  # the same weights: Lightricks' folder says so
    "StableVideoDiffusionPipeline": "svd",
    "WanImageToVideoPipeline": "wan",
    "WanPipeline": "wan",  # 2.2 TI2V 5B makes both; those of text alone are refused
}
"""Class of the pipeline, as model_index.json says it -> the module here whose `load(parts)` builds the family; its
`context(parts)` is what the denoiser is told of the caption."""


@dataclass(frozen=True)
class Parts:
    """What a family builds itself from.

    Attributes:
        folder: in the hub's layout.
        info: where it comes from.
        caption: what the video is to show, for the text encoder.
        device, dtype: of the models.
        stage: of two denoisers, the one for "high" or "low" noise; None: the first, which single ones are.
        options: for `Backbone`: hooks, frames, checkpointing.
    """

    folder: Path
    info: SurrogateInfo
    caption: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    stage: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self, part: str, kinds: Sequence[str], library: str = "diffusers") -> nn.Module:
        """One model of the folder, frozen, on the device.

        Raises:
            SurrogateError: it is missing, of another class, or its weights are truncated or incomplete.
        """
        kind = settings_of(self.folder / part / "config.json").get("_class_name") or architecture(self.folder / part)
        if kind not in kinds:
            raise SurrogateError(f"{self.folder / part} holds a {kind or 'model of unknown class'}, not {kinds[0]}")
        model = pretrained(library, kind, self.folder / part, self.dtype)
        return model.eval().requires_grad_(False).to(self.device)

    def scheduler(self) -> Mapping[str, Any]:
        """The scheduler's settings, whose noise levels training used."""
        return settings_of(self.folder / "scheduler" / "scheduler_config.json")

    def with_room(self, part: str) -> Parts:
        """These, on the GPU where a part fits beside what is there, else on the CPU: a minute instead of a second."""
        if self.device.type != "cuda":
            return self
        size = _bytes(self.folder / part, self.dtype)
        fits = size + ROOM < torch.cuda.mem_get_info(self.device)[0]
        return self if fits else replace(self, device=torch.device("cpu"))


def load_backbone(
    folder: Path,
    *,
    name: str | None = None,
    source: str | None = None,
    licence: str = "unknown",
    caption: str = "",
    stage: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Backbone:
    """A model of any family in `FAMILIES`.

    Args:
        folder: in the hub's layout.
        caption: of the photo; its embedding is computed once and cached on disk, and the text encoder freed. Another
            one is given by `recaption`.
        stage: "high" or "low", of a model with a denoiser for each (Wan 2.2 A14B); None takes the first.
        device, dtype: where and how it runs; bfloat16 on a GPU.
        options: of `Backbone`: hooks, frames, checkpointing.

    Raises:
        SurrogateError: diffusers is missing; the folder, a part of it or a weight file is missing, truncated or not
            what was pulled; the family is not read; there is no such stage; the GPU is too small. The message says what
            to do.
    """
    index = settings_of(folder / MODEL_INDEX)
    kind = str(index.get("_class_name", ""))
    if kind not in FAMILIES:
        raise SurrogateError(
            f"{folder} holds a {kind or 'model of unknown class'}: this version reads {', '.join(FAMILIES)}"
        )
    if stage is not None and index.get("boundary_ratio") is None:  # the level at which one denoiser follows the other
        raise SurrogateError(f"{folder} has no stage {stage!r}: it has a single denoiser")
    device = torch.device(device)
    digest = check_lock(folder)
    _fits(folder, device, dtype)
    info = SurrogateInfo(
        name=name or folder.name, kind=kind, source=source or folder.name, fingerprint=digest, licence=licence
    )
    family: Any = import_module(f"anti_i2v.surrogates.backbones.{FAMILIES[kind]}")
    parts = Parts(folder, info, caption, device, dtype, stage)

    def embed(caption: str) -> dict[str, torch.Tensor]:
        asked = replace(parts, caption=caption).with_room("text_encoder")
        with torch.no_grad():
            found: Mapping[str, torch.Tensor] = family.context(asked)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # the text encoder's memory, for whoever asks next what is free
        return {name: tensor.to(device) for name, tensor in found.items()}

    model: Backbone = family.load(replace(parts, options={**options, "embed": embed}))
    model.to(device).recaption(caption)
    return model


def settings_of(file: Path) -> dict[str, Any]:
    """A JSON object of the folder. Raises SurrogateError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SurrogateError(
            f"{file.parent} has no {file.name}: a model's folder has the hub's layout, model_index.json with a folder "
            "for each part"
        ) from None
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise SurrogateError(f"{file} is not a JSON object: pull it again")
    return found


def architecture(folder: Path) -> str:
    """The class of a model of transformers. Raises SurrogateError."""
    names = settings_of(folder / "config.json").get("architectures") or [""]
    return str(names[0])


def pretrained(library: str, kind: str, folder: Path, dtype: torch.dtype) -> nn.Module:
    """A model from a folder of safetensors, by its class.

    Raises:
        SurrogateError: the library is missing, the weights are (or are pickles), truncated or incomplete.
    """
    try:
        package = import_module(library)
    except ImportError:
        raise SurrogateError(f'{folder} needs {library}: pip install "anti-i2v-sdk[backbones]"') from None
    logging.getLogger(library).setLevel(logging.ERROR)  # they warn of settings that they ignore
    package.utils.logging.disable_progress_bar()  # ours tells how a photo gets on
    if not any(folder.glob("*.safetensors")):
        raise SurrogateError(f"{folder} has no safetensors weights (pickles are never read): pull it again")
    try:
        model, loading = getattr(package, kind).from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except (OSError, TypeError, ValueError, RuntimeError, KeyError) as problem:
        first_line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        raise SurrogateError(f"{folder} cannot be loaded as {kind}: {first_line}") from None
    except Exception as problem:
        if type(problem).__name__ != "SafetensorError":
            raise
        raise SurrogateError(f"a weight file in {folder} is truncated or damaged: pull it again") from None
    if loading["missing_keys"]:  # it would go on with random numbers in their place
        raise SurrogateError(f"{folder} lacks {min(loading['missing_keys'])!r}, which {kind} needs: pull it again")
    loaded: nn.Module = model
    return loaded


ROOM = 2 * 2**30
"""Bytes that a text encoder needs beside its weights, generously."""

DENOISERS = ("transformer", "transformer_2", "unet", "vae", "image_encoder")
"""What stays on the device while photos are protected; text encoders go once the caption is embedded."""


def _fits(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Whether the weights fit the device's free memory. Raises SurrogateError."""
    if device.type != "cuda":
        return
    sizes = {part: _bytes(folder / part, dtype) for part in DENOISERS}
    sizes["transformer"] = max(sizes["transformer"], sizes.pop("transformer_2"))  # one of Wan's two is loaded
    size = sum(sizes.values())
    free, _ = torch.cuda.mem_get_info(device)
    if size > free:
        raise SurrogateError(
            f"{folder.name} has {size / 2**30:.0f} GiB of weights and {device} has {free / 2**30:.0f} GiB free: use a "
            "larger GPU, a smaller model, or --device cpu"
        )


def _bytes(part: Path, dtype: torch.dtype) -> int:
    """What a part's weights take at the precision at which they are loaded."""
    total = 0
    for file in part.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118  # no dict
    return total * dtype.itemsize


def trained_frames(folder: Path) -> int | None:
    """Latent frames that the model was trained on, where its denoiser's configuration says so."""
    for part in ("transformer", "unet"):
        if (folder / part / "config.json").is_file():
            settings = settings_of(folder / part / "config.json")
            if "sample_frames" in settings:
                together = int(settings.get("temporal_compression_ratio", 1))
                return (int(settings["sample_frames"]) - 1) // together + 1
            if settings.get("num_frames"):
                return int(settings["num_frames"])
    return None
