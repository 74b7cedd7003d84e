"""What a space needs to know of a photo's size, as numpy arrays: both engines are given the same numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anti_i2v.optim.dct import BLOCK, low_frequency_dct, luma_quantisation_steps
from anti_i2v.recipes import Recipe

__all__ = ["SPACE_KINDS", "space_constants"]

SPACE_KINDS = {"rgb": "rgb", "lab": "lab", "dct": "dct", "dct8": "dct", "luma-dct8": "luma-dct8"}
"""A recipe's space -> the chart that it moves in; the block DCT is the same chart with other matrices."""


def space_constants(space: str, recipe: Recipe, height: int, width: int) -> dict[str, npt.NDArray[np.float32]]:
    """The arrays that a recipe's space needs for photos of one size; none for RGB."""
    if space == "rgb":
        return {}
    if space == "lab":
        return {"shares": np.array(recipe.lab_shares, np.float32)}
    if space == "luma-dct8":
        inputs = low_frequency_dct(height, width, recipe.dct_cutoff, BLOCK)
        return inputs | {"steps": luma_quantisation_steps(height, width, recipe.luma_quality)}
    return low_frequency_dct(height, width, recipe.dct_cutoff, BLOCK if space == "dct8" else None)
