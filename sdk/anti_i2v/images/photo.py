"""A photo as people have it, read into upright 8-bit sRGB pixels.

Colours: a photo with an ICC profile is converted to sRGB (perceptual intent; for the matrix profiles of cameras and
phones that is relative colorimetric) and saved without one. Surrogates, platforms and video models all read sRGB, so
the perturbation is made in the colours that they will see; what a wide-gamut photo holds beyond sRGB is clipped. A
photo without a profile is taken for sRGB, also where other tags (PNG gAMA, AVIF nclx) say otherwise.
Only the picture itself is read: gain maps, depth maps, thumbnails and further frames stay behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Photo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """What a file holds, ready to be protected. What it shows and its name stay out of `repr`, and so out of logs.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB, upright; under transparent pixels the colour that the file had.
        alpha: (H, W) uint8, or None where the file has no transparency.
        format: one of `FORMATS`: what it was, and what it is saved as by default.
        name: the file's name for messages; "photo" where there is none.
        exif: an EXIF block of the tags that are safe to keep, or None; used only with `keep_metadata`.
        notes: what reading changed, in plain words.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    alpha: npt.NDArray[np.uint8] | None = field(repr=False)
    format: str
    name: str = field(repr=False)
    exif: bytes | None = field(repr=False)
    notes: tuple[str, ...]
