"""The constant arrays of each space for one photo size, in numpy: both engines use the same numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from anti_i2v.optim.dct import BLOCK, low_frequency_dct, luma_quantisation_steps
from anti_i2v.recipes import Recipe

__all__ = ["SPACE_KINDS", "space_constants"]

SPACE_KINDS = {"rgb": "rgb", "lab": "lab", "dct": "dct", "dct8": "dct", "luma-dct8": "luma-dct8"}
"""A recipe's space -> its kind. The block DCT is a DCT with block-diagonal matrices."""


def space_constants(space: str, recipe: Recipe, height: int, width: int) -> dict[str, npt.NDArray[np.float32]]:
    """Return the arrays that a space needs for photos of one size, by the names of its class's arguments."""
    if space == "rgb":
        return {}
    if space == "lab":
        return {"shares": np.array(recipe.lab_shares, np.float32)}
    if space == "luma-dct8":
        arrays = low_frequency_dct(height, width, recipe.dct_cutoff, BLOCK)
        return arrays | {"steps": luma_quantisation_steps(height, width, recipe.luma_quality)}
    return low_frequency_dct(height, width, recipe.dct_cutoff, BLOCK if space == "dct8" else None)
