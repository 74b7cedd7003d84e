"""CLIP image embeddings (Radford et al. 2021), from a folder in the hub's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, final

import torch
from torch import nn

from anti_i2v.errors import SurrogateError
from anti_i2v.tensors import Pixels

__all__ = ["Clip"]

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@final
class Clip(nn.Module):
    """Maps pixels (B, 3, H, W) in [0, 1] to embeddings (B, D), differentiable.

    Photos are scaled to the model's square, antialiased, as in the image encoders of video models, and not cropped.
    """

    model: Any  # transformers' types do not know its output

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load a CLIP or CLIP vision model. Raises SurrogateError."""
        try:
            from transformers import CLIPVisionModelWithProjection
        except ImportError:
            raise SurrogateError(f'{folder} needs transformers: pip install "anti-i2v-sdk[backbones]"') from None
        kind: Any = CLIPVisionModelWithProjection
        try:
            return cls(kind.from_pretrained(folder, local_files_only=True, use_safetensors=True))
        except (OSError, ValueError, RuntimeError, KeyError) as problem:
            first_line = (str(problem).strip() or type(problem).__name__).splitlines()[0]
            raise SurrogateError(f"{folder} cannot be loaded as a CLIP image encoder: {first_line}") from None

    def forward(self, pixels: Pixels) -> torch.Tensor:
        """Return the embeddings, not normalised."""
        side = int(self.model.config.image_size)
        square = nn.functional.interpolate(pixels, (side, side), mode="bicubic", antialias=True)
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        normalised = ((square - mean) / std).to(self.model.dtype)
        embedding: torch.Tensor = self.model(normalised).image_embeds.to(pixels.dtype)
        return embedding
