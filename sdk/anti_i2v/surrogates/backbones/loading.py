"""Load an image-to-video model of any family from a folder in the hub's layout.

The files are compared with the SHA-256 sums that `surrogates pull` wrote beside them (see `hub_lock`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.backbones.base import Backbone
from anti_i2v.surrogates.backbones.hub_lock import check_lock
from anti_i2v.surrogates.backbones.parts import Parts, settings_of, weight_bytes
from anti_i2v.surrogates.backbones.video_generation import generate
from anti_i2v.surrogates.hub import MODEL_INDEX
from anti_i2v.surrogates.info import SurrogateInfo
from anti_i2v.surrogates.reference_video import GENERATED

__all__ = ["FAMILIES", "load_backbone", "trained_frames"]

FAMILIES = {
    "CogVideoXImageToVideoPipeline": "cogvideox",
    "HunyuanVideoImageToVideoPipeline": "hunyuan",
    "I2VGenXLPipeline": "i2vgenxl",
    "LTXImageToVideoPipeline": "ltx",
    "LTXPipeline": "ltx",  # the class in Lightricks' folder, for the same weights
    "StableVideoDiffusionPipeline": "svd",
    "WanImageToVideoPipeline": "wan",
    "WanPipeline": "wan",  # 2.2 TI2V 5B; text-to-video models of this class are refused
}
"""Pipeline class in model_index.json -> module of the family. Its `load(parts)` builds the model, and its
`context(parts)` embeds the caption."""


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
    """Load a model of any family in `FAMILIES`.

    Args:
        folder: in the hub's layout.
        caption: caption of the photo. Its embedding is cached on disk, the text encoder freed; `recaption` replaces it.
        stage: "high" or "low", for a model with a denoiser for each (Wan 2.2 A14B); None loads the first.
        device, dtype: where and how it runs; bfloat16 on a GPU.
        options: arguments of `Backbone`: hooks, frames, checkpointing, and reference, which may be "generated".

    Raises:
        SurrogateError: diffusers is missing; a part of the folder is missing, truncated or changed since the pull; the
            family is unknown; there is no such stage; the GPU is too small. The message says what to do.
    """
    index = settings_of(folder / MODEL_INDEX)
    kind = str(index.get("_class_name", ""))
    if kind not in FAMILIES:
        raise SurrogateError(
            f"{folder} holds a {kind or 'model of unknown class'}: this version reads {', '.join(FAMILIES)}"
        )
    two_denoisers = index.get("boundary_ratio") is not None  # the noise level at which the second one takes over
    if stage is not None and not two_denoisers:
        raise SurrogateError(f"{folder} has no stage {stage!r}: it has a single denoiser")
    device = torch.device(device)
    digest = check_lock(folder)
    _check_memory(folder, device, dtype)
    info = SurrogateInfo(
        name=name or folder.name, kind=kind, source=source or folder.name, fingerprint=digest, licence=licence
    )
    family: Any = import_module(f"anti_i2v.surrogates.backbones.{FAMILIES[kind]}")
    if isinstance(options.get("reference"), str) and options["reference"] == GENERATED:
        options["reference"] = generate
    parts = Parts(folder, info, caption, device, dtype, stage)

    def embed(caption: str) -> dict[str, torch.Tensor]:
        captioned = replace(parts, caption=caption).with_room("text_encoder")
        with torch.no_grad():
            context: Mapping[str, torch.Tensor] = family.context(captioned)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # returns the text encoder's memory to the device
        return {name: tensor.to(device) for name, tensor in context.items()}

    model: Backbone = family.load(replace(parts, options={**options, "embed": embed}))
    model.to(device).recaption(caption)
    return model


DENOISERS = ("transformer", "transformer_2", "unet", "vae", "image_encoder")
"""The parts that stay on the device while photos are protected. Text encoders are freed."""


def _check_memory(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Raise SurrogateError unless the weights fit into the device's free memory."""
    if device.type != "cuda":
        return
    sizes = {part: weight_bytes(folder / part, dtype) for part in DENOISERS}
    sizes["transformer"] = max(sizes["transformer"], sizes.pop("transformer_2"))  # only one of Wan's two is loaded
    size = sum(sizes.values())
    free, _ = torch.cuda.mem_get_info(device)
    if size > free:
        raise SurrogateError(
            f"{folder.name} has {size / 2**30:.0f} GiB of weights and {device} has {free / 2**30:.0f} GiB free: use a "
            "larger GPU, a smaller model, or --device cpu"
        )


def trained_frames(folder: Path) -> int | None:
    """Read the number of latent frames of the training from the denoiser's configuration; None if it is not there."""
    for part in ("transformer", "unet"):
        if (folder / part / "config.json").is_file():
            settings = settings_of(folder / part / "config.json")
            if "sample_frames" in settings:
                together = int(settings.get("temporal_compression_ratio", 1))
                return (int(settings["sample_frames"]) - 1) // together + 1
            if settings.get("num_frames"):
                return int(settings["num_frames"])
    return None
