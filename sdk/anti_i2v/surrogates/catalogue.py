"""The catalogue of surrogates: every model that can be named, by kind.

    resolve("taesd").available
    resolve("taesd").load(device="cuda")

An entry knows its folder and how to load the model. Importing this module and resolving a name load nothing.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, final

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.surrogates.encoders import EncoderEntry, EncoderRole, encoders
from anti_i2v.surrogates.hub import (
    CONFIG,
    DOWNLOAD_PATTERNS,
    HUB_NAME,
    MODEL_INDEX,
    SKIPPED_PATTERNS,
    WEIGHTS,
    download,
)
from anti_i2v.surrogates.info import STUDENT, STUDENT_ROLE
from anti_i2v.surrogates.video_models import SmallVideoModelEntry, VideoModelEntry, small_video_models, video_models

if TYPE_CHECKING:
    import torch

    from anti_i2v.surrogates.base import Surrogate
    from anti_i2v.surrogates.student import Student

__all__ = [
    "STUDENT",
    "STUDENT_ROLE",
    "EncoderEntry",
    "Entry",
    "SmallVideoModelEntry",
    "StudentEntry",
    "VideoModelEntry",
    "available_encoders",
    "catalogue",
    "encoders",
    "exportable",
    "load_surrogate",
    "resolve",
    "small_video_models",
    "video_models",
]


@final
class StudentEntry(msgspec.Struct, frozen=True):
    """The student that the package ships, not loaded."""

    name: ClassVar[str] = STUDENT
    role: ClassVar[str] = STUDENT_ROLE
    family: ClassVar[str] = "a small network that imitates the surrogates"
    licence: ClassVar[str] = "Apache-2.0"
    available: ClassVar[bool] = True
    is_video_model: ClassVar[bool] = False

    @property
    def folder(self) -> Path:
        """The package's data."""
        return Path(str(resources.files("anti_i2v").joinpath("data")))

    def locate(self) -> Path:
        """Return the folder."""
        return self.folder

    def load(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        hooks: tuple[str, ...] = (),
        **backbone: Any,
    ) -> Student:
        """Load it in float32; options other than `device` have no effect.

        Raises:
            SurrogateError: hooks are given, of which it has none.
        """
        if hooks:
            raise SurrogateError(f"{STUDENT} has no hook points: leave anchor_layers at latent")
        from anti_i2v.surrogates.student import load_student

        return load_student(device)


Entry: TypeAlias = StudentEntry | EncoderEntry | SmallVideoModelEntry | VideoModelEntry


def catalogue() -> dict[str, Entry]:
    """Map the name of every known surrogate to its entry."""
    return {STUDENT: StudentEntry(), **encoders(), **small_video_models(), **video_models()}


def exportable() -> dict[str, Entry]:
    """Map names to the entries that the ONNX engine can run: all but whole video models."""
    return {STUDENT: StudentEntry(), **encoders(), **small_video_models()}


def available_encoders(role: EncoderRole = "surrogate") -> list[str]:
    """List the known encoders of a role that are on this machine."""
    return [entry.name for entry in encoders().values() if entry.role == role and entry.available]


def resolve(name_or_folder: str | Path) -> Entry:
    """Find a surrogate by name, folder or hub name (owner/repository, which is downloaded unpinned).

    Raises:
        SurrogateError: it is unknown, or cannot be downloaded.
    """
    name = str(name_or_folder)
    if known := catalogue().get(name):
        return known
    if Path(name).is_dir():
        folder = Path(name)
    elif HUB_NAME.fullmatch(name):
        folder = _from_hub(name)
    else:
        choices = ", ".join([STUDENT, *encoders(), *video_models()])
        raise SurrogateError(f"unknown surrogate {name!r}: give a folder, or one of {choices}")
    kind = VideoModelEntry if (folder / MODEL_INDEX).is_file() else EncoderEntry
    return kind(name=folder.name, path=folder)


def load_surrogate(
    name_or_folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    hooks: tuple[str, ...] = (),
    **backbone: Any,
) -> Surrogate:
    """Load a surrogate by name, folder or hub name.

    Args:
        dtype: None: float32, and bfloat16 for whole video models on a GPU.
        hooks: hook points whose features are wanted, beside the latent.
        backbone: for whole video models: see `load_backbone`.

    Raises:
        SurrogateError: it is unknown, not on this machine or unusable; the message says what to do.
    """
    return resolve(name_or_folder).load(device=device, dtype=dtype, hooks=hooks, **backbone)


def _from_hub(repository: str) -> Path:
    """Download an encoder's config and weights, or all parts of a whole video model, into the hub client's cache."""
    folder = download(repository, [CONFIG, WEIGHTS, MODEL_INDEX])
    return download(repository, DOWNLOAD_PATTERNS, SKIPPED_PATTERNS) if (folder / MODEL_INDEX).is_file() else folder
