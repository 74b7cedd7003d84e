"""Start points: the trained tiles (the draft), uniform noise, or the clean photo, as a numpy pattern in [-1, 1].

`perceptual_mask.initial_candidate`, which both engines run, scales the pattern by the budget and adds it.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.universal_perturbation import load_tiles, sample_layout, tile_pattern

__all__ = ["initial_pattern", "layout_seed"]


def layout_seed(photo: PixelArray, seed: int) -> int:
    """Derive the seed of a layout from a photo, (3, H, W) in [0, 1], and the caller's seed.

    So by default no two photos share a layout.
    """
    levels = np.rint(photo * 255).astype(np.uint8).tobytes()
    digest = hashlib.blake2b(levels, digest_size=8, key=seed.to_bytes(16, "little", signed=True))
    return int.from_bytes(digest.digest(), "little") >> 2


def initial_pattern(clean: PixelArray, start: Literal["draft", "random", "clean"], seed: int) -> PixelArray:
    """Return the pattern to add before the first step, in [-1, 1], of the photos' shape.

    Args:
        start: "draft" tiles each photo in a layout of its own, "random" samples uniform values, "clean" is zero.
    """
    if start == "clean":
        return np.zeros_like(clean)
    if start == "random":
        return np.random.default_rng(seed).uniform(-1, 1, clean.shape).astype(np.float32)
    tiles, (height, width) = load_tiles(), clean.shape[-2:]
    return np.stack(
        [tile_pattern(tiles, sample_layout(layout_seed(photo, seed), len(tiles)), height, width) for photo in clean]
    )
