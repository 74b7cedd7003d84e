"""Conversion to sRGB.

A photo with an ICC profile is converted with perceptual intent; for the matrix profiles of cameras and phones that is
relative colorimetric. Surrogates, platforms and video models all read sRGB, so the perturbation is made in the colours
that they receive; colours outside sRGB are clipped. A photo without a profile is taken for sRGB, also where other tags
(PNG gAMA, AVIF nclx) disagree.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["to_srgb"]

_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> npt.NDArray[np.uint8]:
    """Convert an L, RGB or CMYK image to (H, W, 3) sRGB, through its ICC profile where that is usable."""
    converted = None
    if image.mode == "L":
        notes.append("grayscale was converted to RGB")
    if profile:
        converted = _apply_profile(image, profile, notes)
    if converted is None and image.mode == "CMYK":
        notes.append("CMYK without a usable profile was converted by a simple formula: compare the colours")
    return np.array(converted if converted is not None else image.convert("RGB"))


def _apply_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """Return the image in sRGB, or None if the profile is broken, for another colour space, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space
        if image.mode == "L" and space == "RGB ":
            image = image.convert("RGB")
        if space != _SPACES[image.mode]:
            notes.append("its colour profile is for another colour space and was ignored")
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        if image.mode == "RGB" and _is_identity(transform):
            return None
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("its colour profile is broken and was ignored")
        return None
    notes.append("colours were converted to sRGB through its colour profile")
    return converted


def _is_identity(transform: ImageCms.ImageCmsTransform) -> bool:
    """Return whether a transform from RGB moves no colour by more than one level."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(9, 81, 3)
    moved = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return moved is None or int(np.abs(np.asarray(moved).astype(int) - probe).max()) <= 1
