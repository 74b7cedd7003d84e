"""Target images of the anchor term: generated patterns, as numpy arrays that both engines use.

Each function takes clean pixels, (B, 3, H, W) in [0, 1], and returns pixels of the same range and size: one image for
the whole batch, or one for each photo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.transforms import resampling_matrix
from anti_i2v.recipes import Target

__all__ = ["TARGETS", "checkerboard", "make_target"]

WORD = (
    "#...#.###..####.#####.",
    "##.##..#..#.......#...",
    "#.#.#..#..#.......#...",
    "#.#.#..#...###....#...",
    "#...#..#......#...#...",
    "#...#..#......#...#...",
    "#...#.###.####....#...",
    "......................",
)
"""MIST, a dot a character, with its margins."""

WORDS_ACROSS = 4
"""How often the word repeats across the width of a photo."""

DEGRADED = 8
"""By how much a degraded photo is downscaled."""


def checkerboard(height: int, width: int) -> PixelArray:
    """Return eight by eight fields of .3 and .7 grey, (1, 3, height, width)."""
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    checks = ((rows[:, None] + columns[None, :]) % 2).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(np.float32(0.3) + np.float32(0.4) * checks, (1, 3, height, width)))


def _checkerboard(clean: PixelArray) -> PixelArray:
    return checkerboard(*clean.shape[-2:])


def _gray(clean: PixelArray) -> PixelArray:
    return np.full((1, 3, *clean.shape[-2:]), 0.5, np.float32)


def _glyphs(clean: PixelArray) -> PixelArray:
    height, width = clean.shape[-2:]
    dots = np.array([[dot == "#" for dot in row] for row in WORD], np.float32)
    side = max(1, width // (WORDS_ACROSS * dots.shape[1]))
    rows, columns = np.arange(height) // side % dots.shape[0], np.arange(width) // side % dots.shape[1]
    return np.ascontiguousarray(np.broadcast_to(dots[rows][:, columns], (1, 3, height, width)))


def _degraded(clean: PixelArray) -> PixelArray:
    rows, columns = (
        resampling_matrix(side, small) @ resampling_matrix(small, side)
        for side, small in ((side, max(1, side // DEGRADED)) for side in clean.shape[-2:])
    )
    degraded: PixelArray = (rows @ clean @ columns.T).clip(0, 1)
    return degraded


TARGETS: Mapping[Target, Callable[[PixelArray], PixelArray]] = {
    "checkerboard": _checkerboard,
    "gray": _gray,
    "glyphs": _glyphs,
    "degraded": _degraded,
}
"""Name -> target.

"checkerboard": the default, unlike any photo. "gray": mid-grey (PhotoGuard's). "glyphs": a word in black and white,
repeated, of high contrast as Mist's target. "degraded": the photo itself, downscaled by eight and scaled up again.
"""


def make_target(name: Target, clean: PixelArray) -> PixelArray:
    """Return a recipe's target for photos, (1 or B, 3, H, W) in [0, 1]."""
    return TARGETS[name](clean)
