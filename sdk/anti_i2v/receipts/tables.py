"""Margins, bands and fixed sentences of a receipt, read from `data/receipt.toml`."""

from __future__ import annotations

from importlib import resources
from typing import TypeAlias

import msgspec

__all__ = ["MARGINS", "TABLES", "Bands", "Measure", "Sentences", "Tables"]

Band: TypeAlias = tuple[float, str]
"""End of a range of values, and the words for it."""


class Measure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that an `Effect` holds beside that of the random control.

    Attributes:
        field: name of a field of `Effect`.
        title, decimals, meaning: how to show it.
        margin: difference to the control that counts as more; below 0, lower is more damage.
    """

    field: str
    title: str
    decimals: int
    margin: float
    meaning: str


class Bands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words for ranges of the numbers of `Imperceptibility`.

    Attributes:
        smooth_areas, colour: by upper end, rising.
        structure: by lower end of SSIM, falling.
        no_smooth_areas: for a photo without smooth areas.
    """

    smooth_areas: tuple[Band, ...]
    no_smooth_areas: str
    colour: tuple[Band, ...]
    structure: tuple[Band, ...]


class Sentences(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sentences that every view of a receipt shares; `{}` stands for a number."""

    weak: str
    same_person: str
    measured_on: str
    video_models: str
    platforms: str


class Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file.

    Attributes:
        same_person: lowest face similarity of two photos of one person.
        changes: change of a `Survival` -> its name for people; presets are not listed.
    """

    same_person: float
    measures: tuple[Measure, ...]
    bands: Bands
    changes: dict[str, str]
    sentences: Sentences


def _load() -> Tables:
    text = resources.files("anti_i2v").joinpath("data", "receipt.toml").read_text(encoding="utf-8")
    return msgspec.toml.decode(text, type=Tables)


TABLES = _load()

MARGINS = {measure.field: measure.margin for measure in TABLES.measures}
"""Field of `Effect` -> `Measure.margin`."""
