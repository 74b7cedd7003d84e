"""Where a perturbation moves: RGB, L*a*b*, low-frequency DCT.

A space is a chart of the photo: coordinates, the way back to pixels, and a share that says how far each coordinate
may move. A step pulls the pixel gradient back to the coordinates, moves there, and returns to pixels; projection
onto the RGB L-infinity ball is the optimiser's. The paper's dual space (Anti-I2V, section 3.2) is the list
[Lab(), LowDct()], used in turn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import final

import torch
from kornia.color import lab_to_rgb, rgb_to_lab

from anti_i2v._types import Budget, Pixels
from anti_i2v.errors import RecipeError

__all__ = ["Lab", "LowDct", "Rgb", "Space", "dct_matrix", "move", "project", "pull_back"]


class Space(ABC):
    """A chart of pixels."""

    @abstractmethod
    def enter(self, pixels: Pixels) -> torch.Tensor:
        """The coordinates of pixels."""

    @abstractmethod
    def leave(self, coordinates: torch.Tensor) -> Pixels:
        """The pixels of coordinates; `leave(enter(pixels))` equals `pixels` up to rounding."""

    def share(self, direction: torch.Tensor) -> torch.Tensor:
        """A direction in coordinates, each coordinate scaled by how far it may move (0: it stays)."""
        return direction


@final
class Rgb(Space):
    """The pixels themselves."""

    def enter(self, pixels: Pixels) -> torch.Tensor:
        return pixels

    def leave(self, coordinates: torch.Tensor) -> Pixels:
        return coordinates


@final
class Lab(Space):
    """CIE L*a*b* (D65), through kornia.

    Args:
        shares: how far L*, a* and b* move beside each other. The paper: (0, 1, 1), chroma alone.
    """

    def __init__(self, shares: Sequence[float] = (0.0, 1.0, 1.0)) -> None:
        if len(shares) != 3 or min(shares) < 0 or sum(shares) <= 0:
            raise RecipeError(f"L*a*b* shares must be three numbers >= 0, not all zero, got {tuple(shares)}")
        self.shares = tuple(shares)

    def enter(self, pixels: Pixels) -> torch.Tensor:
        coordinates: torch.Tensor = rgb_to_lab(pixels)
        return coordinates

    def leave(self, coordinates: torch.Tensor) -> Pixels:
        # Unclipped: the projection that follows keeps the pixels in [0, 1], and a clip here would end gradients.
        pixels: Pixels = lab_to_rgb(coordinates, clip=False)
        return pixels

    def share(self, direction: torch.Tensor) -> torch.Tensor:
        return direction * direction.new_tensor(self.shares).view(1, 3, 1, 1)


@lru_cache(maxsize=16)
def dct_matrix(size: int) -> torch.Tensor:
    """The orthonormal DCT-II matrix (size, size) in float64: row k is the k-th cosine; its transpose inverts it."""
    frequency = torch.arange(size, dtype=torch.float64).unsqueeze(1)
    place = torch.arange(size, dtype=torch.float64).unsqueeze(0)
    matrix = torch.cos(math.pi / size * (place + 0.5) * frequency) * math.sqrt(2 / size)
    matrix[0] /= math.sqrt(2)
    return matrix


@final
class LowDct(Space):
    """The low frequencies of an orthonormal DCT, a matrix product on each axis.

    Args:
        cutoff: share of the lowest frequencies of each axis that may move, in (0, 1].
        block: None for one DCT over the whole photo, else the side of the blocks (8 is JPEG's); both sides of
            the photo are then multiples of it.
    """

    def __init__(self, cutoff: float = 0.25, block: int | None = None) -> None:
        if not 0 < cutoff <= 1:
            raise RecipeError(f"DCT cutoff must be above 0 and at most 1, got {cutoff}")
        if block is not None and block < 2:
            raise RecipeError(f"DCT block must be at least 2 pixels, got {block}")
        self.cutoff, self.block = cutoff, block

    def _matrices(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = pixels.shape[-2:]
        return dct_matrix(height).to(pixels), dct_matrix(width).to(pixels)

    def _in_blocks(self, pixels: torch.Tensor, block: int) -> torch.Tensor:
        height, width = pixels.shape[-2:]
        if height % block or width % block:
            raise RecipeError(
                f"a {block}x{block} block DCT needs sides that are multiples of {block}, got {width}x{height}"
            )
        rows, columns = height // block, width // block
        return pixels.reshape(*pixels.shape[:-2], rows, block, columns, block).transpose(-3, -2)

    def enter(self, pixels: Pixels) -> torch.Tensor:
        """(B, 3, H, W), or (B, 3, H/block, W/block, block, block) with blocks."""
        pieces = pixels if self.block is None else self._in_blocks(pixels, self.block)
        rows, columns = self._matrices(pieces)
        return rows @ pieces @ columns.mT

    def leave(self, coordinates: torch.Tensor) -> Pixels:
        rows, columns = self._matrices(coordinates)
        pieces = rows.mT @ coordinates @ columns
        return pieces if self.block is None else pieces.transpose(-3, -2).flatten(-2).flatten(-3, -2)

    def share(self, direction: torch.Tensor) -> torch.Tensor:
        height, width = direction.shape[-2:]
        low = torch.zeros(height, width, dtype=direction.dtype, device=direction.device)
        low[: max(1, round(height * self.cutoff)), : max(1, round(width * self.cutoff))] = 1
        return direction * low


def pull_back(space: Space, pixels: Pixels, gradient: Pixels) -> torch.Tensor:
    """The gradient with respect to the coordinates, from the one with respect to the pixels (chain rule)."""
    with torch.enable_grad():
        coordinates = space.enter(pixels.detach()).detach().requires_grad_(True)
        (pulled,) = torch.autograd.grad(space.leave(coordinates), coordinates, gradient)
    return pulled


def move(space: Space, pixels: Pixels, direction: torch.Tensor, step: float | torch.Tensor) -> Pixels:
    """Pixels moved against `direction` (in coordinates) so far that their root mean square change is `step`.

    The length is set in pixels because a unit of L*, of a*, of a DCT coefficient and of red are not comparable. In RGB
    with a sign direction this is the classic step of the sign-gradient method. Where the direction is zero nothing
    moves. `step` is in units of the [0, 1] range; in L*a*b*, which bends, it is kept to first order (a few percent).
    """
    start = space.enter(pixels)
    shared = space.share(direction)
    probe = 1e-2 / shared.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)
    probe = probe.view(-1, *[1] * (shared.ndim - 1))
    length = (space.leave(start - probe * shared) - pixels).square().flatten(1).mean(1).sqrt()
    factor = step / length.clamp_min(1e-12)
    return space.leave(start - factor.view(probe.shape) * probe * shared)


def project(candidate: Pixels, clean: Pixels, budget: Budget) -> Pixels:
    """The nearest pixels within `budget` of the clean photo, and within [0, 1]."""
    return torch.minimum(torch.maximum(candidate, clean - budget), clean + budget).clamp(0, 1)
