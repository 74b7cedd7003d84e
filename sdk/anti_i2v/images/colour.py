"""A photo as people have it, read into upright 8-bit sRGB pixels.

Colours: a photo with an ICC profile is converted to sRGB (perceptual intent; for the matrix profiles of cameras and
phones that is relative colorimetric) and saved without one. Surrogates, platforms and video models all read sRGB, so
the perturbation is made in the colours that they will see; what a wide-gamut photo holds beyond sRGB is clipped. A
photo without a profile is taken for sRGB, also where other tags (PNG gAMA, AVIF nclx) say otherwise.
Only the picture itself is read: gain maps, depth maps, thumbnails and further frames stay behind.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

__all__ = ["to_srgb"]

_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


def to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) sRGB of an L, RGB or CMYK image, through its ICC profile where that can be used."""
    converted = None
    if image.mode == "L":
        notes.append("grayscale was converted to RGB")
    if profile:
        converted = _through_profile(image, profile, notes)
    if converted is None and image.mode == "CMYK":
        notes.append("CMYK without a usable profile was converted by a plain formula: compare the colours")
    return np.array(converted if converted is not None else image.convert("RGB"))


def _through_profile(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image | None:
    """The image in sRGB; None where the profile is broken, belongs to another kind of image, or is sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space
        if image.mode == "L" and space == "RGB ":
            image = image.convert("RGB")
        if space != _SPACES[image.mode]:
            notes.append("its colour profile is for another kind of image and was ignored")
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), image.mode, "RGB")
        if image.mode == "RGB" and _changes_nothing(transform):
            return None
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError):
        notes.append("its colour profile is broken and was ignored")
        return None
    notes.append("colours were converted to sRGB through its colour profile")
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform from RGB moves no colour by more than one level: then the file's own pixels are kept."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(9, 81, 3)
    moved = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return moved is None or int(np.abs(np.asarray(moved).astype(int) - probe).max()) <= 1
