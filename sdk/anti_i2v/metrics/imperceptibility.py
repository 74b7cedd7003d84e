"""How visible a perturbation is: metrics of a clean and a protected photo.

PSNR and levels are exact, over every pixel; smooth areas are measured on the whole photo at the size of a screen. SSIM
and CIEDE2000 are costly, so photos above a megapixel are measured on regularly spaced windows; `sampled_share` is their
share of the photo. All metrics are deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8, Window

__all__ = ["Imperceptibility", "compare", "delta_e", "psnr", "sampling_windows", "smooth_area_rms", "ssim"]


WINDOW_SIDE, MAX_WINDOWS = 256, 16
"""Windows of 256 x 256, at most 16: a megapixel in all."""

SCREEN = 1080
"""Short side in pixels of a photo on a screen; the long side is at most four times that."""

FINE_SIGMA, COARSE_SIDE = 1, 17
"""Pass band in pixels of the screen: the Gaussian removes detail too fine for an eye at arm's length, and the mean of
the box is a tone, not a pattern."""

SMOOTH_STD, SMOOTH_BOX = 5.0, 9
"""Smooth areas: the luma's standard deviation in levels, in a box of this side, is below this, so no texture masks a
change."""

MIN_SMOOTH_SHARE = 0.005
"""Share of smooth pixels below which a photo counts as having no smooth areas."""


class Imperceptibility(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Differences between a protected photo and its clean one.

    Attributes:
        psnr: dB, higher is closer; None (infinite) for equal photos.
        ssim: 1 for equal photos (Wang et al. 2004).
        de2000_mean, de2000_p95: CIEDE2000 units, mean and 95th percentile over pixels (Sharma et al. 2005).
        smooth_area_rms ("relief" in JSON): see the function of that name, in levels (1/255); None for a photo without
            smooth areas.
        max_levels: L-infinity distance in levels.
        mean_levels: mean absolute difference over pixels and channels, in levels.
        sampled_share: share of the pixels in SSIM and CIEDE2000, 1 for all.
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
    """Measure a pair of (H, W, 3) photos. Raises ValueError for unequal sizes or sides below 11 pixels."""
    largest, absolute, squares = _differences(clean, protected)
    mean, percentile = delta_e(clean, protected)
    height, width = clean.shape[:2]
    sampled = sum(
        (rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in sampling_windows(height, width)
    )
    return Imperceptibility(
        psnr=_decibels(squares, clean.size) if squares else None,
        ssim=ssim(clean, protected),
        de2000_mean=mean,
        de2000_p95=percentile,
        smooth_area_rms=smooth_area_rms(clean, protected),
        max_levels=largest,
        mean_levels=absolute / clean.size,
        sampled_share=sampled / (height * width),
    )


def psnr(clean: Rgb8, protected: Rgb8) -> float:
    """Return 10 log10(255^2 / MSE) in dB, over every pixel and channel; `inf` for equal photos."""
    _, _, squares = _differences(clean, protected)
    return _decibels(squares, clean.size) if squares else math.inf


def ssim(clean: Rgb8, protected: Rgb8) -> float:
    """Return the mean structural similarity over pixels and RGB channels.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 2004, with its own window: Gaussian, 11 x 11, sigma 1.5, K1 = .01, K2 = .03.
    Raises ValueError for a side below the window's 11 pixels.
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
        for window in sampling_windows(height, width)
    ]
    return float(np.mean(scores))


