"""What a protection costs the eye: numbers for a clean and a protected photo.

PSNR and the levels are exact, over every pixel; the relief is of the whole photo as a screen shows it. SSIM and
CIEDE2000 are costly, so photos above a megapixel are measured on regularly spaced windows; `sampled_share` says on how
much. The same photos always give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8, Window

__all__ = ["Imperceptibility", "compare", "delta_e", "psnr", "smooth_area_rms", "ssim"]


_SIDE, _WINDOWS = 256, 16
"""Windows of 256 x 256, at most 16: a megapixel in all."""

SCREEN = 1080
"""Short side in pixels that a screen shows of a larger photo; the long side is four times that at most."""

FINEST, BROADEST = 1, 17
"""Of the relief in pixels of the screen: deviation of the Gaussian that takes away what is too fine for an eye at arm's
length, and side of the box whose mean is no relief but a tone."""

SMOOTH, AROUND = 5.0, 9
"""Deviation of the luma in levels, in a box of so many pixels, below which nothing masks a change."""

ENOUGH = 0.005
"""Share of the photo that is smooth, below which nothing is said of its smooth areas."""


class Imperceptibility(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How far a protected photo is from its clean one.

    Attributes:
        psnr: dB, higher is closer; None for equal photos, where it is infinite, which JSON cannot hold.
        ssim: 1 for equal photos (Wang et al. 2004).
        de2000_mean, de2000_p95: CIEDE2000 units, mean and 95th percentile over pixels (Sharma et al. 2005).
        relief: levels (1/255) of what shows on smooth areas, see `relief`; None for photos that have none.
        max_levels: L-infinity actually spent, in 1/255 steps.
        mean_levels: mean absolute difference over pixels and channels, in 1/255 steps.
        sampled_share: share of the pixels that SSIM and CIEDE2000 saw, 1 for all.
    """

    psnr: float | None
    ssim: float
    de2000_mean: float
    de2000_p95: float
    smooth_area_rms: float | None = msgspec.field(name="relief")
    max_levels: int
    mean_levels: float
    sampled_share: float

    @property
    def relief(self) -> float | None:
        """Earlier name of `smooth_area_rms`, until 0.3."""
        return self.smooth_area_rms


