"""Shapes and ranges, said once. Only modules that use torch import this one."""

from typing import TypeAlias

import torch
from jaxtyping import Float

Pixels: TypeAlias = Float[torch.Tensor, "B 3 H W"]
"""sRGB in [0, 1]."""

Delta: TypeAlias = Float[torch.Tensor, "B 3 H W"]
"""Protected minus clean, in units of the [0, 1] range."""

Budget: TypeAlias = Float[torch.Tensor, "#B 1 #H #W"]
"""L-infinity bound of a delta per pixel, in units of the [0, 1] range."""

PerImage: TypeAlias = Float[torch.Tensor, " B"]
"""One number per photo of the batch."""

Feature: TypeAlias = Float[torch.Tensor, "B ..."]
"""Features of one hook point (channels first for maps, tokens x width for transformers)."""
