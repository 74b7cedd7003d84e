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
    "LTXPipeline": "ltx",  # the same weights: Lightricks' folder says so
    "StableVideoDiffusionPipeline": "svd",
    "WanImageToVideoPipeline": "wan",
    "WanPipeline": "wan",  # 2.2 TI2V 5B makes both; those of text alone are refused
}
"""Class of the pipeline, as model_index.json says it -> the module here whose `load(parts)` builds the family; its
`context(parts)` is what the denoiser is told of the caption."""


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
    if isinstance(options.get("reference"), str) and options["reference"] == GENERATED:
        options["reference"] = generate
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


DENOISERS = ("transformer", "transformer_2", "unet", "vae", "image_encoder")
"""What stays on the device while photos are protected; text encoders go once the caption is embedded."""


def _fits(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Whether the weights fit the device's free memory. Raises SurrogateError."""
    if device.type != "cuda":
        return
    sizes = {part: weight_bytes(folder / part, dtype) for part in DENOISERS}
    sizes["transformer"] = max(sizes["transformer"], sizes.pop("transformer_2"))  # one of Wan's two is loaded
    size = sum(sizes.values())
    free, _ = torch.cuda.mem_get_info(device)
    if size > free:
        raise SurrogateError(
            f"{folder.name} has {size / 2**30:.0f} GiB of weights and {device} has {free / 2**30:.0f} GiB free: use a "
            "larger GPU, a smaller model, or --device cpu"
        )


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
