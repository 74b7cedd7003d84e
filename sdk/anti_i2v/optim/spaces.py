"""Where a perturbation moves: RGB, L*a*b*, low-frequency DCT, JPEG's own DCT of luma.

A space is a chart of the photo: coordinates, the way back to pixels, and a share that says how far each coordinate
may move. A step pulls the pixel gradient back to the coordinates, moves there, and returns to pixels; projection
onto the RGB L-infinity ball is the optimiser's. The paper's dual space (Anti-I2V, section 3.2) is "lab" and "dct",
used in turn. These functions are what the torch engine runs and what the ONNX engine's graphs are traced from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from kornia.color import lab_to_rgb, rgb_to_lab

from anti_i2v.errors import RecipeError
from anti_i2v.images.jpeg import RGB_TO_YCBCR
from anti_i2v.optim.dct import BLOCK, low_frequency_dct, luma_quantisation_steps
from anti_i2v.optim.space_constants import SPACE_KINDS
from anti_i2v.tensors import Pixels

__all__ = ["Lab", "LowDct", "LumaDct", "Rgb", "Space", "coordinate_gradient", "make_space", "step_in_space"]


class Space(ABC):
    """A chart of pixels; coordinates have the pixels' shape, (B, 3, H, W)."""

    @abstractmethod
    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        """The coordinates of pixels."""

    @abstractmethod
    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        """The pixels of coordinates; `leave(enter(pixels))` equals `pixels` up to rounding."""

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        """A direction in coordinates, each coordinate scaled by how far it may move (0: it stays)."""
        return direction


@final
class Rgb(Space):
    """The pixels themselves."""

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        return pixels

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        return coordinates


@final
class Lab(Space):
    """CIE L*a*b* (D65), through kornia.

    Args:
        shares: how far L*, a* and b* move beside each other, (3,). The paper: (0, 1, 1), chroma alone.
    """

    def __init__(self, shares: torch.Tensor) -> None:
        self.shares = shares

    @classmethod
    def from_shares(cls, shares: Sequence[float] = (0.0, 1.0, 1.0)) -> Lab:
        """From numbers. Raises RecipeError unless they are three, not negative and not all zero."""
        if len(shares) != 3 or min(shares) < 0 or sum(shares) <= 0:
            raise RecipeError(f"L*a*b* shares must be three numbers >= 0, not all zero, got {tuple(shares)}")
        return cls(torch.tensor(shares))

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        coordinates: torch.Tensor = rgb_to_lab(pixels)
        return coordinates

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        # Unclipped: the projection that follows keeps the pixels in [0, 1], and a clip here would end gradients.
        pixels: Pixels = lab_to_rgb(coordinates, clip=False)
        return pixels

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        return direction * self.shares.to(direction).view(1, 3, 1, 1)


