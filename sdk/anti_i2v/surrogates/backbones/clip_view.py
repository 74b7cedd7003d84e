"""Preprocess photos for image encoders, with gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from anti_i2v.tensors import Pixels

__all__ = ["clip_view"]


def clip_view(pixels: Pixels, settings: Mapping[str, Any]) -> torch.Tensor:
    """Resize, crop and normalise as CLIPImageProcessor does, (B, 3, h, w), but differentiably: without 8-bit rounding.

    Args:
        settings: content of preprocessor_config.json; CLIP's values are the defaults.
    """
    if settings.get("do_resize", True):
        size, sides = settings.get("size", {"shortest_edge": 224}), pixels.shape[-2:]
        if "shortest_edge" in size:
            short = min(sides)
            wanted = [int(size["shortest_edge"] * side / short) for side in sides]
        else:
            wanted = [size["height"], size["width"]]
        mode = {2: "bilinear", 3: "bicubic"}[settings.get("resample", 3)]
        pixels = nn.functional.interpolate(pixels, wanted, mode=mode, antialias=True).clamp(0, 1)
    if settings.get("do_center_crop", True):
        crop = settings.get("crop_size", {"height": 224, "width": 224})
        top, left = (pixels.shape[-2] - crop["height"]) // 2, (pixels.shape[-1] - crop["width"]) // 2
        pixels = pixels[..., top : top + crop["height"], left : left + crop["width"]]
    mean = settings.get("image_mean", (0.48145466, 0.4578275, 0.40821073))
    deviation = settings.get("image_std", (0.26862954, 0.26130258, 0.27577711))
    return (pixels - pixels.new_tensor(mean).view(3, 1, 1)) / pixels.new_tensor(deviation).view(3, 1, 1)
