"""Image-to-video models that are known by name, or that a folder holds: where they are, and how they load.

Importing this module does not import torch.

There are two kinds: whole models from the hub, and small ones that this project trained. An evaluation generates videos
with the small ones. Recipes optimise on one of them, beside encoders, at a tenth of an encoder's cost; the others
stay unseen, so that an evaluation measures transfer.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, final

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home
from anti_i2v.surrogates.encoders import encoders
from anti_i2v.surrogates.hub import MODEL_INDEX, HubEntry

if TYPE_CHECKING:
    import torch

    from anti_i2v.surrogates.backbones.base import Backbone
    from anti_i2v.surrogates.windowed import Windowed

__all__ = ["Role", "SmallVideoModelEntry", "VideoModelEntry", "small_video_models", "video_models"]

Role: TypeAlias = Literal["white-box", "sibling", "encoder", "untouched", "unknown"]
"""A small model's role towards the shipped recipes; `evaluation.victims.ROLES` explains each."""


@final
class VideoModelEntry(HubEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole image-to-video model, not loaded. Photos may be optimised on it."""

    role: ClassVar[str] = "surrogate"
    place: ClassVar[str] = "models"
    marker: ClassVar[str] = MODEL_INDEX
    size: ClassVar[str] = "tens of gigabytes"
    is_video_model: ClassVar[bool] = True
    pulled_by_default: ClassVar[bool] = False

    def load(
        self, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, **backbone: Any
    ) -> Backbone:
        """Load it.

        Args:
            dtype: None: bfloat16 on a GPU, else float32.
            backbone: see `load_backbone`.

        Raises:
            SurrogateError: it is not on this machine or unusable.
        """
        import torch

        from anti_i2v.surrogates.backbones.loading import load_backbone

        folder = self.locate()
        return load_backbone(
            folder,
            name=self.name,
            source=self.hub or folder.name,
            licence=self.licence,
            device=device,
            dtype=dtype or (torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32),
            **backbone,
        )


@final
class SmallVideoModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A small image-to-video model that this project trained (sdk/training/victims.py), not loaded.

    Attributes:
        name: as in `anti-i2v surrogates list`.
        family: model family whose architecture it has.
        encoder: the known encoder whose latents it works on.
        role: role towards the shipped recipes, such as "white-box".
        summary: a description in plain words.
    """

    name: str
    family: str
    encoder: str
    role: Role
    summary: str

    is_video_model: ClassVar[bool] = True
    source: ClassVar[str] = "trained by this project"
    licence: ClassVar[str] = "Apache-2.0"

    @property
    def folder(self) -> Path | None:
        """Its folder: under the home folder if it was trained there, else in the package; None if it is in neither."""
        packaged = Path(str(resources.files("anti_i2v").joinpath("data", "victims", self.name)))
        for folder in (home() / "victims" / self.name, packaged):
            if (folder / MODEL_INDEX).is_file():
                return folder
        return None

    @property
    def available(self) -> bool:
        """Whether it and its encoder are on this machine."""
        return self.folder is not None and encoders()[self.encoder].available

    @property
    def optimisable(self) -> bool:
        """Whether photos may be optimised on it; False keeps it unseen, for evaluation."""
        return self.role == "white-box"

    def locate(self) -> Path:
        """Return its folder. Raises SurrogateError if it is missing or kept for evaluation."""
        if not self.optimisable:
            allowed = ", ".join(each.name for each in small_video_models().values() if each.optimisable)
            raise SurrogateError(
                f"{self.name} is kept for evaluation, so that evaluations measure transfer: take {allowed}"
            )
        if self.folder is None:
            raise SurrogateError(f"{self.name} is not on this machine: sdk/training/README.md describes the training")
        if not self.available:
            raise SurrogateError(f"{self.name} works on {self.encoder}: run `anti-i2v surrogates pull {self.encoder}`")
        return self.folder

    def load(
        self,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        hooks: tuple[str, ...] = (),
        **backbone: Any,
    ) -> Windowed:
        """Load it for windows of photos of any size; other options of video models (`backbone`) have no effect.

        Args:
            dtype: None: float32.

        Raises:
            SurrogateError: it is kept for evaluation, or it or its encoder is not on this machine.
        """
        import torch

        from anti_i2v.surrogates.backbones.loading import load_backbone
        from anti_i2v.surrogates.windowed import FRAMES, Windowed

        return Windowed(
            load_backbone(
                self.locate(),
                name=self.name,
                source=self.source,
                licence=self.licence,
                frames=FRAMES,
                hooks=hooks,
                device=device,
                dtype=dtype or torch.float32,
            )
        )


@cache
def video_models() -> dict[str, VideoModelEntry]:
    """Read the known whole models from data/models.toml, by name."""
    text = resources.files("anti_i2v").joinpath("data/models.toml").read_bytes()
    return {model.name: model for model in msgspec.toml.decode(text, type=dict[str, list[VideoModelEntry]])["model"]}


@cache
def small_video_models() -> dict[str, SmallVideoModelEntry]:
    """Read the project's own models from data/victims.toml, by name, the easiest to disrupt first."""
    text = resources.files("anti_i2v").joinpath("data/victims.toml").read_bytes()
    table = msgspec.toml.decode(text, type=dict[str, list[SmallVideoModelEntry]])
    return {model.name: model for model in table["victim"]}
