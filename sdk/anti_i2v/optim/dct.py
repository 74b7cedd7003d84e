"""Orthonormal DCT-II matrices, the low-frequency mask, and JPEG's quantisation steps, in numpy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from anti_i2v.errors import RecipeError
from anti_i2v.images.jpeg import jpeg_round_trip_with_tables

__all__ = ["BLOCK", "dct_matrix", "low_frequency_dct", "luma_quantisation_steps"]

Matrix = npt.NDArray[np.float64]

BLOCK = 8
"""Side of a JPEG block in pixels."""


@lru_cache(maxsize=16)
def dct_matrix(size: int) -> Matrix:
    """Return the orthonormal DCT-II matrix (size, size): row k is the k-th cosine; the transpose is its inverse."""
    frequency, place = np.arange(size)[:, None], np.arange(size)[None]
    matrix: Matrix = np.cos(math.pi / size * (place + 0.5) * frequency) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


def low_frequency_dct(
    height: int, width: int, cutoff: float, block: int | None = None
) -> dict[str, npt.NDArray[np.float32]]:
    """Return the DCT of a photo size: "rows" (H, H), "columns" (W, W), and "low" (1, 1, H, W), 1 at low frequencies.

    Args:
        cutoff: share of the frequencies of each axis that count as low, in (0, 1].
        block: side of the DCT's blocks, which makes the matrices block-diagonal; None for one DCT of the whole photo.

    Raises:
        RecipeError: the cutoff or the block is out of range, or a side is not a multiple of the block.
    """
    if not 0 < cutoff <= 1:
        raise RecipeError(f"DCT cutoff must be above 0 and at most 1, got {cutoff}")
    if block is not None and block < 2:
        raise RecipeError(f"DCT block must be at least 2 pixels, got {block}")
    if block is not None and (height % block or width % block):
        raise RecipeError(
            f"a {block}x{block} block DCT needs sides that are multiples of {block}, got {width}x{height}"
        )
    matrices, kept = [], []
    for side in (height, width):
        size = block or side
        matrices.append(np.kron(np.eye(side // size), dct_matrix(size)).astype(np.float32))
        kept.append(np.tile(np.arange(size) < max(1, round(size * cutoff)), side // size).astype(np.float32))
    low = (kept[0][:, None] * kept[1][None]).reshape(1, 1, height, width)
    return {"rows": matrices[0], "columns": matrices[1], "low": low}


def luma_quantisation_steps(height: int, width: int, quality: int) -> npt.NDArray[np.float32]:
    """Return libjpeg's luma quantisation steps at a quality, (1, 1, height, width), in units of the [0, 1] range.

    Both sides are multiples of 8; the table repeats in every block.
    """
    _, tables = jpeg_round_trip_with_tables(np.zeros((BLOCK, BLOCK, 3), np.uint8), quality)
    steps = np.tile(tables[0], (height // BLOCK, width // BLOCK)) / np.float32(255)
    return np.ascontiguousarray(steps[None, None], np.float32)
