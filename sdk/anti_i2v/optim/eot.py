"""Expectation over transformation (EOT, Athalye et al. 2018): sampled transforms applied to torch pixels.

Each step applies one sampled transform, so the loop estimates the expectation's gradient from single samples.
"""

from __future__ import annotations

from typing import Any

import torch

from anti_i2v.optim.transforms import SampledTransform
from anti_i2v.tensors import Pixels

__all__ = ["affine_transform", "apply_transform"]


def affine_transform(pixels: Pixels, rows: torch.Tensor, columns: torch.Tensor, offset: torch.Tensor) -> Pixels:
    """Apply the affine map of a `SampledTransform` with all parts given. The ONNX graphs are traced from this form."""
    return rows @ pixels @ columns.mT + offset


class _ApplyTransform(torch.autograd.Function):
    """Uses the transform's own gradient: autograd cannot differentiate a codec."""

    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, transform: SampledTransform) -> torch.Tensor:
        ctx.transform = transform
        transformed: torch.Tensor = transform(pixels)
        return transformed.clone() if transformed is pixels else transformed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.transform.vjp(gradients[0]), None


def apply_transform(transform: SampledTransform, pixels: Pixels) -> Pixels:
    """Apply a sampled transform to torch pixels, differentiably. The identity returns `pixels` itself."""
    if transform.is_identity:
        return pixels
    on_device = transform.map(lambda array: torch.from_numpy(array).to(pixels))
    transformed: Pixels = _ApplyTransform.apply(pixels, on_device)  # type: ignore[no-untyped-call]  # torch's
    return transformed