def delta_e(clean: Rgb8, protected: Rgb8) -> tuple[float, float]:
    """Return the CIEDE2000 difference, (mean, 95th percentile) over pixels, from sRGB by L*a*b* under D65.

    Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research and Application 2005. It is meant for
    large uniform patches side by side; on fine texture it overstates the visible difference.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    height, width = _same_size(clean, protected)
    differences = []
    for window in sampling_windows(height, width):
        for strip in _strips(clean[window]):
            pair = rgb2lab(clean[window][strip]), rgb2lab(protected[window][strip])
            per_pixel = deltaE_ciede2000(*pair)  # type: ignore[no-untyped-call]  # scikit-image has no annotations
            differences.append(per_pixel.ravel())
    pooled = np.concatenate(differences)
    return float(pooled.mean()), float(np.percentile(pooled, 95))


def smooth_area_rms(clean: Rgb8, protected: Rgb8) -> float | None:
    """Return the root mean square of the visible luma difference on smooth areas (sky, walls, skin), in levels.

    PSNR does not distinguish a pattern from grain, but eyes do: of two perturbations of 37 dB, a pattern a few pixels
    wide was obvious on a white wall (1.9 levels) and a random one hardly visible (.7). Therefore the photo is shrunk to
    the size of a screen, the luma difference is filtered to the band between `FINE_SIGMA` and `COARSE_SIDE`, and only
    smooth areas count: a simple form of contrast sensitivity and masking (Watson 1993, "DCTune").

    Returns None if less than `MIN_SMOOTH_SHARE` of the photo is smooth.
    """
    from scipy.ndimage import gaussian_filter, uniform_filter

    _same_size(clean, protected)
    before, after = (_luma_on_screen(photo) for photo in (clean, protected))
    mean = uniform_filter(before, SMOOTH_BOX)
    smooth = uniform_filter(np.square(before), SMOOTH_BOX) - np.square(mean) < SMOOTH_STD**2
    if smooth.mean() < MIN_SMOOTH_SHARE:
        return None
    difference = after - before
    shown = gaussian_filter(difference, FINE_SIGMA) - uniform_filter(difference, COARSE_SIDE)
    return math.sqrt(float(np.square(shown[smooth]).mean()))


def _luma_on_screen(photo: Rgb8) -> NDArray[np.float32]:
    """Return the (H, W) luma in levels (Rec. 601, as in JPEG), shrunk to the size of a screen."""
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
        raise ValueError(f"photos must have one size (H, W, 3), got {clean.shape} and {protected.shape}")
    return clean.shape[0], clean.shape[1]


def _differences(clean: Rgb8, protected: Rgb8) -> tuple[int, int, int]:
    """Return the (largest, sum of absolute, sum of squared) difference in levels, as exact integers."""
    _same_size(clean, protected)
    largest = absolute = squares = 0
    for strip in _strips(clean):
        difference = np.abs(clean[strip].astype(np.int32) - protected[strip])
        largest = max(largest, int(difference.max()))
        absolute += int(difference.sum(dtype=np.int64))
        squares += int(np.square(difference).sum(dtype=np.int64))
    return largest, absolute, squares


def _strips(pixels: Rgb8) -> Iterator[slice]:
    """Yield strips of rows of about 65536 pixels, which bounds the memory of float copies."""
    height, width = pixels.shape[:2]
    step = max(1, WINDOW_SIDE * WINDOW_SIDE // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def sampling_windows(height: int, width: int) -> list[Window]:
    """Return the whole photo up to a megapixel; above it, disjoint windows at the centres of a regular grid."""
    if height * width <= MAX_WINDOWS * WINDOW_SIDE * WINDOW_SIDE:
        return [(slice(0, height), slice(0, width))]
    # As many rows as fit the photo's shape, without overlap.
    rows = max(1, min(round(math.sqrt(MAX_WINDOWS * height / width)), height // WINDOW_SIDE, MAX_WINDOWS))
    columns = max(1, min(MAX_WINDOWS // rows, width // WINDOW_SIDE))
    return [(down, across) for down in _spaced(height, rows) for across in _spaced(width, columns)]


def _spaced(length: int, count: int) -> list[slice]:
    side = min(WINDOW_SIDE, length)
    starts = [(2 * index + 1) * length // (2 * count) - side // 2 for index in range(count)]
    return [slice(start, start + side) for start in (max(0, start) for start in starts)]