@final
class LowDct(Space):
    """The low frequencies of an orthonormal DCT, a matrix product on each axis.

    Args:
        rows, columns: orthonormal matrices (H, H) and (W, W).
        low: (1, 1, H, W), 1 where a coefficient may move, else 0.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor, low: torch.Tensor) -> None:
        self.rows, self.columns, self.low = rows, columns, low

    @classmethod
    def for_size(cls, height: int, width: int, cutoff: float = 0.25, block: int | None = None) -> LowDct:
        """For photos of one size: see `charts.low_frequencies`, whose errors these are."""
        return cls(
            **{name: torch.from_numpy(value) for name, value in low_frequency_dct(height, width, cutoff, block).items()}
        )

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        return self.rows.to(pixels) @ pixels @ self.columns.to(pixels).mT

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        return self.rows.to(coordinates).mT @ coordinates @ self.columns.to(coordinates)

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        return direction * self.low.to(direction)


@final
class LumaDct(Space):
    """JPEG's 8x8 DCT of luma in units of its quantisation steps; chroma is kept (DCT-Shield, arXiv 2504.17894).

    Equal steps here are long where JPEG rounds coarsely. Nothing is rounded: the photo itself stays where it is. The
    first channel of the coordinates is the DCT of luma, the others are Cb and Cr.

    Args:
        rows, columns: block-diagonal orthonormal matrices (H, H) and (W, W).
        low: (1, 1, H, W), 1 where a coefficient may move, else 0.
        steps: (1, 1, H, W), of the quantisation, in units of the [0, 1] range.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor, low: torch.Tensor, steps: torch.Tensor) -> None:
        self.rows, self.columns, self.low, self.steps = rows, columns, low, steps

    @classmethod
    def for_size(cls, height: int, width: int, quality: int = 85, cutoff: float = 1.0) -> LumaDct:
        """For photos of one size: see `charts.low_frequencies`, whose errors these are, and `charts.luma_steps`."""
        inputs = low_frequency_dct(height, width, cutoff, BLOCK) | {
            "steps": luma_quantisation_steps(height, width, quality)
        }
        return cls(**{name: torch.from_numpy(value) for name, value in inputs.items()})

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        mixed = _mixed(RGB_TO_YCBCR, pixels)
        luma = self.rows.to(pixels) @ mixed[:, :1] @ self.columns.to(pixels).mT / self.steps.to(pixels)
        return torch.cat([luma, mixed[:, 1:]], 1)

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        scaled = coordinates[:, :1] * self.steps.to(coordinates)
        luma = self.rows.to(coordinates).mT @ scaled @ self.columns.to(coordinates)
        return _mixed(_TO_RGB, torch.cat([luma, coordinates[:, 1:]], 1))

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        luma = direction[:, :1] * self.low.to(direction)
        return torch.cat([luma, torch.zeros_like(direction[:, 1:])], 1)


_TO_RGB = np.linalg.inv(RGB_TO_YCBCR)


def _mixed(matrix: npt.NDArray[np.float64], pixels: torch.Tensor) -> torch.Tensor:
    """A matrix (3, 3) across the channels."""
    return torch.einsum("ij,bjhw->bihw", pixels.new_tensor(matrix.tolist()), pixels)


_KINDS: dict[str, type[Any]] = {"rgb": Rgb, "lab": Lab, "dct": LowDct, "luma-dct8": LumaDct}


def make_space(name: str, inputs: Mapping[str, torch.Tensor]) -> Space:
    """A recipe's space from what `charts.chart_inputs` gives for it."""
    space: Space = _KINDS[SPACE_KINDS[name]](**inputs)
    return space


def coordinate_gradient(space: Space, pixels: Pixels, gradient: Pixels) -> torch.Tensor:
    """The gradient with respect to the coordinates, from the one with respect to the pixels (chain rule)."""
    with torch.enable_grad():
        coordinates = space.to_coordinates(pixels.detach()).detach().requires_grad_(True)
        (pulled,) = torch.autograd.grad(space.to_pixels(coordinates), coordinates, gradient)
    return pulled


def step_in_space(space: Space, pixels: Pixels, direction: torch.Tensor, step: float | torch.Tensor) -> Pixels:
    """Pixels moved against `direction` (in coordinates) so far that their root mean square change is `step`.

    The length is set in pixels because a unit of L*, of a*, of a DCT coefficient and of red are not comparable. In RGB
    with a sign direction this is the classic step of the sign-gradient method. Where the direction is zero nothing
    moves. `step` is in units of the [0, 1] range; in L*a*b*, which bends, it is kept to first order (a few percent).
    """
    start = space.to_coordinates(pixels)
    shared = space.scale_direction(direction)
    probe = (1e-2 / shared.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)).view(-1, 1, 1, 1)
    length = (space.to_pixels(start - probe * shared) - pixels).square().flatten(1).mean(1).sqrt()
    factor = (step / length.clamp_min(1e-12)).view(-1, 1, 1, 1)
    return space.to_pixels(start - factor * probe * shared)
