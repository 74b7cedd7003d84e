"""A photo with its protected version, and what victims are shown of them: random controls too, and after changes.

Changes are made at the photo's own size, so that is where controls are drawn as well, as strong in the victims' view as
the protection is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import PhotoError
from anti_i2v.evaluation.crops import Square, choose_square, crop_square, retained_energy
from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS, averaged
from anti_i2v.evaluation.results import ConditionName, CropResult
from anti_i2v.evaluation.validity_checks import Fingerprint, fingerprint
from anti_i2v.evaluation.video_metrics import Instruments
from anti_i2v.images.decode import open_photo
from anti_i2v.images.photo import Photo
from anti_i2v.metrics.imperceptibility import psnr
from anti_i2v.metrics.random_controls import paste_perturbation, random_levels, random_psnr

__all__ = ["COMPARED", "POSTED_EDGE", "Sample", "Shown", "sample", "show"]


COMPARED: tuple[ConditionName, ...] = ("clean", "protected", "random_psnr")
"""Conditions that go through changes."""

POSTED_EDGE = 1600
"""Larger photos are shrunk to this long edge before anything else: 64 bilateral filters of 12 megapixels take long."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo and its protected version, (H, W, 3) uint8 of one size; see `sample`.

    Attributes:
        second: another protected version of it, for the adversary who averages two; or None.
        known: what tells whether the photo is one that victims were trained on.
    """

    clean: Rgb8 = field(repr=False)
    protected: Rgb8 = field(repr=False)
    second: Rgb8 | None = field(default=None, repr=False)
    known: Fingerprint = field(kw_only=True, repr=False)


def sample(clean: Any, protected: Any, second: Any = None) -> Sample:
    """From paths, bytes, PIL images or uint8 arrays.

    Raises:
        PhotoError: one cannot be read, or the sizes differ.
    """
    before, after = _pixels(clean), _pixels(protected)
    other = None if second is None else _pixels(second)
    for photo in (after, other):
        if photo is not None and photo.shape != before.shape:
            sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (before, photo))
            raise PhotoError(f"an evaluation needs photos of one size, got {sizes}: give those from before upload")
    file = clean if isinstance(clean, bytes) else Path(clean).read_bytes() if isinstance(clean, (str, Path)) else None
    return Sample(before, after, other, known=fingerprint(before, file))


def _pixels(source: Any) -> Rgb8:
    return (source if isinstance(source, Photo) else open_photo(source)).pixels


@dataclass(frozen=True, eq=False)
class Shown:
    """One sample at the size at which changes are made, with its controls, and where victims look."""

    photos: dict[ConditionName, Rgb8]
    second: tuple[Rgb8, Rgb8] | None
    """Another protected version, and another control."""
    square: Square
    side: int
    shrunk: float
    energy: float

    def view(self, name: ConditionName) -> Rgb8:
        return crop_square(self.photos[name], self.square, self.side)

    def told(self) -> CropResult:
        clean, protected, control = (self.view(name) for name in ("clean", "protected", "random_psnr"))
        box = (self.square.left, self.square.top, self.square.side, self.square.side)
        left, top, width, height = (round(value / self.shrunk) for value in box)
        return CropResult(
            box=(left, top, width, height),
            scale=self.shrunk * self.side / self.square.side,
            energy_left=self.energy,
            psnr=_finite(psnr(clean, protected)),
            control_psnr=_finite(psnr(clean, control)),
            face=self.square.face is not None,
        )

    def changed(self, change: str) -> dict[ConditionName, Rgb8]:
        """The views after a change, of every condition but "random_levels"."""
        found: dict[ConditionName, Rgb8] = {}
        for name in COMPARED:
            photo = self.photos[name]
            if change != AVERAGED:
                photo = DEGRADATIONS[change].apply(photo)
            elif self.second is not None and name != "clean":
                photo = averaged(photo, self.second[name == "random_psnr"])
            found[name] = crop_square(photo, self.square, self.side)
        return found


def show(given: Sample, nets: Instruments, side: int, seed: int) -> Shown:
    """A sample as a victim of `side` pixels sees it; `seed` draws its controls."""
    clean, protected, second, shrunk = given.clean, given.protected, given.second, 1.0
    if max(clean.shape) > POSTED_EDGE:
        from anti_i2v.images.resize import resize_to_working
        from anti_i2v.receipts.effects import as_uint8

        shrunk = POSTED_EDGE / max(clean.shape)
        size = (round(clean.shape[0] * shrunk), round(clean.shape[1] * shrunk))
        clean, protected = (as_uint8(resize_to_working(photo, size)[0]) for photo in (clean, protected))
        second = None if second is None else as_uint8(resize_to_working(second, size)[0])
    square = choose_square(clean, nets.faces, side)
    levels = int(np.abs(square.crop(given.protected).astype(np.int16) - square.crop(given.clean)).max())
    photos: dict[ConditionName, Rgb8] = {
        "clean": clean,
        "protected": protected,
        "random_psnr": _control(clean, protected, square, side, seed),
        "random_levels": _at_size(clean, square, side, lambda view: random_levels(view, min(levels, 127), seed)),
    }
    other = None if second is None else (second, _control(clean, second, square, side, seed + 10_000))
    return Shown(photos, other, square, side, shrunk, retained_energy(given.clean, given.protected, square, side))


def _control(clean: Rgb8, protected: Rgb8, square: Square, side: int, seed: int) -> Rgb8:
    """A random perturbation whose PSNR at the victims' size is the protection's."""
    views = crop_square(clean, square, side), crop_square(protected, square, side)
    return _at_size(clean, square, side, lambda view: random_psnr(view, views[1], seed), _power(*views))


def _at_size(clean: Rgb8, square: Square, side: int, draw: Callable[[Rgb8], Rgb8], power: float | None = None) -> Rgb8:
    """The photo with what is drawn on its view, scaled up; stronger where scaling there and back would weaken it.

    Args:
        draw: view -> the view with a perturbation.
        power: mean square in levels that the perturbation is to have in the view; None: as scaling leaves it.
    """
    view = crop_square(clean, square, side)
    delta = draw(view).astype(np.int16) - view
    place = square.slices(clean)
    found = paste_perturbation(clean, place, delta)
    gain, turns = 1.0, 8 if power and square.side != side else 0
    for _ in range(turns):
        gain *= math.sqrt((power or 0) / max(_power(view, crop_square(found, square, side)), 1e-6))
        found = paste_perturbation(clean, place, delta, gain)
    return found


def _power(first: Rgb8, second: Rgb8) -> float:
    return float(np.square(first.astype(np.float64) - second).mean())


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
