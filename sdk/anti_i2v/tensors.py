"""Tensor types: shapes and ranges. Only modules that use torch import this one; `arrays` has those of numpy."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float

Pixels: TypeAlias = Float[torch.Tensor, "B 3 H W"]
"""sRGB in [0, 1]."""

Budget: TypeAlias = Float[torch.Tensor, "#B 1 #H #W"]
"""L-infinity bound of each pixel, in units of the [0, 1] range."""

PerImage: TypeAlias = Float[torch.Tensor, " B"]
"""One number per photo of the batch."""

Feature: TypeAlias = Float[torch.Tensor, "B ..."]
"""Features of one hook point: channels first for maps, tokens x width for transformers."""

LossFn: TypeAlias = Callable[[Pixels], PerImage]
"""The loss of each photo; photos of a batch do not influence each other."""
