"""Degradations: changes to a photo between its owner and a video model, as functions of uint8 pixels of any size.

An evaluation applies the same degradation to the clean photo, the protected photo and the control. They are platforms'
and users' ordinary edits, and purifiers, which adversaries use on purpose: AdverseCleaner, a classical and a trained
denoiser, a trained upscaler, and the average of two protected versions (`average`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import SurrogateError
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.images.jpeg import jpeg_round_trip
from anti_i2v.images.platforms import PRESETS, simulate_platform

__all__ = [
    "AVERAGED",
    "DEGRADATIONS",
    "QUICK_DEGRADATIONS",
    "Degradation",
    "add_noise",
    "adverse_cleaner",
    "average",
    "crop_and_resize",
    "denoise",
    "guided_filter",
    "non_local_means",
    "screenshot",
    "upscale",
]


@dataclass(frozen=True)
class Degradation:
    """A change to a photo.

    Attributes:
        label: for reports.
        apply: (H, W, 3) -> (h, w, 3) of about the same proportions.
    """

    label: str
    apply: Callable[[Rgb8], Rgb8]


NOISE_STDDEV = 4.0
"""Levels of `add_noise`, about the noise of a phone's sensor indoors."""


def crop_and_resize(photo: Rgb8) -> Rgb8:
    """Cut 5 % off each edge and scale back to the original size (bicubic)."""
    height, width = photo.shape[:2]
    top, left = round(height * 0.05), round(width * 0.05)
    inner = Image.fromarray(np.ascontiguousarray(photo[top : height - top, left : width - left]))
    return np.asarray(inner.resize((width, height), Image.Resampling.BICUBIC))


def add_noise(photo: Rgb8) -> Rgb8:
    """Add Gaussian noise of NOISE_STDDEV levels, the same for every photo of a size, so that pairs stay comparable."""
    noise = np.rint(np.random.default_rng(0).normal(0, NOISE_STDDEV, photo.shape)).astype(np.int16)
    found: Rgb8 = (photo + noise).clip(0, 255).astype(np.uint8)
    return found


TO_DISPLAY = np.rint(
    255
    * np.where(np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4)
    ** (1 / 2.2)
).astype(np.uint8)
"""sRGB level -> level of a display with gamma 2.2."""
FROM_DISPLAY = np.array([np.abs(TO_DISPLAY.astype(int) - level).argmin() for level in range(256)], np.uint8)


def screenshot(photo: Rgb8) -> Rgb8:
    """Simulate a screenshot: 125 % zoom, 8-bit display colours (gamma 2.2), back to the original size, JPEG 90."""
    height, width = photo.shape[:2]
    zoomed = Image.fromarray(photo).resize((round(width * 1.25), round(height * 1.25)), Image.Resampling.BICUBIC)
    grabbed = Image.fromarray(FROM_DISPLAY[TO_DISPLAY[np.asarray(zoomed)]])
    back = np.asarray(grabbed.resize((width, height), Image.Resampling.BICUBIC))
    return jpeg_round_trip(back, 90, "4:4:4")


def adverse_cleaner(photo: Rgb8) -> Rgb8:
    """Apply AdverseCleaner (Zhang 2023, github.com/lllyasviel/AdverseCleaner) on float32 levels.

    64 bilateral filters (5 x 5, sigmas 8), then 4 guided filters with the photo as the guide (radius 4, eps 16).

    Raises:
        SurrogateError: OpenCV is missing.
    """
    cv2 = _opencv()
    guide = photo.astype(np.float32)
    smooth = guide
    for _ in range(64):
        smooth = cv2.bilateralFilter(smooth, 5, 8, 8)
    for _ in range(4):
        smooth = guided_filter(guide, smooth, radius=4, eps=16)
    found: Rgb8 = smooth.clip(0, 255).astype(np.uint8)  # truncated, as in the original code
    return found


