"""The spaces that steps are taken in: RGB, L*a*b*, low-frequency DCT, and JPEG's luma DCT.

"lab" and "dct" in turn are Anti-I2V's dual-space perturbation (section 3.2). A space converts pixels to coordinates
and back, and sets how far each coordinate may move. A step converts the pixel gradient to coordinates, moves there and
returns to pixels; `projection.project` follows. The torch engine runs these functions, and the ONNX engine's graphs are
traced from them.
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
from anti_i2v.images.jpeg import RGB_TO_YCBCR, YCBCR_TO_RGB
from anti_i2v.optim.dct import BLOCK, low_frequency_dct, luma_quantisation_steps
from anti_i2v.optim.space_constants import SPACE_KINDS
from anti_i2v.tensors import Pixels

__all__ = ["Lab", "LowDct", "LumaDct", "Rgb", "Space", "coordinate_gradient", "make_space", "step_in_space"]


class Space(ABC):
    """A change of coordinates; coordinates have the pixels' shape, (B, 3, H, W)."""

    @abstractmethod
    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        """Convert pixels to coordinates."""

    @abstractmethod
    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        """Convert coordinates to pixels; the inverse of `to_coordinates` up to rounding."""

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        """Scale a direction by how far each coordinate may move; 0 keeps it fixed."""
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
    """CIE L*a*b* (D65), as kornia computes it.

    Args:
        shares: relative step sizes of L*, a* and b*, (3,). The paper's are (0, 1, 1): only chroma moves.
    """

    def __init__(self, shares: torch.Tensor) -> None:
        self.shares = shares

    @classmethod
    def from_shares(cls, shares: Sequence[float] = (0.0, 1.0, 1.0)) -> Lab:
        """Create from numbers. Raises RecipeError unless they are three, not negative and not all zero."""
        if len(shares) != 3 or min(shares) < 0 or sum(shares) <= 0:
            raise RecipeError(f"L*a*b* shares must be three numbers >= 0, not all zero, got {tuple(shares)}")
        return cls(torch.tensor(shares))

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        coordinates: torch.Tensor = rgb_to_lab(pixels)
        return coordinates

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        # Not clipped: the projection that follows does it, and a clip here would stop gradients.
        pixels: Pixels = lab_to_rgb(coordinates, clip=False)
        return pixels

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        return direction * self.shares.to(direction).view(1, 3, 1, 1)


