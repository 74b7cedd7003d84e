"""Where recipes start: the trained tiles (the draft), random values, or the clean photo, as a pattern in [-1, 1].

The pattern is numpy; adding it, scaled by the budget, is `visibility.begin`, which both engines run.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np

from anti_i2v.arrays import PixelArray
from anti_i2v.optim.universal_perturbation import load_tiles, sample_layout, tile_pattern

__all__ = ["initial_pattern", "layout_seed"]


def layout_seed(photo: PixelArray, seed: int) -> int:
    """A layout's seed: of the photo, (3, H, W) in [0, 1], and the caller's seed.

    No two photos share a layout by default.
    """
    levels = np.rint(photo * 255).astype(np.uint8).tobytes()
    digest = hashlib.blake2b(levels, digest_size=8, key=seed.to_bytes(16, "little", signed=True))
    return int.from_bytes(digest.digest(), "little") >> 2


def initial_pattern(clean: PixelArray, start: Literal["draft", "random", "clean"], seed: int) -> PixelArray:
    """What is added to photos before the first step, in [-1, 1], of the photos' shape.

    "draft": each photo with its own layout of the tiles. "random": uniform values. "clean": nothing.
    """
    if start == "clean":
        return np.zeros_like(clean)
    if start == "random":
        return np.random.default_rng(seed).uniform(-1, 1, clean.shape).astype(np.float32)
    tiles, (height, width) = load_tiles(), clean.shape[-2:]
    return np.stack(
        [tile_pattern(tiles, sample_layout(layout_seed(photo, seed), len(tiles)), height, width) for photo in clean]
    )
