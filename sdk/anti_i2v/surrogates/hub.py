"""Files in the layout of the Hugging Face hub: their names, downloads, and folders that appear whole or not at all.

Importing this module does not import torch.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home

__all__ = [
    "CONFIG",
    "DOWNLOAD_PATTERNS",
    "HUB_NAME",
    "MODEL_INDEX",
    "SKIPPED_PATTERNS",
    "WEIGHTS",
    "HubEntry",
    "download",
    "fetch_atomically",
    "hub_client",
]

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""owner/repository. A relative path of two parts looks the same, so folders are tried first."""

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
"""The two files of an encoder's folder."""

MODEL_INDEX = "model_index.json"
"""Marks the folder of a whole image-to-video model, with a folder for each part."""

DOWNLOAD_PATTERNS = [MODEL_INDEX, "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model"]
"""Files of a video model that are read."""

SKIPPED_PATTERNS = ["*.fp16.safetensors", "*.bf16.safetensors", "*.non_ema.safetensors"]
"""Copies of the same weights in another precision."""


class HubEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of a hub repository, or of a folder in the hub's layout; not loaded.

    Attributes:
        name: as in `anti-i2v surrogates list`, or the folder's name.
        hub: its repository; "" for a folder.
        family: its architecture and latents.
        licence: licence of the weights.
        path: folder that was named instead of a known model.
    """

    name: str
    hub: str = ""
    family: str = ""
    licence: str = "unknown"
    path: Path | None = None

    place: ClassVar[str]
    """Where it is kept in the home folder."""
    marker: ClassVar[str]
    """The file by which its folder is recognised."""
    size: ClassVar[str]
    """Of a download."""
    is_video_model: ClassVar[bool]

    @property
    def home_folder(self) -> Path:
        """The folder into which it is pulled."""
        return home() / self.place / self.name

    @property
    def folder(self) -> Path | None:
        """Its folder, or None if it is not on this machine."""
        if self.path is not None:
            return self.path
        return self.home_folder if (self.home_folder / self.marker).is_file() else None

    @property
    def available(self) -> bool:
        """Whether it is on this machine."""
        return self.folder is not None

    def locate(self) -> Path:
        """Return its folder. Raises SurrogateError if it is not on this machine."""
        if self.folder is None:
            raise SurrogateError(f"{self.name} is not on this machine: run `anti-i2v surrogates pull {self.name}`")
        return self.folder


def hub_client(need: str) -> Any:
    """Import huggingface_hub.

    Args:
        need: the feature that needs it, for the error.

    Raises:
        SurrogateError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise SurrogateError(f'{need} needs huggingface-hub: pip install "anti-i2v-sdk[backbones]"') from None
    return huggingface_hub


def download(repository: str, wanted: Sequence[str], unwanted: Sequence[str] = ()) -> Path:
    """Download files of a hub repository into the hub client's cache, and return their folder.

    Args:
        wanted, unwanted: patterns of file names.

    Raises:
        SurrogateError: the repository cannot be downloaded.
    """
    hub = hub_client(repository)
    try:
        return Path(hub.snapshot_download(repository, allow_patterns=list(wanted), ignore_patterns=list(unwanted)))
    except Exception as problem:  # the hub's client has no common error for "cannot be reached"
        raise SurrogateError(
            f"{repository} is not a local folder and could not be downloaded ({type(problem).__name__}): check the name"
        ) from None


def fetch_atomically(target: Path, fetch: Callable[[Path], None]) -> Path:
    """Create or replace a folder completely or not at all.

    Args:
        fetch: creates and fills the folder at the path that it receives. If it raises, nothing changes.

    Raises:
        SurrogateError: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / target.name
            fetch(fresh)
            shutil.rmtree(fresh / ".cache", ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            fresh.replace(target)
    except OSError as problem:
        raise SurrogateError(
            f"{target} cannot be written ({problem.strerror}): check your permissions and the space that is left, or "
            "name another folder in ANTI_I2V_HOME"
        ) from None
    return target
