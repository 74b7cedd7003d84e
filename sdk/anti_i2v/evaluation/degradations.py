"""What happens to a photo between its owner and a video model: name -> what it does to uint8 pixels of any size.

The clean photo, the protected photo and the control go through the same change. Beside what platforms and people do
without a thought there are purifiers, which somebody uses on purpose: AdverseCleaner, a classical and a trained
denoiser, a trained upscaler, and the average of two protected versions of a photo (`averaged`, which takes two).
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
    "adverse_cleaner",
    "averaged",
    "cropped",
    "denoised",
    "guided_filter",
    "noisy",
    "screenshot",
    "upscaled",
    "without_noise",
]


@dataclass(frozen=True)
class Degradation:
    """One thing that happens to a photo.

    Attributes:
        label: in plain words.
        apply: (H, W, 3) -> (h, w, 3) of about the same proportions.
    """

    label: str
    apply: Callable[[Rgb8], Rgb8]


NOISE = 4.0
"""Levels, the standard deviation of `noisy`: what a phone's sensor adds indoors."""


def cropped(photo: Rgb8) -> Rgb8:
    """A tenth of each side cut away, half of it at either end; what is left is scaled back (bicubic)."""
    height, width = photo.shape[:2]
    top, left = round(height * 0.05), round(width * 0.05)
    inner = Image.fromarray(np.ascontiguousarray(photo[top : height - top, left : width - left]))
    return np.asarray(inner.resize((width, height), Image.Resampling.BICUBIC))


def noisy(photo: Rgb8) -> Rgb8:
    """Gaussian noise of NOISE levels, the same for every photo of a size: pairs stay pairs."""
    noise = np.rint(np.random.default_rng(0).normal(0, NOISE, photo.shape)).astype(np.int16)
    found: Rgb8 = (photo + noise).clip(0, 255).astype(np.uint8)
    return found


_TO_DISPLAY = np.rint(
    255
    * np.where(np.arange(256) <= 10, np.arange(256) / 255 / 12.92, ((np.arange(256) / 255 + 0.055) / 1.055) ** 2.4)
    ** (1 / 2.2)
).astype(np.uint8)
"""sRGB levels as a display of gamma 2.2 is told them."""
_FROM_DISPLAY = np.array([np.abs(_TO_DISPLAY.astype(int) - level).argmin() for level in range(256)], np.uint8)


def screenshot(photo: Rgb8) -> Rgb8:
    """Shown at 125 % in a display's colours (8 bits, gamma 2.2), grabbed, brought back to size, and sent as JPEG 90."""
    height, width = photo.shape[:2]
    shown = Image.fromarray(photo).resize((round(width * 1.25), round(height * 1.25)), Image.Resampling.BICUBIC)
    grabbed = Image.fromarray(_FROM_DISPLAY[_TO_DISPLAY[np.asarray(shown)]])
    back = np.asarray(grabbed.resize((width, height), Image.Resampling.BICUBIC))
    return jpeg_round_trip(back, 90, "4:4:4")


def adverse_cleaner(photo: Rgb8) -> Rgb8:
    """64 bilateral filters (5 x 5, sigmas 8), then 4 guided filters with the photo itself as guide (radius 4, eps 16).

    As AdverseCleaner does (Zhang 2023, github.com/lllyasviel/AdverseCleaner), on float32 levels.

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
    found: Rgb8 = smooth.clip(0, 255).astype(np.uint8)  # it cuts decimals off, and so does its author
    return found


def guided_filter(
    guide: NDArray[np.float32], source: NDArray[np.float32], *, radius: int, eps: float
) -> NDArray[np.float32]:
    """The guided filter with a colour guide (He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, equations 19-21).

    opencv-python has it in its contrib package alone, so it is made of box filters here; edges are reflected.

    Args:
        guide, source: (H, W, 3).
        radius: of the square window, (2 radius + 1) pixels wide.
        eps: in squared units of the guide.
    """
    cv2 = _opencv()
    box = partial(cv2.boxFilter, ddepth=-1, ksize=(2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT_101)
    wide, given = guide.astype(np.float64), source.astype(np.float64)  # variances of 16 levels in squares of 255 levels
    mean = box(wide)
    spread = np.empty((*guide.shape[:2], 3, 3))
    for row in range(3):
        for column in range(3):
            product = box(wide[..., row] * wide[..., column])
            spread[..., row, column] = product - mean[..., row] * mean[..., column]
    spread += eps * np.eye(3)
    out = np.empty_like(given)
    for channel in range(3):
        plane = given[..., channel]
        average = box(plane)
        together = np.stack([box(wide[..., row] * plane) - mean[..., row] * average for row in range(3)], -1)
        slope = np.linalg.solve(spread, together[..., None])[..., 0]
        offset = average - (slope * mean).sum(-1)
        out[..., channel] = (box(slope) * wide).sum(-1) + box(offset)
    return out.astype(np.float32)


def without_noise(photo: Rgb8) -> Rgb8:
    """Non-local means (Buades, Coll and Morel 2005) as OpenCV has it for colour photos: strength 6, 7 x 7 in 21 x 21.

    A classical denoiser beside the trained one (`denoised`).

    Raises:
        SurrogateError: OpenCV is missing.
    """
    cv2 = _opencv()
    blue_first = np.ascontiguousarray(photo[..., ::-1])  # it works in L*a*b*
    return np.ascontiguousarray(cv2.fastNlMeansDenoisingColored(blue_first, None, 6, 6, 7, 21)[..., ::-1])


def denoised(photo: Rgb8) -> Rgb8:
    """What the trained denoiser makes of it, told of noise of `purifiers.LEVELS`."""
    from anti_i2v.evaluation import purifiers  # imports torch

    return purifiers.denoised(photo)


def upscaled(photo: Rgb8) -> Rgb8:
    """Twice the size by the trained upscaler."""
    from anti_i2v.evaluation import purifiers  # imports torch

    return purifiers.upscaled(photo)


def averaged(first: Rgb8, second: Rgb8) -> Rgb8:
    """The mean of two protected versions of one photo, by an adversary who has both or protects it again."""
    found: Rgb8 = np.rint((first.astype(np.float32) + second) / 2).astype(np.uint8)
    return found


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError:
        raise SurrogateError('filters need OpenCV: pip install "anti-i2v-sdk[evaluate]"') from None
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
    "crop": Degradation("10 % cropped away", cropped),
    "blur": Degradation("blurred a little", SURVIVAL_CHECKS["blur"]),
    "noise": Degradation("noise added", noisy),
    "screenshot": Degradation("a screenshot, sent on", screenshot),
    "AdverseCleaner": Degradation("AdverseCleaner (64 bilateral and 4 guided filters)", adverse_cleaner),
    "non-local means": Degradation("denoised (non-local means)", without_noise),
    "FFDNet": Degradation("denoised (FFDNet's design, trained)", denoised),
    "upscaled": Degradation("upscaled to twice its size (trained)", upscaled),
}
"""Every change of one photo, by name. "As is" is none of them: it is what survival is told against."""

AVERAGED = "averaged"
"""The name of the change that takes two protected versions."""

QUICK_DEGRADATIONS = ("jpeg75", "jpeg75, half size", "AdverseCleaner", "non-local means")
"""Those that an evaluation in a hurry looks at: what photos meet, and the two that left least of `balanced`."""
