"""What victims are shown of a photo: one square, the same of every condition, scaled to one side.

Whoever animates a person cuts to the person. The square lies around the largest face of the clean photo, 1.8 times its
larger side, inside the photo; without a face it is the central one. Scaling down averages neighbouring pixels and with
them much of a perturbation: `energy_left` says how much of it the victim saw at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.faces import Face, FaceIdentity

__all__ = ["SIDE", "Square", "choose_square", "crop_square", "retained_energy"]


SIDE = 256
"""Pixels of the victims' videos: twice what ours were trained at. Encoders blur a face of 128 pixels (taesd leaves
a cosine of .55 of it), and denoisers look nearby alone: at 256 all of them keep more of the person."""

AROUND = 1.8
"""Sides of the square by the larger side of the face's box: head and shoulders."""


@dataclass(frozen=True)
class Square:
    """A square of a photo of (height, width) pixels, and the face that it lies around.

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
        """Rows and columns of the same square in a photo that may have been scaled; then they may differ by a pixel."""
        found = []
        for start, length, now in ((self.top, self.height, photo.shape[0]), (self.left, self.width, photo.shape[1])):
            first = round(start * now / length)
            found.append(slice(first, max(first + 1, round((start + self.side) * now / length))))
        return found[0], found[1]

    def crop(self, photo: Rgb8) -> Rgb8:
        """What lies there."""
        return photo[self.slices(photo)]


def choose_square(clean: Rgb8, faces: FaceIdentity | None = None, side: int = SIDE) -> Square:
    """Where victims look; a photo of side x side is taken whole.

    Args:
        clean: (H, W, 3); faces are looked for here alone, so that no perturbation moves the square.
        faces: None: the central square.
    """
    height, width = clean.shape[:2]
    face = faces.find(clean) if faces is not None else None
    most = min(height, width)
    if face is None or (height, width) == (side, side):
        return Square(height, width, (width - most) // 2, (height - most) // 2, most, face)
    left, top, across, down = face.box
    # Not below the victims' side where the photo has it: a view that is scaled up shows what no camera saw.
    wanted = min(most, max(round(AROUND * max(across, down)), min(side, most)))
    corner = [
        min(max(0, round(start + length / 2 - wanted / 2)), limit - wanted)
        for start, length, limit in ((left, across, width), (top, down, height))
    ]
    return Square(height, width, corner[0], corner[1], wanted, face)


def crop_square(photo: Rgb8, square: Square, side: int = SIDE) -> Rgb8:
    """The square of a photo as victims see it, (side, side, 3).

    Averaged over areas (Pillow's BOX) where it shrinks, bicubic where it grows, itself where it has the size.
    """
    part = square.crop(photo)
    if part.shape[:2] == (side, side):
        return np.ascontiguousarray(part)
    shrinks = min(part.shape[:2]) >= side
    way = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(np.ascontiguousarray(part)).resize((side, side), way))


def retained_energy(clean: Rgb8, protected: Rgb8, square: Square, side: int = SIDE) -> float:
    """The perturbation's mean square in the view by that in the square of the photo; 1 where there is none."""
    whole = _mean_square(square.crop(clean), square.crop(protected))
    return (
        _mean_square(crop_square(clean, square, side), crop_square(protected, square, side)) / whole if whole else 1.0
    )


def _mean_square(first: Rgb8, second: Rgb8) -> float:
    return float(np.square(first.astype(np.float64) - second).mean())
