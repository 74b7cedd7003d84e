"""Match the blocks of a U-Net for the collapse term; shared by the families that have one."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BLOCKS", "matching"]

BLOCKS = ("down_blocks", "mid_block", "up_blocks")


def matching(layers: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pair the last three up blocks with the down blocks whose skip connections they read.

    Both blocks of a pair have one resolution and, in the published models, one width. Their outputs differ in size
    where a down block ends with a downsampler and an up block with an upsampler, so
    `objectives.representation_collapse` pools them. The paper does not define pairs for U-Nets; this is our choice.
    """
    down, up = ([name for name in layers if name.startswith(part)] for part in (BLOCKS[0], BLOCKS[2]))
    return tuple(zip(up, reversed(down), strict=True))[-3:]
