"""The square crop of a photo that victims animate, the same for every condition, scaled to one side.

People who animate a portrait crop to the person. The crop surrounds the largest face of the clean photo, 1.8 times the
larger side of its box and inside the photo; without a face it is the central square. Scaling down averages neighbouring
pixels and removes part of a perturbation: `retained_energy` measures how much of it is left for the victim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.faces import Face, FaceIdentity

__all__ = ["SIDE", "Square", "choose_square", "crop_square", "retained_energy"]


SIDE = 256
"""Pixels of the victims' videos, twice what the packaged victims were trained on. Encoders blur a face of 128 pixels
(taesd leaves a cosine of .55), and the denoisers attend only to nearby pixels: at 256 all of them keep more of the
person."""

FACE_MARGIN = 1.8
"""Side of the square relative to the larger side of the face's box: head and shoulders."""


@dataclass(frozen=True)
class Square:
    """A square in a photo of (height, width) pixels, and the face that it surrounds.

    Attributes:
        left, top, side: in pixels of that photo.
    """

    height: int
    width: int
    left: int
    top: int
    side: int
    face: Face | None = None

    def slices(self, photo: Rgb8) -> tuple[slice, slice]:
        """Return the rows and columns of this square in a scaled copy of the photo; they may differ by a pixel."""
        found = []
        for start, length, scaled in ((self.top, self.height, photo.shape[0]), (self.left, self.width, photo.shape[1])):
            first = round(start * scaled / length)
            found.append(slice(first, max(first + 1, round((start + self.side) * scaled / length))))
        return found[0], found[1]

    def crop(self, photo: Rgb8) -> Rgb8:
        """Cut this square out of the photo or of a scaled copy, without scaling."""
        return photo[self.slices(photo)]


def choose_square(clean: Rgb8, faces: FaceIdentity | None = None, side: int = SIDE) -> Square:
    """Choose the square that victims animate; a photo of side x side is taken whole.

    Args:
        clean: (H, W, 3). Faces are searched only here, so that no perturbation moves the square.
        faces: None for the central square.
    """
    height, width = clean.shape[:2]
    face = faces.find(clean) if faces is not None else None
    shorter = min(height, width)
    if face is None or (height, width) == (side, side):
        return Square(height, width, (width - shorter) // 2, (height - shorter) // 2, shorter, face)
    left, top, across, down = face.box
    # At least the victims' side where the photo has it, so that the crop is not scaled up.
    wanted = min(shorter, max(round(FACE_MARGIN * max(across, down)), min(side, shorter)))
    corner = [
        min(max(0, round(start + length / 2 - wanted / 2)), limit - wanted)
        for start, length, limit in ((left, across, width), (top, down, height))
    ]
    return Square(height, width, corner[0], corner[1], wanted, face)


def crop_square(photo: Rgb8, square: Square, side: int = SIDE) -> Rgb8:
    """Crop the square and scale it to (side, side, 3).

    Averages over areas (Pillow's BOX) to shrink, interpolates bicubically to enlarge.
    """
    part = square.crop(photo)
    if part.shape[:2] == (side, side):
        return np.ascontiguousarray(part)
    shrinks = min(part.shape[:2]) >= side
    filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize((side, side), filter_))


def retained_energy(clean: Rgb8, protected: Rgb8, square: Square, side: int = SIDE) -> float:
    """Return the share of the perturbation's energy (mean square) that scaling retains; 1 if there is none."""
    whole = _mean_square(square.crop(clean), square.crop(protected))
    if not whole:
        return 1.0
    return _mean_square(crop_square(clean, square, side), crop_square(protected, square, side)) / whole


def _mean_square(first: Rgb8, second: Rgb8) -> float:
    return float(np.square(first.astype(np.float64) - second).mean())
