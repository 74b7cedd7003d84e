"""Random perturbations as controls, and a protection at another strength.

Each value gets a random sign, which is flipped where the result would leave 0..255. Nothing is clamped, so the uint8
controls have exactly the requested levels, also in dark or bright photos.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anti_i2v.arrays import Rgb8
from anti_i2v.metrics.imperceptibility import delta_e

__all__ = ["Visibility", "paste_perturbation", "random_levels", "random_psnr", "rescale_to_visibility"]

Visibility: TypeAlias = Literal["psnr", "de2000"]


def random_psnr(clean: Rgb8, protected: Rgb8, seed: int) -> Rgb8:
    """Add the perturbation's own values at random places with random signs: exactly the same PSNR and L-infinity."""
    generator = np.random.default_rng(seed)
    sizes = np.abs(protected.astype(np.int16) - clean).ravel()
    generator.shuffle(sizes)
    return _signed(clean, sizes.reshape(clean.shape), generator)


def random_levels(clean: Rgb8, levels: int, seed: int) -> Rgb8:
    """Move every value up or down by `levels`: the largest perturbation of that L-infinity.

    Raises ValueError for levels outside 0..127, of which one direction always fits.
    """
    if not 0 <= levels <= 127:
        raise ValueError(f"a random perturbation has 0..127 levels, got {levels}")
    return _signed(clean, np.full(clean.shape, levels, np.int16), np.random.default_rng(seed))


def _signed(clean: Rgb8, sizes: NDArray[np.int16], generator: np.random.Generator) -> Rgb8:
    delta = sizes * (generator.integers(2, size=sizes.shape, dtype=np.int16) * 2 - 1)
    moved = clean + delta
    # Of up to 127 levels one direction always fits; a larger change, of another tool, is clamped.
    control: Rgb8 = np.where((moved < 0) | (moved > 255), clean - delta, moved).clip(0, 255).astype(np.uint8)
    return control


def rescale_to_visibility(clean: Rgb8, protected: Rgb8, visibility: Visibility, value: float, seed: int = 0) -> Rgb8:
    """Scale the perturbation of a protected photo, for comparisons at equal visibility.

    Levels are whole numbers, so scaling reaches only some values: each level is taken at random from one of the two
    nearest, in the proportion that reaches the value (within .02 dB unless the photo is tiny).

    Args:
        visibility: "psnr", or "de2000", the mean CIEDE2000 over pixels.
        value: dB of PSNR, or units of CIEDE2000, of the result.
        seed: seed of the random choice.

    Raises:
        ValueError: there is no perturbation, or no scale of it reaches the value.
    """
    delta = protected.astype(np.float64) - clean
    if not delta.any():
        raise ValueError("equal photos have no perturbation to scale: protect the photo first")
    wanted = 255**2 / 10 ** (value / 10) if visibility == "psnr" else value

    def scaled(factor: float) -> tuple[Rgb8, float]:
        photo: Rgb8 = np.rint(clean + factor * delta).clip(0, 255).astype(np.uint8)
        if visibility == "psnr":
            return photo, float(np.square(photo.astype(np.float64) - clean).mean())
        return photo, delta_e(clean, photo)[0]

    low, high = 0.0, 1.0
    while scaled(high)[1] < wanted:
        low, high = high, 2 * high
        if high > 2**12:
            raise ValueError(
                f"no scale of this perturbation has {value:g} of {visibility}: it cannot become so visible"
            )
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle)[1] < wanted else (low, middle)
    (weaker, less), (stronger, more) = scaled(low), scaled(high)
    share = (wanted - less) / (more - less) if more > less else 1.0
    chosen: Rgb8 = np.where(np.random.default_rng(seed).random(clean.shape) < share, stronger, weaker)
    return chosen


def paste_perturbation(
    clean: Rgb8, square: tuple[slice, slice], view: NDArray[np.int16], gain: float = 1.0, seed: int = 0
) -> Rgb8:
    """Add a perturbation of another size to a square of a photo, scaled as protections are.

    Per-pixel noise vanishes when a photo is downscaled, so controls are drawn at the model's resolution.

    Args:
        clean: (H, W, 3).
        square: rows and columns.
        view: (s, s, 3) levels.
        gain: factor of the levels.
        seed: seed of the random rounding, which keeps the effect of a small gain.
    """
    from PIL import Image

    pasted = clean.copy()
    part, generator = clean[square], np.random.default_rng(seed)
    for channel in range(3):
        plane = view[..., channel].astype(np.float32) * np.float32(gain)
        if plane.shape != part.shape[:2]:
            size = (part.shape[1], part.shape[0])
            plane = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
        levels = np.floor(plane + generator.random(plane.shape, np.float32))
        pasted[square][..., channel] = (part[..., channel] + levels).clip(0, 255)
    return pasted