def guided_filter(
    guide: NDArray[np.float32], source: NDArray[np.float32], *, radius: int, eps: float
) -> NDArray[np.float32]:
    """Apply the guided filter with a colour guide (He, Sun and Tang, TPAMI 2013, equations 19-21); edges are reflected.

    Args:
        guide, source: (H, W, 3).
        radius: radius of the square window, (2 radius + 1) pixels wide.
        eps: in squared units of the guide.
    """
    # By hand, because kornia's `guided_blur` gives the same values in 13 times the time, and OpenCV has the filter only
    # in its contrib package.
    cv2 = _opencv()
    box = partial(cv2.boxFilter, ddepth=-1, ksize=(2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101)
    guide64, source64 = guide.astype(np.float64), source.astype(np.float64)  # variances are small beside squared levels
    mean = box(guide64)
    covariance = _covariance(guide64, mean, box) + eps * np.eye(3)
    out = np.empty_like(source64)
    for channel in range(3):
        plane = source64[..., channel]
        plane_mean = box(plane)
        cross = np.stack([box(guide64[..., row] * plane) - mean[..., row] * plane_mean for row in range(3)], -1)
        slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
        offset = plane_mean - (slope * mean).sum(-1)
        out[..., channel] = (box(slope) * guide64).sum(-1) + box(offset)
    return out.astype(np.float32)


def _covariance(
    guide: NDArray[np.float64], mean: NDArray[np.float64], box: Callable[..., NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the covariance of the guide's colours in each window, (H, W, 3, 3)."""
    covariance = np.empty((*guide.shape[:2], 3, 3))
    for row, column in np.ndindex(3, 3):
        product = box(guide[..., row] * guide[..., column])
        covariance[..., row, column] = product - mean[..., row] * mean[..., column]
    return covariance


def non_local_means(photo: Rgb8) -> Rgb8:
    """Denoise by non-local means (Buades, Coll and Morel 2005): OpenCV's for colour, strength 6, 7 x 7 in 21 x 21.

    Raises:
        SurrogateError: OpenCV is missing.
    """
    cv2 = _opencv()
    bgr = np.ascontiguousarray(photo[..., ::-1])
    return np.ascontiguousarray(cv2.fastNlMeansDenoisingColored(bgr, None, 6, 6, 7, 21)[..., ::-1])


def denoise(photo: Rgb8) -> Rgb8:
    """Denoise with the trained denoiser, for noise of `purifiers.NOISE_LEVEL`."""
    from anti_i2v.evaluation import purifiers  # imports torch

    return purifiers.denoise(photo)


def upscale(photo: Rgb8) -> Rgb8:
    """Double the size with the trained upscaler."""
    from anti_i2v.evaluation import purifiers  # imports torch

    return purifiers.upscale(photo)


def average(first: Rgb8, second: Rgb8) -> Rgb8:
    """Average two protected versions of one photo, as an adversary can who has both or protects the photo again."""
    found: Rgb8 = np.rint((first.astype(np.float32) + second) / 2).astype(np.uint8)
    return found


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise SurrogateError('this degradation needs OpenCV: pip install "anti-i2v-sdk[evaluate]"') from None
    return cv2


def _jpeg_and_half(photo: Rgb8) -> Rgb8:
    return SURVIVAL_CHECKS["half size"](jpeg_round_trip(photo, 75))


DEGRADATIONS: dict[str, Degradation] = {
    **{
        f"jpeg{quality}": Degradation(f"JPEG {quality}", partial(jpeg_round_trip, quality=quality))
        for quality in (95, 85, 75, 50)
    },
    **{
        name: Degradation(f"posted ({known.label})", partial(simulate_platform, preset=known))
        for name, known in PRESETS.items()
    },
    "half size": Degradation("half size and back", SURVIVAL_CHECKS["half size"]),
    "jpeg75, half size": Degradation("JPEG 75, then half size and back", _jpeg_and_half),
    "crop": Degradation("10 % cropped away", crop_and_resize),
    "blur": Degradation("blurred slightly", SURVIVAL_CHECKS["blur"]),
    "noise": Degradation("noise added", add_noise),
    "screenshot": Degradation("screenshot", screenshot),
    "AdverseCleaner": Degradation("AdverseCleaner (64 bilateral and 4 guided filters)", adverse_cleaner),
    "non-local means": Degradation("denoised (non-local means)", non_local_means),
    "FFDNet": Degradation("denoised (FFDNet's design, trained)", denoise),
    "upscaled": Degradation("upscaled to twice its size (trained)", upscale),
}
"""Name -> degradation of one photo. The undegraded photo is the reference and not among them."""

AVERAGED = "averaged"
"""Name of the degradation that needs two protected versions."""

QUICK_DEGRADATIONS = ("jpeg75", "jpeg75, half size", "AdverseCleaner", "non-local means")
"""The degradations of a quick evaluation: common ones, and the two that retained least of `balanced`."""
