"""The universal perturbation of the `draft`: trained tiles, laid over a photo in a way that its seed decides.

One tile is the same for every photo, so whoever averages protected photos learns it. Each layout therefore draws
two tiles, their phases and a smooth mask that blends them. (Flips were tried: encoders are not symmetric, and a tile
that must work in four orientations works less in each.) Training lays tiles by this same function.
Everything here is indexing and arithmetic that numpy arrays and torch tensors share, so that one definition serves
the torch engine, engines without torch, and training.
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
"""Phases are multiples of the encoders' patch: a tile is worth most in step with it."""

CELL = 48
"""Pixels between the knots of the blending mask."""


@dataclass(frozen=True)
class Layout:
    """How two tiles cover a photo."""

    tiles: tuple[int, int]
    phases: tuple[tuple[int, int], tuple[int, int]]
    mask_seed: int


def sample_layout(seed: int, count: int) -> Layout:
    """The layout that belongs to a seed, for a family of `count` tiles."""
    draw = np.random.default_rng(seed)
    first, second = (int(index) for index in draw.integers(count, size=2))
    rows, columns = draw.integers(TILE // GRID, size=(2, 2)) * GRID
    return Layout(
        tiles=(first, second),
        phases=((int(rows[0]), int(columns[0])), (int(rows[1]), int(columns[1]))),
        mask_seed=int(draw.integers(2**62)),
    )


def _ramp(length: int) -> Plane:
    """Linear interpolation weights (length, knots) between knots that lie CELL pixels apart."""
    knots = length // CELL + 2
    where = np.arange(length, dtype=np.float32) / CELL
    weights: Plane = np.maximum(0, 1 - np.abs(where[:, None] - np.arange(knots, dtype=np.float32)))
    return weights


def blending_mask(seed: int, height: int, width: int) -> Plane:
    """A smooth random map (height, width) in [0, 1], mostly near its ends."""
    rows, columns = _ramp(height), _ramp(width)
    knots = np.random.default_rng(seed).standard_normal((rows.shape[1], columns.shape[1])).astype(np.float32)
    field: Plane = (1 / (1 + np.exp(-6 * (rows @ knots @ columns.T)))).astype(np.float32)
    return field


def tile_pattern(tiles: Any, layout: Layout, height: int, width: int) -> Any:
    """Cover (height, width) with a layout.

    Args:
        tiles: the family, (count, 3, TILE, TILE) in [-1, 1], as a numpy array or a torch tensor.
        layout: from `draw_layout`.

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
    """The tiles that the package ships, (count, 3, TILE, TILE) in [-1, 1] (trained by sdk/training/tiles.py)."""
    from safetensors.numpy import load

    data = resources.files("anti_i2v").joinpath("data/tiles.safetensors").read_bytes()
    tiles: Plane = load(data)["tiles"].astype(np.float32) / np.float32(127)
    return tiles
