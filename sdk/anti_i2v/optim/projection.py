"""Where a perturbation moves: RGB, L*a*b*, low-frequency DCT, JPEG's own DCT of luma.

A space is a chart of the photo: coordinates, the way back to pixels, and a share that says how far each coordinate
may move. A step pulls the pixel gradient back to the coordinates, moves there, and returns to pixels; projection
onto the RGB L-infinity ball is the optimiser's. The paper's dual space (Anti-I2V, section 3.2) is "lab" and "dct",
used in turn. These functions are what the torch engine runs and what the ONNX engine's graphs are traced from.
"""

from __future__ import annotations

import torch

from anti_i2v.tensors import Budget, Pixels

__all__ = ["project"]


def project(candidate: Pixels, clean: Pixels, budget: Budget) -> Pixels:
    """The nearest pixels within `budget` of the clean photo, and within [0, 1]."""
    return torch.minimum(torch.maximum(candidate, clean - budget), clean + budget).clamp(0, 1)
