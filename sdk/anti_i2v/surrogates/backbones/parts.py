"""The parts of an image-to-video model's folder in the hub's layout: their settings and weights, and how they load.

Only safetensors are read, never a pickle.
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
from anti_i2v.surrogates.info import SurrogateInfo

__all__ = ["Parts", "architecture", "pretrained", "settings_of", "weight_bytes"]

ROOM = 2 * 2**30
"""Bytes that a text encoder needs beside its weights, a generous estimate."""


@dataclass(frozen=True)
class Parts:
    """A model's folder, and the settings with which its parts are loaded.

    Attributes:
        folder: in the hub's layout.
        info: the model's name, source, fingerprint and licence.
        caption: description of the video, for the text encoder.
        device, dtype: device and dtype of the models.
        stage: "high" or "low", the noise that the wanted one of two denoisers covers; None: the first or only one.
        options: arguments of `Backbone`: hooks, frames, checkpointing.
    """

    folder: Path
    info: SurrogateInfo
    caption: str = ""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    stage: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self, part: str, kinds: Sequence[str], library: str = "diffusers") -> nn.Module:
        """Load one model of the folder, frozen, onto the device.

        Raises:
            SurrogateError: it is missing, of another class, or its weights are truncated or incomplete.
        """
        kind = settings_of(self.folder / part / "config.json").get("_class_name") or architecture(self.folder / part)
        if kind not in kinds:
            raise SurrogateError(f"{self.folder / part} holds a {kind or 'model of unknown class'}, not {kinds[0]}")
        model = pretrained(library, kind, self.folder / part, self.dtype)
        return model.eval().requires_grad_(False).to(self.device)

    def scheduler(self) -> Mapping[str, Any]:
        """Read the scheduler's settings, which hold the noise levels of training."""
        return settings_of(self.folder / "scheduler" / "scheduler_config.json")

    def with_room(self, part: str) -> Parts:
        """Return these parts on the GPU if the named one fits into its free memory, else on the slower CPU."""
        if self.device.type != "cuda":
            return self
        size = weight_bytes(self.folder / part, self.dtype)
        fits = size + ROOM < torch.cuda.mem_get_info(self.device)[0]
        return self if fits else replace(self, device=torch.device("cpu"))


def settings_of(file: Path) -> dict[str, Any]:
    """Read a JSON object of the folder. Raises SurrogateError."""
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
    """Read the class of a model of transformers. Raises SurrogateError."""
    names = settings_of(folder / "config.json").get("architectures") or [""]
    return str(names[0])


def pretrained(library: str, kind: str, folder: Path, dtype: torch.dtype) -> nn.Module:
    """Load a model of a class from a folder of safetensors.

    Raises:
        SurrogateError: the library is missing, or the weights are missing, pickles, truncated or incomplete.
    """
    try:
        package = import_module(library)
    except ImportError:
        raise SurrogateError(f'{folder} needs {library}: pip install "anti-i2v-sdk[backbones]"') from None
    logging.getLogger(library).setLevel(logging.ERROR)  # they warn about settings that they ignore
    package.utils.logging.disable_progress_bar()  # we report progress ourselves
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
    if loading["missing_keys"]:  # the library would fill them with random numbers
        raise SurrogateError(f"{folder} lacks {min(loading['missing_keys'])!r}, which {kind} needs: pull it again")
    loaded: nn.Module = model
    return loaded


def weight_bytes(part: Path, dtype: torch.dtype) -> int:
    """Count the bytes of a part's weights at the precision of loading."""
    total = 0
    for file in part.glob("*.safetensors"):
        with safe_open(file, framework="pt") as tensors:
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118  # no dict
    return total * dtype.itemsize
