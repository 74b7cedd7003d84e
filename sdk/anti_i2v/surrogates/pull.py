"""The small video models that this project trained: which there are, and where. Light.

They are the victims of an evaluation. One of them is also a surrogate: recipes take steps on it, beside encoders, at a
tenth of an encoder's cost. The others stay untouched, so that an evaluation says something of transfer.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from anti_i2v.paths import home
from anti_i2v.surrogates.video_models import MODEL_INDEX

__all__ = ["OWN_WEIGHTS", "WHITE_BOX", "Role", "Victim", "victim_folder", "victims"]

Role: TypeAlias = Literal["white-box", "sibling", "encoder", "untouched", "unknown"]

WHITE_BOX: Role = "white-box"

OWN_WEIGHTS = {"source": "trained by this project", "licence": "Apache-2.0"}
"""What is said of their weights."""


class Victim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One victim that is known by name.

    Attributes:
        family: whose architecture it has.
        encoder: the known surrogate whose latents it works on.
        role: towards the recipes that the package ships; one of `ROLES`.
        summary: what it is, in plain words.
    """

    name: str
    family: str
    encoder: str
    role: Role
    summary: str


@cache
def victims() -> dict[str, Victim]:
    """Name -> victim, from data/victims.toml, the easiest to spoil first."""
    text = resources.files("anti_i2v").joinpath("data/victims.toml").read_bytes()
    return {victim.name: victim for victim in msgspec.toml.decode(text, type=dict[str, list[Victim]])["victim"]}


def victim_folder(name: str) -> Path | None:
    """The folder of a known victim: under the home folder (trained by one command), else in the package; or None."""
    packaged = Path(str(resources.files("anti_i2v").joinpath("data", "victims", name)))
    for folder in (home() / "victims" / name, packaged):
        if (folder / MODEL_INDEX).is_file():
            return folder
    return None
