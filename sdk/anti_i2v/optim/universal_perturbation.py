"""Universal adversarial perturbation (Moosavi-Dezfooli et al. 2017) of the `draft`: trained tiles that cover any photo.

One tile for every photo could be learned by averaging protected photos. So each layout combines two random tiles with
random phases and a smooth random mask that blends them. (Flipping tiles was tried: a tile that must work in four
orientations works less well in each.) The trainer uses the same functions. They contain only indexing and arithmetic
that numpy arrays and torch tensors share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from anti_i2v.arrays import Plane

__all__ = ["TILE", "Layout", "load_tiles", "sample_layout", "tile_pattern"]


TILE = 64
"""Side of a tile in pixels."""

GRID = 8
"""Phases are multiples of the encoders' patch size: tiles work best when aligned with it."""

CELL = 48
"""Pixels between the knots of the blending mask."""


@dataclass(frozen=True)
class Layout:
    """How two tiles cover a photo."""

    tiles: tuple[int, int]
    phases: tuple[tuple[int, int], tuple[int, int]]
    mask_seed: int


def sample_layout(seed: int, count: int) -> Layout:
    """Return the layout of a seed, for a family of `count` tiles."""
    generator = np.random.default_rng(seed)
    first, second = (int(index) for index in generator.integers(count, size=2))
    rows, columns = generator.integers(TILE // GRID, size=(2, 2)) * GRID
    return Layout(
        tiles=(first, second),
        phases=((int(rows[0]), int(columns[0])), (int(rows[1]), int(columns[1]))),
        mask_seed=int(generator.integers(2**62)),
    )


def _interpolation_weights(length: int) -> Plane:
    """Return linear interpolation weights (length, knots) between knots CELL pixels apart."""
    knots = length // CELL + 2
    positions = np.arange(length, dtype=np.float32) / CELL
    weights: Plane = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(knots, dtype=np.float32)))
    return weights


def blending_mask(seed: int, height: int, width: int) -> Plane:
    """Return a smooth random map (height, width) in [0, 1], mostly close to 0 or 1."""
    rows, columns = _interpolation_weights(height), _interpolation_weights(width)
    knots = np.random.default_rng(seed).standard_normal((rows.shape[1], columns.shape[1])).astype(np.float32)
    field: Plane = (1 / (1 + np.exp(-6 * (rows @ knots @ columns.T)))).astype(np.float32)
    return field


def tile_pattern(tiles: Any, layout: Layout, height: int, width: int) -> Any:
    """Cover (height, width) with a layout.

    Args:
        tiles: the family, (count, 3, TILE, TILE) in [-1, 1], as a numpy array or a torch tensor.
        layout: from `sample_layout`.

    Returns:
        (3, height, width) in [-1, 1], of the same kind as `tiles`.
    """
    covers = []
    for index, (row, column) in zip(layout.tiles, layout.phases, strict=True):
        rows, columns = (np.arange(height) + row) % TILE, (np.arange(width) + column) % TILE
        covers.append(tiles[index][:, rows[:, None], columns[None, :]])
    mask: Any = blending_mask(layout.mask_seed, height, width)
    if not isinstance(tiles, np.ndarray):
        mask = tiles.new_tensor(mask)
    return covers[1] + mask * (covers[0] - covers[1])


@cache
def load_tiles() -> Plane:
    """Load the packaged tiles, (count, 3, TILE, TILE) in [-1, 1], which sdk/training/tiles.py trained."""
    from safetensors.numpy import load

    data = resources.files("anti_i2v").joinpath("data/tiles.safetensors").read_bytes()
    tiles: Plane = load(data)["tiles"].astype(np.float32) / np.float32(127)
    return tiles