def compare(clean: Rgb8, protected: Rgb8) -> Imperceptibility:
    """All numbers of a pair of (H, W, 3) photos. Raises ValueError for unequal sizes or sides below 11 pixels."""
    largest, absolute, squares = _differences(clean, protected)
    mean, percentile = delta_e(clean, protected)
    height, width = clean.shape[:2]
    seen = sum((rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in _windows(height, width))
    return Imperceptibility(
        psnr=_decibels(squares, clean.size) if squares else None,
        ssim=ssim(clean, protected),
        de2000_mean=mean,
        de2000_p95=percentile,
        smooth_area_rms=smooth_area_rms(clean, protected),
        max_levels=largest,
        mean_levels=absolute / clean.size,
        sampled_share=seen / (height * width),
    )


def psnr(clean: Rgb8, protected: Rgb8) -> float:
    """10 log10(255^2 / MSE) in dB, the mean over every pixel and channel, exact; `inf` for equal photos."""
    _, _, squares = _differences(clean, protected)
    return _decibels(squares, clean.size) if squares else math.inf


def ssim(clean: Rgb8, protected: Rgb8) -> float:
    """Mean structural similarity over pixels and RGB channels.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 2004, with its own window: Gaussian, 11 x 11, sigma 1.5, K1 = .01, K2 = .03.
    Raises ValueError where a side is below the window's 11 pixels.
    """
    from skimage.metrics import structural_similarity

    height, width = _same_size(clean, protected)
    if min(height, width) < 11:
        raise ValueError(f"SSIM needs sides of at least 11 pixels, got {height} x {width}")
    scores = [
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image has no annotations
            clean[window],
            protected[window],
            channel_axis=-1,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for window in _windows(height, width)
    ]
    return float(np.mean(scores))


def delta_e(clean: Rgb8, protected: Rgb8) -> tuple[float, float]:
    """CIEDE2000 colour difference, (mean, 95th percentile) over pixels, from sRGB by L*a*b* under D65.

    Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research and Application 2005. It is meant for
    large uniform patches seen side by side: on fine texture it overstates what an eye sees.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    height, width = _same_size(clean, protected)
    differences = []
    for window in _windows(height, width):
        for strip in _strips(clean[window]):
            pair = rgb2lab(clean[window][strip]), rgb2lab(protected[window][strip])
            per_pixel = deltaE_ciede2000(*pair)  # type: ignore[no-untyped-call]  # scikit-image has no annotations
            differences.append(per_pixel.ravel())
    pooled = np.concatenate(differences)
    return float(pooled.mean()), float(np.percentile(pooled, 95))


def smooth_area_rms(clean: Rgb8, protected: Rgb8) -> float | None:
    """How much the perturbation stands out from smooth areas, sky, walls and skin: levels of luma, root mean square.

    PSNR does not tell a pattern from grain, eyes do: of two perturbations of 37 dB, the one with a pattern a few pixels
    wide was plain on a white wall (1.9 levels) and a random one hardly seen (.7). So the photo is shrunk to a screen,
    the luma of the difference is kept between `FINEST` and `BROADEST`, and only what no texture masks is counted: a
    coarse form of contrast sensitivity and masking (Watson 1993, "DCTune"), in two filters.

    Returns:
        None where less than `ENOUGH` of the photo is smooth.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    _same_size(clean, protected)
    before, after = (_luma_on_screen(photo) for photo in (clean, protected))
    mean = uniform_filter(before, AROUND)
    smooth = uniform_filter(np.square(before), AROUND) - np.square(mean) < SMOOTH**2
    if smooth.mean() < ENOUGH:
        return None
    difference = after - before
    shown = gaussian_filter(difference, FINEST) - uniform_filter(difference, BROADEST)
    return math.sqrt(float(np.square(shown[smooth]).mean()))


def _luma_on_screen(photo: Rgb8) -> NDArray[np.float32]:
    """(H, W) luma in levels (Rec. 601, as JPEG has it), shrunk to a screen."""
    from PIL import Image

    height, width = photo.shape[:2]
    ratio = min(SCREEN / min(height, width), 4 * SCREEN / max(height, width))
    if ratio < 1:
        size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        photo = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    luma: NDArray[np.float32] = np.dot(photo, np.array([0.299, 0.587, 0.114], np.float32))
    return luma


def _decibels(squares: int, count: int) -> float:
    return 10 * math.log10(255**2 * count / squares)


def _same_size(clean: Rgb8, protected: Rgb8) -> tuple[int, int]:
    if clean.shape != protected.shape or clean.ndim != 3 or clean.shape[2] != 3:
        raise ValueError(f"two photos of one size (H, W, 3) are compared, got {clean.shape} and {protected.shape}")
    return clean.shape[0], clean.shape[1]


def _differences(clean: Rgb8, protected: Rgb8) -> tuple[int, int, int]:
    """(largest, sum of absolute, sum of squared) difference in levels, as integers: exact at any size."""
    _same_size(clean, protected)
    largest = absolute = squares = 0
    for strip in _strips(clean):
        difference = np.abs(clean[strip].astype(np.int32) - protected[strip])
        largest = max(largest, int(difference.max()))
        absolute += int(difference.sum(dtype=np.int64))
        squares += int(np.square(difference).sum(dtype=np.int64))
    return largest, absolute, squares


def _strips(pixels: Rgb8) -> Iterator[slice]:
    """Rows in runs of about 65536 pixels, which bounds what float copies cost."""
    height, width = pixels.shape[:2]
    step = max(1, _SIDE * _SIDE // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _windows(height: int, width: int) -> list[Window]:
    """The whole photo up to a megapixel; above it, disjoint windows at the centres of a regular grid."""
    if height * width <= _WINDOWS * _SIDE * _SIDE:
        return [(slice(0, height), slice(0, width))]
    # As many rows as suit the photo's shape, as far as windows do not overlap.
    rows = max(1, min(round(math.sqrt(_WINDOWS * height / width)), height // _SIDE, _WINDOWS))
    columns = max(1, min(_WINDOWS // rows, width // _SIDE))
    return [(down, across) for down in _spaced(height, rows) for across in _spaced(width, columns)]


def _spaced(length: int, count: int) -> list[slice]:
    side = min(_SIDE, length)
    starts = [(2 * index + 1) * length // (2 * count) - side // 2 for index in range(count)]
    return [slice(start, start + side) for start in (max(0, start) for start in starts)]
