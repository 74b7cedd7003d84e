"""Decompositions of backward operators into forward ones, so that a gradient can be stored as an ONNX graph.

Torch records the gradient of a convolution as `aten.convolution_backward`, that of a group norm as
`aten.native_group_norm_backward` and so on; ONNX has none of these operators. The functions here compute the gradient
of the input only, because weights are frozen. Elementwise functions (silu, gelu, ...), softmax and max pooling use
torch's own decompositions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch._decomp import get_decompositions
from torch._ops import OpOverload
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.nn import functional as F

__all__ = ["DECOMPOSITIONS", "Decomposition"]

aten = torch.ops.aten

Decomposition = Callable[..., Any]
"""Takes the arguments of an aten operator, and returns what the operator returns."""

Size = Sequence[int]
"""Sizes, symbolic while tracing."""


def convolution_backward(
    gradient: torch.Tensor,
    feature: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: Size | None,
    stride: Size,
    padding: Size,
    dilation: Size,
    transposed: bool,
    output_padding: Size,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, None, None]:
    """Compute the gradient of a convolution's input: a transposed convolution, or a plain one where the stride is 1."""
    _refuse_weight_gradients(output_mask, "convolution")
    if not output_mask[0]:
        return None, None, None
    if transposed:
        # The adjoint of a transposed convolution is the convolution itself.
        return _convolution(gradient, weight, stride, padding, dilation, groups), None, None
    reach = [d * (k - 1) for k, d in zip(weight.shape[2:], dilation, strict=True)]
    around = [r - p for r, p in zip(reach, padding, strict=True)]
    if groups == 1 and set(stride) == {1} and min(around) >= 0:
        # ONNX Runtime folds the rotation once, and has faster kernels for Conv than for ConvTranspose.
        rotated = weight.flip(list(range(2, weight.ndim))).transpose(0, 1)
        return _convolution(gradient, rotated, stride, around, dilation, groups), None, None
    return (
        _transposed_convolution(gradient, feature.shape[2:], weight, stride, padding, dilation, reach, groups),
        None,
        None,
    )


def _transposed_convolution(
    gradient: torch.Tensor,
    sizes: Size,
    weight: torch.Tensor,
    stride: Size,
    padding: Size,
    dilation: Size,
    reach: Size,
    groups: int,
) -> torch.Tensor:
    covered = [(n - 1) * s + r + 1 for n, s, r in zip(gradient.shape[2:], stride, reach, strict=True)]
    # Pixels at the end that the stride did not reach, 0 .. stride - 1; None where they depend on a symbolic size.
    remainder = [
        next((k for k in range(s) if statically_known_true(size + 2 * p - c == k)), None)
        for size, p, c, s in zip(sizes, padding, covered, stride, strict=True)
    ]
    if None not in remainder:
        return _convolution(gradient, weight, stride, padding, dilation, groups, remainder)
    # ONNX attributes are constants, and the remainder depends on the size: compute without padding, then crop and pad.
    zeros = [0] * len(sizes)
    whole = _convolution(gradient, weight, stride, zeros, dilation, groups, zeros)
    pads: list[int] = []
    for size, p, c in reversed(list(zip(sizes, padding, covered, strict=True))):
        pads += [-p, size + p - c]
    return F.pad(whole, pads)


def _convolution(
    feature: torch.Tensor,
    weight: torch.Tensor,
    stride: Size,
    padding: Size,
    dilation: Size,
    groups: int,
    output_padding: Sequence[int | None] | None = None,
) -> torch.Tensor:
    """Convolve; with `output_padding`, the convolution is transposed."""
    convolved: torch.Tensor = aten.convolution(
        feature, weight, None, stride, padding, dilation, output_padding is not None, output_padding or [0], groups
    )
    return convolved


def native_group_norm_backward(
    gradient: torch.Tensor,
    feature: torch.Tensor,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    batch: int,
    channels: int,
    places: int,
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, None, None]:
    """Compute the gradient of a group norm's input, with means over each group."""
    _refuse_weight_gradients(output_mask, "group norm")
    scaled = gradient if weight is None else gradient * weight.view(-1, *[1] * (feature.ndim - 2))
    grouped = [batch, groups, -1]
    pulled = _norm_backward(
        scaled.reshape(grouped), feature.reshape(grouped), mean.unsqueeze(-1), rstd.unsqueeze(-1), [-1]
    )
    return pulled.reshape(feature.shape), None, None


