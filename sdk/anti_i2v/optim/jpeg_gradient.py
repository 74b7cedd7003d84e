"""The gradient of JPEG by soft rounding (Shin and Song 2017).

The forward pass is the true codec. In the backward pass each DCT coefficient of the gradient is scaled by the slope of
a soft rounding, so coefficients that quantisation removes contribute little. Passing the gradient straight through was
measured to lose a tenth of the effect after JPEG (docs/engines.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import Matrix, PixelArray
from anti_i2v.images.jpeg import RGB_TO_YCBCR, YCBCR_TO_RGB
from anti_i2v.optim.dct import dct_matrix

__all__ = ["JpegSlope", "jpeg_slope_at"]


@dataclass(frozen=True)
class JpegSlope:
    """The slope of JPEG's rounding at some pixels, for each coefficient of the 8x8 DCT of luma and of halved chroma.

    Attributes:
        luma, chroma: (B, 1, H', W') and (B, 2, H'', W''), sides padded to whole blocks.
    """

    luma: Any
    chroma: Any

    def vjp(self, gradient: Any) -> Any:
        """Turn the gradient of the decoded pixels into that of the pixels; for numpy arrays and torch tensors."""
        height, width = gradient.shape[-2:]
        mixed = _mix_channels(YCBCR_TO_RGB.T, gradient)
        planes = []
        for part, gains, factor in ((mixed[:, :1], self.luma, 1), (mixed[:, 1:], self.chroma, 2)):
            vertical, horizontal = (_like(gradient, *_block_transform(side, factor)) for side in (height, width))
            coefficients = gains * (vertical[1].swapaxes(0, 1) @ part @ horizontal[1])
            planes.append(vertical[0].swapaxes(0, 1) @ coefficients @ horizontal[0])
        joined = np.concatenate(planes, 1) if isinstance(gradient, np.ndarray) else _torch_cat(planes)
        return _mix_channels(RGB_TO_YCBCR.T, joined)


def jpeg_slope_at(pixels: PixelArray, tables: npt.NDArray[np.float32]) -> JpegSlope:
    """Return the slope 3 r^2 of the soft rounding round(x) + r^3, r = x - round(x), at each coefficient of the pixels.

    Args:
        tables: quantisation steps of luma and chroma, (2, 8, 8).
    """
    height, width = pixels.shape[-2:]
    mixed = _mix_channels(RGB_TO_YCBCR, pixels * 255)
    mixed[:, 0] -= 128
    gains = []
    for part, table, factor in ((mixed[:, :1], tables[0], 1), (mixed[:, 1:], tables[1], 2)):
        vertical, horizontal = (_block_transform(side, factor)[0] for side in (height, width))
        coefficients = vertical @ part @ horizontal.T
        rows, columns = coefficients.shape[-2:]
        quotient = coefficients / np.tile(table, (rows // 8, columns // 8))
        gains.append((3 * (quotient - np.rint(quotient)) ** 2).astype(np.float32))
    return JpegSlope(*gains)


@lru_cache(maxsize=16)
def _block_transform(side: int, factor: int) -> tuple[Matrix, Matrix]:
    """Return the analysis (n, side) and synthesis (side, n) matrices of one axis.

    Analysis averages `factor` samples, repeats the edge up to whole blocks and applies the DCT of 8; synthesis inverts
    the DCT and repeats each sample.
    """
    blocks = -(-side // (8 * factor))
    source = np.minimum(np.arange(8 * blocks * factor), side - 1)
    average = np.zeros((8 * blocks, side))
    np.add.at(average, (np.arange(len(source)) // factor, source), 1 / factor)
    repeat = np.zeros((side, 8 * blocks))
    repeat[np.arange(side), np.arange(side) // factor] = 1
    dct = np.kron(np.eye(blocks), dct_matrix(8))
    return (dct @ average).astype(np.float32), (repeat @ dct.T).astype(np.float32)


def _mix_channels(matrix: npt.NDArray[np.float64], pixels: Any) -> Any:
    """Apply a (3, 3) matrix to the channels."""
    (colours,) = _like(pixels, matrix.astype(np.float32))
    return (colours @ pixels.reshape(pixels.shape[0], 3, -1)).reshape(pixels.shape)


def _like(values: Any, *matrices: npt.NDArray[np.float32]) -> list[Any]:
    """Convert matrices to the kind of array that `values` is."""
    return list(matrices) if isinstance(values, np.ndarray) else [values.new_tensor(matrix) for matrix in matrices]


def _torch_cat(planes: list[Any]) -> Any:
    import torch  # loaded already: the planes are its tensors

    return torch.cat(planes, 1)
