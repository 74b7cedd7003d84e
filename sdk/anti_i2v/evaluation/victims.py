"""Victims: video models that generate videos for an evaluation and are never differentiated.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anti_i2v.errors import SurrogateError
from anti_i2v.paths import home
from anti_i2v.surrogates.encoders import encoders
from anti_i2v.surrogates.hub import MODEL_INDEX
from anti_i2v.surrogates.video_models import Role
from anti_i2v.surrogates.video_models import SmallVideoModelEntry as Victim
from anti_i2v.surrogates.video_models import small_video_models as victims

if TYPE_CHECKING:
    import torch

    from anti_i2v.surrogates.backbones.base import Backbone

__all__ = [
    "ROLES",
    "Role",
    "Victim",
    "available_victims",
    "describe_victim",
    "load_victim",
    "role_of",
    "victim_folder",
    "victims",
]

ROLES: dict[Role, str] = {
    "white-box": "the protection was optimised against this model",
    "sibling": "the protection was optimised against a model of the same family and latents, from another training run",
    "encoder": "the protection was optimised against this model's encoder, not its denoiser",
    "untouched": "the protection was optimised against neither this model nor its encoder",
    "unknown": "it is not known whether the protection was optimised against this model",
}
"""Role of a victim towards a protection -> explanation; the easiest to reach first."""


def available_victims() -> list[Victim]:
    """List the known victims whose weights and encoder are on this machine."""
    return [victim for victim in victims().values() if victim.available]


def victim_folder(name: str) -> Path | None:
    """Return the folder of a known victim, or None if it is not on this machine."""
    return victims()[name].folder


def describe_victim(name_or_folder: str | Path) -> Victim:
    """Describe a known victim, or a folder in the hub's layout, whose role is "unknown".

    Raises:
        SurrogateError: there is no such victim; the message says what to do.
    """
    if known := victims().get(str(name_or_folder)):
        return known
    from anti_i2v.surrogates.backbones.loading import FAMILIES
    from anti_i2v.surrogates.backbones.parts import settings_of

    folder = _locate(name_or_folder)
    kind = str(settings_of(folder / MODEL_INDEX).get("_class_name", ""))
    encoder = str(settings_of(folder / "vae" / "config.json").get("encoder", "its own"))
    return Victim(folder.name, FAMILIES.get(kind, kind), encoder, "unknown", "a model from a folder")


def role_of(victim: Victim, optimised_on: Sequence[str] | None = None) -> Role:
    """Return a victim's role towards one protection.

    Args:
        optimised_on: names of the surrogates (encoders and victims) that the protection was optimised on; None if
            unknown, for the role towards this package's recipes.
    """
    if optimised_on is None:
        return victim.role
    if victim.name in optimised_on:
        return "white-box"
    others = [victims()[name] for name in optimised_on if name in victims()]
    if any((other.family, other.encoder) == (victim.family, victim.encoder) for other in others):
        return "sibling"
    if victim.encoder in {*optimised_on, *(other.encoder for other in others)}:
        return "encoder"
    return "untouched"


def load_victim(
    name_or_folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> Backbone:
    """Load a victim, set to the number of frames that it was trained on.

    Args:
        dtype: None for float32, on every device, so that a seed gives the same video.

    Raises:
        SurrogateError: it is unknown, or its weights or its encoder are missing; the message says what to do.
    """
    import torch

    from anti_i2v.surrogates.backbones.loading import load_backbone, trained_frames

    folder = _locate(name_or_folder)
    known = victims().get(str(name_or_folder))
    if known is not None and not encoders()[known.encoder].available:
        raise SurrogateError(
            f"the victim {known.name} needs the encoder {known.encoder}: run `anti-i2v surrogates pull {known.encoder}`"
        )
    options: dict[str, Any] = {"frames": frames} if (frames := trained_frames(folder)) else {}
    if known is not None:
        options |= {"name": known.name, "source": known.source, "licence": known.licence}
    return load_backbone(folder, device=device, dtype=dtype or torch.float32, **options)


def _locate(name_or_folder: str | Path) -> Path:
    """Return the folder of a victim. Raises SurrogateError if there is none."""
    name = str(name_or_folder)
    if name in victims():
        folder = victim_folder(name)
        if folder is None:
            raise SurrogateError(
                f"the victim {name} is not on this machine: train it with sdk/training/victims.py into "
                f"{home() / 'victims' / name}"
            )
        return folder
    if not (Path(name) / MODEL_INDEX).is_file():
        raise SurrogateError(
            f"unknown victim {name!r}: choose from {', '.join(victims())}, or give a folder with a {MODEL_INDEX}"
        )
    return Path(name)