def native_layer_norm_backward(
    gradient: torch.Tensor,
    feature: torch.Tensor,
    normalized: Size,
    mean: torch.Tensor,
    rstd: torch.Tensor,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, None, None]:
    """Compute the gradient of a layer norm's input."""
    _refuse_weight_gradients(output_mask, "layer norm")
    scaled = gradient if weight is None else gradient * weight
    return _norm_backward(scaled, feature, mean, rstd, list(range(-len(normalized), 0))), None, None


def _norm_backward(
    gradient: torch.Tensor, feature: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor, over: list[int]
) -> torch.Tensor:
    unit = (feature - mean) * rstd
    along = (gradient * unit).mean(over, keepdim=True)
    return (gradient - gradient.mean(over, keepdim=True) - unit * along) * rstd


def slice_backward(gradient: torch.Tensor, sizes: Size, dim: int, start: int, end: int, step: int) -> torch.Tensor:
    """Pad the slice's gradient with zeros."""
    dim = dim % len(sizes)
    size = sizes[dim]
    start = start + size if start < 0 else start
    if step != 1:
        zeros = gradient.new_zeros(sizes)
        return torch.slice_scatter(zeros, gradient, dim, start, end, step)
    return _pad_dim(gradient, dim, start, size - start - gradient.shape[dim])


def select_backward(gradient: torch.Tensor, sizes: Size, dim: int, index: int) -> torch.Tensor:
    """Pad the selected index's gradient with zeros."""
    dim = dim % len(sizes)
    size = sizes[dim]
    index = index + size if index < 0 else index
    return _pad_dim(gradient.unsqueeze(dim), dim, index, size - index - 1)


def _pad_dim(feature: torch.Tensor, dim: int, before: int, after: int) -> torch.Tensor:
    return F.pad(feature, [0, 0] * (feature.ndim - 1 - dim) + [before, after])


def upsample_nearest2d_backward(
    gradient: torch.Tensor,
    output_size: Size,
    input_size: Size,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> torch.Tensor:
    """Sum over the copies of each pixel; only for whole factors, which decoders use."""
    factors = [_whole_factor(large, small) for large, small in zip(output_size, input_size[2:], strict=True)]
    return F.avg_pool2d(gradient, factors) * math.prod(factors)


def _whole_factor(large: int, small: int) -> int:
    for factor in range(1, 17):
        if statically_known_true(large == factor * small):
            return factor
    raise NotImplementedError("nearest interpolation by a factor that is not whole")


def _safe_softmax(feature: torch.Tensor, dim: int, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Compute a plain softmax: the guard against fully masked rows costs three passes over the rows."""
    return torch.softmax(feature, dim, dtype)


def _refuse_weight_gradients(output_mask: Sequence[bool], layer: str) -> None:
    if any(output_mask[1:]):
        raise NotImplementedError(f"a gradient of the weights of a {layer}")


def threshold_backward(gradient: torch.Tensor, feature: torch.Tensor, threshold: float) -> torch.Tensor:
    """Multiply with the mask: ONNX Runtime takes ten times as long for a `Where`."""
    return gradient * (feature > threshold).to(gradient.dtype)


TORCH_DECOMPOSITIONS = get_decompositions(
    [
        aten._softmax_backward_data,
        aten.elu_backward,
        aten.gelu_backward,
        aten.hardtanh_backward,
        aten.leaky_relu_backward,
        aten.max_pool2d_with_indices_backward,
        aten.sigmoid_backward,
        aten.silu_backward,
        aten.softplus_backward,
        aten.tanh_backward,
    ]
)

DECOMPOSITIONS: dict[OpOverload, Decomposition] = {
    **cast(dict[OpOverload, Decomposition], TORCH_DECOMPOSITIONS),
    aten._safe_softmax.default: _safe_softmax,
    aten.convolution_backward.default: convolution_backward,
    aten.native_group_norm_backward.default: native_group_norm_backward,
    aten.native_layer_norm_backward.default: native_layer_norm_backward,
    aten.select_backward.default: select_backward,
    aten.slice_backward.default: slice_backward,
    aten.threshold_backward.default: threshold_backward,
    aten.upsample_nearest2d_backward.default: upsample_nearest2d_backward,
}
"""Operator -> decomposition, for `make_fx`."""
