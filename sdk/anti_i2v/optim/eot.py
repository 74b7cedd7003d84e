"""Changes applied to torch pixels, and the expectation over them (EOT, Athalye et al. 2018, eq. 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from anti_i2v.optim.transforms import SampledTransform, Transform
from anti_i2v.tensors import PerImage, Pixels

__all__ = ["affine_transform", "apply_transform", "expectation"]

LossFn = Callable[[Pixels], PerImage]


def affine_transform(pixels: Pixels, rows: torch.Tensor, columns: torch.Tensor, offset: torch.Tensor) -> Pixels:
    """The affine map of a `Change`, all of its parts given: what the ONNX engine's graphs are traced from."""
    return rows @ pixels @ columns.mT + offset


class _Changed(torch.autograd.Function):
    """A change whose gradient is the change's own: that of a codec is not what autograd would make of it."""

    @staticmethod
    def forward(ctx: Any, pixels: torch.Tensor, change: SampledTransform) -> torch.Tensor:
        ctx.change = change
        changed: torch.Tensor = change(pixels)
        return changed.clone() if changed is pixels else changed

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.change.pull_back(gradients[0]), None


def apply_transform(change: SampledTransform, pixels: Pixels) -> Pixels:
    """A change of torch pixels, differentiable; a draw that changes nothing costs nothing."""
    if change.is_identity:
        return pixels
    changed: Pixels = _Changed.apply(pixels, change.map(lambda array: torch.from_numpy(array).to(pixels)))  # type: ignore[no-untyped-call]  # torch's
    return changed


def expectation(loss_fn: LossFn, transforms: Sequence[Transform], generator: np.random.Generator) -> LossFn:
    """The mean of `loss_fn` over one draw of each transform. With `[identity()]` it is `loss_fn` itself."""

    def averaged(pixels: Pixels) -> PerImage:
        batch, channels, height, width = pixels.shape
        draws = [
            transform((batch, channels, height, width), generator, lambda: pixels.detach().cpu().float().numpy())
            for transform in transforms
        ]
        return torch.stack([loss_fn(apply_transform(draw, pixels)) for draw in draws]).mean(0)

    return averaged
