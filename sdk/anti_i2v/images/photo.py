"""The decoded photo that the SDK works on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Photo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo. Its pixels and name stay out of `repr`, and so out of logs.

    Attributes:
        pixels: (H, W, 3) uint8 sRGB, upright; transparent pixels keep the colour of the file.
        alpha: (H, W) uint8, or None for a file without transparency.
        format: key of `FORMATS`; also the default for saving.
        name: the file's name for messages; "photo" without a file.
        exif: an EXIF block of the tags that are safe to keep, or None; written only with `keep_metadata`.
        notes: changes that reading made, for the receipt.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    alpha: npt.NDArray[np.uint8] | None = field(repr=False)
    format: str
    name: str = field(repr=False)
    exif: bytes | None = field(repr=False)
    notes: tuple[str, ...]
