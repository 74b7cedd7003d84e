"""Prepare the conditions of a photo: clean, protected and random controls, as crops for victims, also degraded.

Degradations apply to the whole photo at its own size, so controls are made at that size too, as strong in the victims'
crop as the protection is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import PhotoError
from anti_i2v.evaluation.crops import Square, choose_square, crop_square, retained_energy
from anti_i2v.evaluation.degradations import AVERAGED, DEGRADATIONS, average
from anti_i2v.evaluation.random_controls import control_of_levels, control_of_psnr
from anti_i2v.evaluation.results import ConditionName, CropResult
from anti_i2v.evaluation.validity_checks import Fingerprint, fingerprint
from anti_i2v.evaluation.video_metrics import MetricModels
from anti_i2v.images.decode import open_photo
from anti_i2v.images.photo import Photo
from anti_i2v.metrics.imperceptibility import psnr

__all__ = ["DEGRADED_CONDITIONS", "MAX_EDGE", "PhotoPair", "PreparedPhoto", "load_pair", "prepare_photo"]


DEGRADED_CONDITIONS: tuple[ConditionName, ...] = ("clean", "protected", "random_psnr")
"""The conditions that degradations are applied to."""

MAX_EDGE = 1600
"""Larger photos are first shrunk to this long edge: 64 bilateral filters of 12 megapixels take long."""


@dataclass(frozen=True, eq=False)
class PhotoPair:
    """A photo and its protected version, (H, W, 3) uint8 of one size; see `load_pair`.

    Attributes:
        second: another protected version, for an adversary who averages two; or None.
        fingerprint: recognises a photo that victims were trained on.
    """

    clean: Rgb8 = field(repr=False)
    protected: Rgb8 = field(repr=False)
    second: Rgb8 | None = field(default=None, repr=False)
    fingerprint: Fingerprint = field(kw_only=True, repr=False)


def load_pair(clean: Any, protected: Any, second: Any = None) -> PhotoPair:
    """Load a pair from paths, bytes, PIL images or uint8 arrays.

    Raises:
        PhotoError: one cannot be read, or the sizes differ.
    """
    before, after = _pixels(clean), _pixels(protected)
    other = None if second is None else _pixels(second)
    for photo in (after, other):
        if photo is not None and photo.shape != before.shape:
            sizes = " and ".join(f"{each.shape[1]}x{each.shape[0]}" for each in (before, photo))
            raise PhotoError(f"an evaluation needs photos of one size, got {sizes}: give the files from before upload")
    file = clean if isinstance(clean, bytes) else Path(clean).read_bytes() if isinstance(clean, (str, Path)) else None
    return PhotoPair(before, after, other, fingerprint=fingerprint(before, file))


def _pixels(source: Any) -> Rgb8:
    return (source if isinstance(source, Photo) else open_photo(source)).pixels


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """The photo of every condition at the size at which degradations apply, and the square that victims animate.

    Attributes:
        second: another protected version and another control, or None.
        side: side of the crops, in pixels.
        scale: pixels of `photos` per pixel of the given photo.
        energy: share of the perturbation's energy that the crop retains.
    """

    photos: dict[ConditionName, Rgb8]
    second: tuple[Rgb8, Rgb8] | None
    square: Square
    side: int
    scale: float
    energy: float

    def crop(self, name: ConditionName) -> Rgb8:
        """Return a condition's crop, (side, side, 3)."""
        return crop_square(self.photos[name], self.square, self.side)

    def crop_result(self) -> CropResult:
        """Describe the crop in pixels of the given photo."""
        clean, protected, control = (self.crop(name) for name in DEGRADED_CONDITIONS)
        box = (self.square.left, self.square.top, self.square.side, self.square.side)
        left, top, width, height = (round(value / self.scale) for value in box)
        return CropResult(
            box=(left, top, width, height),
            scale=self.scale * self.side / self.square.side,
            retained_energy=self.energy,
            psnr=_finite(psnr(clean, protected)),
            control_psnr=_finite(psnr(clean, control)),
            face=self.square.face is not None,
        )

    def degraded_crops(self, degradation: str) -> dict[ConditionName, Rgb8]:
        """Return the crops of `DEGRADED_CONDITIONS` after a degradation."""
        found: dict[ConditionName, Rgb8] = {}
        for name in DEGRADED_CONDITIONS:
            photo = self.photos[name]
            if degradation != AVERAGED:
                photo = DEGRADATIONS[degradation].apply(photo)
            elif self.second is not None and name != "clean":
                photo = average(photo, self.second[name == "random_psnr"])
            found[name] = crop_square(photo, self.square, self.side)
        return found


def prepare_photo(pair: PhotoPair, models: MetricModels, side: int, seed: int) -> PreparedPhoto:
    """Prepare the conditions of a pair for victims of `side` pixels; `seed` draws its controls."""
    clean, protected, second, scale = _shrunk(pair)
    square = choose_square(clean, models.faces, side)
    levels = int(np.abs(square.crop(pair.protected).astype(np.int16) - square.crop(pair.clean)).max())
    photos: dict[ConditionName, Rgb8] = {
        "clean": clean,
        "protected": protected,
        "random_psnr": control_of_psnr(clean, protected, square, side, seed),
        "random_levels": control_of_levels(clean, levels, square, side, seed),
    }
    other = None if second is None else (second, control_of_psnr(clean, second, square, side, seed + 10_000))
    return PreparedPhoto(photos, other, square, side, scale, retained_energy(pair.clean, pair.protected, square, side))


def _shrunk(pair: PhotoPair) -> tuple[Rgb8, Rgb8, Rgb8 | None, float]:
    """Return the clean photo, the protected one and the second version, at most MAX_EDGE long, and their scale."""
    clean, protected, second = pair.clean, pair.protected, pair.second
    if max(clean.shape) <= MAX_EDGE:
        return clean, protected, second, 1.0
    from anti_i2v.images.resize import resize_to_working
    from anti_i2v.receipts.effects import as_uint8

    scale = MAX_EDGE / max(clean.shape)
    size = (round(clean.shape[0] * scale), round(clean.shape[1] * scale))
    clean, protected = (as_uint8(resize_to_working(photo, size)[0]) for photo in (clean, protected))
    return clean, protected, None if second is None else as_uint8(resize_to_working(second, size)[0]), scale


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
