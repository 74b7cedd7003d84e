"""Which blocks of a U-Net match: what the families that have one share."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BLOCKS", "matching"]

BLOCKS = ("down_blocks", "mid_block", "up_blocks")


def matching(layers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The last three up blocks, each with the down block whose skip connections it reads.

    Both of a pair work at one resolution and, in the published models, in one width. What they hand on differs in size
    where a down block ends by halving and an up block by doubling: it is pooled (see `objectives.Collapse`). The paper
    does not say what matches in a U-Net; this is our reading.
    """
    down, up = ([name for name in layers if name.startswith(part)] for part in (BLOCKS[0], BLOCKS[2]))
    return tuple(zip(up, reversed(down), strict=True))[-3:]
