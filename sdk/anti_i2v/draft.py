"""The draft: one addition of the trained tiles, also where every other recipe starts."""

from __future__ import annotations

import hashlib

import torch

from anti_i2v._types import Budget, Pixels
from anti_i2v.tiles import draw_layout, embedded_tiles, lay

__all__ = ["draft", "layout_seed"]


def layout_seed(photo: torch.Tensor, seed: int) -> int:
    """A layout's seed: of the photo, (3, H, W) in [0, 1], and the caller's seed.

    No two photos share a layout by default.
    """
    levels = photo.mul(255).round().to(torch.uint8).cpu().contiguous().numpy().tobytes()
    digest = hashlib.blake2b(levels, digest_size=8, key=seed.to_bytes(16, "little", signed=True))
    return int.from_bytes(digest.digest(), "little") >> 2


def draft(clean: Pixels, budget: Budget, seed: int) -> Pixels:
    """The candidate after one forward pass: each photo with its own layout of the tiles, scaled by the budget."""
    tiles = torch.from_numpy(embedded_tiles()).to(clean)
    height, width = clean.shape[-2:]
    laid = [lay(tiles, draw_layout(layout_seed(photo, seed), len(tiles)), height, width) for photo in clean]
    return (clean + budget * torch.stack(laid)).clamp(0, 1)
