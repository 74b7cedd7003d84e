"""Random changes that a photo meets on its way, for the expectation over them (EOT, Athalye et al. 2018).

Each draw is an affine map of the pixels, `rows @ pixels @ columns.T + offset`: resizing, blurring and cropping are
linear and separable; noise is an offset; for JPEG the offset is what the true codec changed, so that the codec that
is optimised against is the one that will be met. Its gradient does not pass straight through: that was measured to
lose a tenth of the effect after JPEG. Each DCT coefficient of the gradient is scaled by the slope of a soft rounding
instead (Shin and Song 2017): what quantisation swallows gets no say.
Matrices and offsets are numpy arrays, drawn from a numpy generator: both engines see the same draws for one seed.
Ranges follow DORMANT (USENIX Security 2025) unless a recipe says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from anti_i2v.arrays import Matrix, PixelArray
from anti_i2v.images.jpeg import RGB_TO_YCBCR
from anti_i2v.optim.dct import dct_matrix

__all__ = ["JpegSlope", "slope_at"]


@dataclass(frozen=True)
class JpegSlope:
    """The slope of JPEG at some pixels: a gain for each coefficient of the 8x8 DCT of luma, and of halved chroma.

    Attributes:
        luma, chroma: (B, 1, H', W') and (B, 2, H'', W''), sides padded to whole blocks.
    """

    luma: Any
    chroma: Any

    def pull_back(self, gradient: Any) -> Any:
        """The gradient by the pixels, from the one by the coded pixels; of numpy arrays and torch tensors alike."""
        height, width = gradient.shape[-2:]
        mixed = _across(_TO_RGB.T, gradient)
        planes = []
        for part, gains, factor in ((mixed[:, :1], self.luma, 1), (mixed[:, 1:], self.chroma, 2)):
            down, up = (_like(gradient, *_block_transform(side, factor)) for side in (height, width))
            coefficients = gains * (down[1].swapaxes(0, 1) @ part @ up[1])
            planes.append(down[0].swapaxes(0, 1) @ coefficients @ up[0])
        joined = np.concatenate(planes, 1) if isinstance(gradient, np.ndarray) else _torch_cat(planes)
        return _across(RGB_TO_YCBCR.T, joined)


_TO_RGB = np.linalg.inv(RGB_TO_YCBCR)


def slope_at(pixels: PixelArray, tables: npt.NDArray[np.float32]) -> JpegSlope:
    """Gains at these pixels: the slope 3 r^2 of the soft rounding round(x) + r^3, where r = x - round(x)."""
    height, width = pixels.shape[-2:]
    mixed = _across(RGB_TO_YCBCR, pixels * 255)
    mixed[:, 0] -= 128
    gains = []
    for part, table, factor in ((mixed[:, :1], tables[0], 1), (mixed[:, 1:], tables[1], 2)):
        down, across = (_block_transform(side, factor)[0] for side in (height, width))
        coefficients = down @ part @ across.T
        rows, columns = coefficients.shape[-2:]
        quotient = coefficients / np.tile(table, (rows // 8, columns // 8))
        gains.append((3 * (quotient - np.rint(quotient)) ** 2).astype(np.float32))
    return JpegSlope(*gains)


@lru_cache(maxsize=16)
def _block_transform(side: int, factor: int) -> tuple[Matrix, Matrix]:
    """(analysis, synthesis) of an axis, (n, side) and (side, n): samples averaged by `factor`, edge repeated to whole
    blocks, DCT of 8; and back, each sample repeated.
    """
    blocks = -(-side // (8 * factor))
    place = np.minimum(np.arange(8 * blocks * factor), side - 1)
    average = np.zeros((8 * blocks, side))
    np.add.at(average, (np.arange(len(place)) // factor, place), 1 / factor)
    repeat = np.zeros((side, 8 * blocks))
    repeat[np.arange(side), np.arange(side) // factor] = 1
    dct = np.kron(np.eye(blocks), dct_matrix(8))
    return (dct @ average).astype(np.float32), (repeat @ dct.T).astype(np.float32)


def _across(matrix: npt.NDArray[np.float64], pixels: Any) -> Any:
    """A (3, 3) matrix on the channels."""
    (colours,) = _like(pixels, matrix.astype(np.float32))
    return (colours @ pixels.reshape(pixels.shape[0], 3, -1)).reshape(pixels.shape)


def _like(values: Any, *matrices: npt.NDArray[np.float32]) -> list[Any]:
    """Matrices as the values' kind of array."""
    return list(matrices) if isinstance(values, np.ndarray) else [values.new_tensor(matrix) for matrix in matrices]


def _torch_cat(planes: list[Any]) -> Any:
    import torch  # the planes are its tensors: it is loaded already

    return torch.cat(planes, 1)