@final
class LowDct(Space):
    """The low frequencies of an orthonormal DCT, computed as a matrix product on each axis.

    Args:
        rows, columns: orthonormal matrices (H, H) and (W, W).
        low: (1, 1, H, W), 1 where a coefficient may move, else 0.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor, low: torch.Tensor) -> None:
        self.rows, self.columns, self.low = rows, columns, low

    @classmethod
    def for_size(cls, height: int, width: int, cutoff: float = 0.25, block: int | None = None) -> LowDct:
        """Create for photos of one size. See `dct.low_frequency_dct` for the arguments and errors."""
        arrays = low_frequency_dct(height, width, cutoff, block)
        return cls(**{name: torch.from_numpy(value) for name, value in arrays.items()})

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        return self.rows.to(pixels) @ pixels @ self.columns.to(pixels).mT

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        return self.rows.to(coordinates).mT @ coordinates @ self.columns.to(coordinates)

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        return direction * self.low.to(direction)


@final
class LumaDct(Space):
    """JPEG's 8x8 DCT of luma in units of its quantisation steps; chroma is fixed (DCT-Shield, arXiv 2504.17894).

    Equal steps here are large in pixels where JPEG rounds coarsely. The photo itself is not quantised. The first
    channel of the coordinates is the DCT of luma, the others are Cb and Cr.

    Args:
        rows, columns: block-diagonal orthonormal matrices (H, H) and (W, W).
        low: (1, 1, H, W), 1 where a coefficient may move, else 0.
        steps: quantisation steps, (1, 1, H, W), in units of the [0, 1] range.
    """

    def __init__(self, rows: torch.Tensor, columns: torch.Tensor, low: torch.Tensor, steps: torch.Tensor) -> None:
        self.rows, self.columns, self.low, self.steps = rows, columns, low, steps

    @classmethod
    def for_size(cls, height: int, width: int, quality: int = 85, cutoff: float = 1.0) -> LumaDct:
        """Create for photos of one size. See `dct.low_frequency_dct` and `dct.luma_quantisation_steps`."""
        arrays = low_frequency_dct(height, width, cutoff, BLOCK)
        arrays["steps"] = luma_quantisation_steps(height, width, quality)
        return cls(**{name: torch.from_numpy(value) for name, value in arrays.items()})

    def to_coordinates(self, pixels: Pixels) -> torch.Tensor:
        mixed = _mix_channels(RGB_TO_YCBCR, pixels)
        luma = self.rows.to(pixels) @ mixed[:, :1] @ self.columns.to(pixels).mT / self.steps.to(pixels)
        return torch.cat([luma, mixed[:, 1:]], 1)

    def to_pixels(self, coordinates: torch.Tensor) -> Pixels:
        scaled = coordinates[:, :1] * self.steps.to(coordinates)
        luma = self.rows.to(coordinates).mT @ scaled @ self.columns.to(coordinates)
        return _mix_channels(YCBCR_TO_RGB, torch.cat([luma, coordinates[:, 1:]], 1))

    def scale_direction(self, direction: torch.Tensor) -> torch.Tensor:
        luma = direction[:, :1] * self.low.to(direction)
        return torch.cat([luma, torch.zeros_like(direction[:, 1:])], 1)


def _mix_channels(matrix: npt.NDArray[np.float64], pixels: torch.Tensor) -> torch.Tensor:
    """Apply a (3, 3) matrix to the channels."""
    return torch.einsum("ij,bjhw->bihw", pixels.new_tensor(matrix.tolist()), pixels)


_CLASSES: dict[str, type[Any]] = {"rgb": Rgb, "lab": Lab, "dct": LowDct, "luma-dct8": LumaDct}


def make_space(name: str, constants: Mapping[str, torch.Tensor]) -> Space:
    """Create a recipe's space from its `space_constants`."""
    space: Space = _CLASSES[SPACE_KINDS[name]](**constants)
    return space


def coordinate_gradient(space: Space, pixels: Pixels, gradient: Pixels) -> torch.Tensor:
    """Convert the gradient with respect to the pixels into the one with respect to the coordinates (chain rule)."""
    with torch.enable_grad():
        coordinates = space.to_coordinates(pixels.detach()).detach().requires_grad_(True)
        (converted,) = torch.autograd.grad(space.to_pixels(coordinates), coordinates, gradient)
    return converted


def step_in_space(space: Space, pixels: Pixels, direction: torch.Tensor, step_size: float | torch.Tensor) -> Pixels:
    """Move pixels against a direction in coordinates, until their root mean square change is `step_size`.

    The size is measured in pixels because units of L*, a*, DCT coefficients and red are not comparable. In RGB with a
    sign direction this is the step of the sign-gradient method. A zero direction moves nothing. In L*a*b*, which is not
    linear, the size is met to first order (a few percent).

    Args:
        step_size: in units of the [0, 1] range.
    """
    start = space.to_coordinates(pixels)
    scaled = space.scale_direction(direction)
    probe = (1e-2 / scaled.square().flatten(1).mean(1).sqrt().clamp_min(1e-12)).view(-1, 1, 1, 1)
    length = (space.to_pixels(start - probe * scaled) - pixels).square().flatten(1).mean(1).sqrt()
    factor = (step_size / length.clamp_min(1e-12)).view(-1, 1, 1, 1)
    return space.to_pixels(start - factor * probe * scaled)
