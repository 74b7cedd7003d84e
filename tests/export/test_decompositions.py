"""Every decomposition against torch's own autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from anti_i2v_export.decompositions import DECOMPOSITIONS


def weights(*shape: int) -> torch.Tensor:
    """The same numbers at each call, sampled by numpy so that the sampling is not recorded."""
    return torch.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))


CONVOLUTIONS = {
    "plain": ((4, 3, 3, 3), {"padding": 1}),
    "unpadded": ((4, 3, 3, 3), {}),
    "1x1": ((4, 3, 1, 1), {}),
    "5x3 kernel": ((4, 3, 5, 3), {"padding": (2, 1)}),
    "dilated": ((4, 3, 3, 3), {"padding": 2, "dilation": 2}),
    "padded beyond its reach": ((4, 3, 3, 3), {"padding": 3}),
    "stride 2": ((4, 3, 3, 3), {"padding": 1, "stride": 2}),
    "stride 4, 11x11": ((4, 3, 11, 11), {"padding": 2, "stride": 4}),
    "stride 3 and 2": ((4, 3, 3, 2), {"stride": (3, 2)}),
    "grouped": ((6, 1, 3, 3), {"padding": 1, "groups": 3}),
    "grouped with stride": ((6, 1, 3, 3), {"padding": 1, "groups": 3, "stride": 2}),
}

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "transposed convolution": lambda x: F.conv_transpose2d(x, weights(3, 4, 3, 3), stride=2, padding=1),
    "group norm": lambda x: F.group_norm(x, 1, weights(3), weights(3)),
    "group norm without weights": lambda x: F.group_norm(x, 3),
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:], weights(x.shape[-1]), weights(x.shape[-1])),
    "layer norm over three dimensions": lambda x: F.layer_norm(x, x.shape[1:]),
    "silu": F.silu,
    "relu": F.relu,
    "leaky relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "softmax": lambda x: x.softmax(-1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x.flip(0), x),
    "vector norm": lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "slice": lambda x: x[:, :, 2:-1],
    "slice from the end": lambda x: x[..., -4:],
    "slice with a step": lambda x: x[..., 1::2],
    "select": lambda x: x[:, 1],
    "select from the end": lambda x: x[..., -2, :],
    "nearest interpolation": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
    "nearest interpolation by 3 and 1": lambda x: F.interpolate(x, size=(3 * x.shape[2], x.shape[3]), mode="nearest"),
    "overlapping max pooling": lambda x: F.max_pool2d(x, 3, 2),
    "written in place": lambda x: x.clone().mul_(2).index_copy_(1, torch.tensor([0]), x[:, 1:2] ** 2),
}


def agrees(function: Callable[[torch.Tensor], torch.Tensor], feature: torch.Tensor) -> None:
    """The recorded gradient is autograd's, and has no operator that the decompositions should have replaced."""

    def gradient(feature: torch.Tensor) -> torch.Tensor:
        leaf = feature.detach().requires_grad_(True)
        value = function(leaf)
        (pulled,) = torch.autograd.grad(value, leaf, value.detach().cos())
        return pulled

    with sdpa_kernel(SDPBackend.MATH):
        recorded = make_fx(gradient, decomposition_table=DECOMPOSITIONS)(feature)
    torch.testing.assert_close(recorded(feature), gradient(feature), rtol=1e-5, atol=1e-5)
    assert not [node.target for node in recorded.graph.nodes if "backward" in str(node.target)]


@pytest.mark.parametrize("size", [(13, 16), (12, 17)], ids=["13x16", "12x17"])
@pytest.mark.parametrize(("shape", "options"), CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_the_gradient_of_a_convolution_is_autograds(
    shape: tuple[int, ...], options: dict[str, int], size: tuple[int, int]
) -> None:
    agrees(lambda x: F.conv2d(x, weights(*shape), weights(shape[0]), **options), weights(2, 3, *size))


def test_the_gradient_of_a_convolution_over_frames_is_autograds() -> None:
    agrees(lambda x: F.conv3d(x, weights(4, 3, 3, 3, 3), padding=(0, 1, 1)), weights(2, 3, 4, 6, 7))


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_the_gradient_of_a_layer_is_autograds(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    agrees(function, weights(2, 3, 8, 10))


def test_a_gradient_of_weights_is_refused() -> None:
    def gradient(weight: torch.Tensor) -> torch.Tensor:
        leaf = weight.detach().requires_grad_(True)
        (pulled,) = torch.autograd.grad(F.conv2d(weights(1, 3, 8, 8), leaf).sum(), leaf)
        return pulled

    with pytest.raises(NotImplementedError, match="gradient of the weights of a convolution"):
        make_fx(gradient, decomposition_table=DECOMPOSITIONS)(weights(4, 3, 3, 3))
