"""What an anchor pulls a photo's features to: pictures drawn here, free of anybody's, as numpy arrays for both engines.

Each takes clean pixels (B, 3, H, W) in [0, 1], and gives pixels of that range and size, one for all photos or one each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.transforms import resampling_matrix
from anti_i2v.recipes import Target

__all__ = ["TARGETS", "anchor_target", "make_target"]

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
"""How often the word stands in the width of a photo."""

DEGRADED = 8
"""Each side of a degraded photo has so many times fewer samples."""


def _checkerboard(clean: PixelArray) -> PixelArray:
    return anchor_target(*clean.shape[-2:])


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

"checkerboard": `refine.anchor_target`. "gray": nothing but the middle of the range (PhotoGuard's). "glyphs": a word in
black and white over and over, of high contrast as Mist's picture is. "degraded": the photo itself with an eighth of its
samples a side, blown up again.
"""


def make_target(name: Target, clean: PixelArray) -> PixelArray:
    """A recipe's target for photos, (1 or B, 3, H, W) in [0, 1]."""
    return TARGETS[name](clean)


def anchor_target(height: int, width: int) -> PixelArray:
    """The anchor's default target: a checkerboard of mid-grey steps, unlike any photo and free of anybody's picture.

    (1, 3, height, width) in [0, 1].
    """
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    checks = ((rows[:, None] + columns[None, :]) % 2).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(np.float32(0.3) + np.float32(0.4) * checks, (1, 3, height, width)))
