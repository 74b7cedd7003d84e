"""The JPEG codec (libjpeg, through Pillow) in memory."""

from __future__ import annotations

import io
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anti_i2v.arrays import Rgb8

__all__ = [
    "RGB_TO_YCBCR",
    "YCBCR_TO_RGB",
    "Subsampling",
    "decode_jpeg",
    "encode_jpeg",
    "jpeg_round_trip",
    "jpeg_round_trip_with_tables",
]

Subsampling: TypeAlias = Literal["4:2:0", "4:4:4"]


def jpeg_round_trip(pixels: Rgb8, quality: int, subsampling: Subsampling = "4:2:0") -> Rgb8:
    """Encode and decode (H, W, 3) in memory."""
    return decode_jpeg(encode_jpeg(pixels, quality, subsampling))


def jpeg_round_trip_with_tables(pixels: Rgb8, quality: int) -> tuple[Rgb8, NDArray[np.float32]]:
    """Encode with 4:2:0 chroma and decode; also return the (2, 8, 8) quantisation steps of luma and chroma."""
    with Image.open(io.BytesIO(encode_jpeg(pixels, quality, "4:2:0"))) as image:
        tables = getattr(image, "quantization")  # noqa: B009  # only JPEG images have it, which the type does not know
        steps = np.array([tables[index] for index in (0, 1)], np.float32).reshape(2, 8, 8)
        return np.array(image.convert("RGB")), steps


def encode_jpeg(pixels: Rgb8, quality: int, subsampling: Subsampling) -> bytes:
    """Encode (H, W, 3) as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return buffer.getvalue()


def decode_jpeg(data: bytes) -> Rgb8:
    """Decode to (H, W, 3) sRGB."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


RGB_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to Y'CbCr as in JPEG (ITU-T T.871), without the offsets."""

YCBCR_TO_RGB = np.linalg.inv(RGB_TO_YCBCR)
