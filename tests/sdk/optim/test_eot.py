"""Sampled transforms of torch pixels: numpy's numbers, and their gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from anti_i2v.optim.eot import affine_transform, apply_transform
from anti_i2v.optim.transforms import TRANSFORMS, SampledTransform, Transform, identity, noise

every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
every_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(size: tuple[int, int] = (48, 64), dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(9)).to(dtype)


def sampled(
    transform: Transform, clean: torch.Tensor, generator: np.random.Generator | None = None
) -> SampledTransform:
    batch, channels, height, width = clean.shape
    shape = (batch, channels, height, width)
    return transform(shape, generator or seeded(), lambda: clean.detach().float().numpy())


@every_transform
@every_precision
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
def test_torch_transforms_pixels_as_numpy_does(
    make: Callable[[], Transform], size: tuple[int, int], dtype: torch.dtype
) -> None:
    clean = pixels(size, dtype)
    transform = sampled(make(), clean)
    transformed = apply_transform(transform, clean)
    assert (transformed.shape, transformed.dtype) == (clean.shape, dtype)
    np.testing.assert_allclose(transformed.numpy(), transform(clean.float().numpy()), atol=2e-6)


def test_the_identity_returns_the_pixels_themselves() -> None:
    clean = pixels()
    assert apply_transform(sampled(identity(), clean), clean) is clean


@every_transform
def test_gradients_pass_to_the_photo(make: Callable[[], Transform]) -> None:
    clean = (0.25 + 0.5 * pixels()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(apply_transform(sampled(make(), clean), clean).square().sum(), clean)
    assert gradient.isfinite().all()
    assert gradient.ne(0).float().mean() > 0.3


@pytest.mark.parametrize("transform", [noise(), identity()], ids=["noise", "identity"])
def test_the_gradient_passes_straight_through_offsets(transform: Transform) -> None:
    clean = pixels().requires_grad_(True)
    weights = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((weights * apply_transform(sampled(transform, clean), clean)).sum(), clean)
    assert torch.equal(gradient, weights)


@every_transform
@every_precision
def test_the_gradient_is_the_transforms_own(make: Callable[[], Transform], dtype: torch.dtype) -> None:
    """The same as in numpy: the transpose of a linear map, or the slope of a codec, which autograd cannot see."""
    clean = pixels(dtype=dtype).requires_grad_(True)
    transform = sampled(make(), clean)
    weights = torch.randn(clean.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((weights * apply_transform(transform, clean)).sum(), clean)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient.numpy(), transform.vjp(weights.float().numpy()), atol=2e-5)


@pytest.mark.parametrize("name", ["resize", "blur", "crop"])
def test_the_gradient_of_a_linear_transform_agrees_with_finite_differences(name: str) -> None:
    clean = pixels(dtype=torch.float64).requires_grad_(True)
    transform = sampled(TRANSFORMS[name](), clean)
    weights, along = (
        torch.randn(clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        return (weights * apply_transform(transform, candidate) ** 3).sum()

    (gradient,) = torch.autograd.grad(loss(clean), clean)
    with torch.no_grad():
        numeric = (loss(clean + 1e-5 * along) - loss(clean - 1e-5 * along)) / 2e-5
    assert float((gradient * along).sum()) == pytest.approx(float(numeric), rel=1e-6)


@every_transform
@every_precision
def test_the_traced_form_is_the_eager_one(make: Callable[[], Transform], dtype: torch.dtype) -> None:
    """Graphs are traced from `affine_transform`, which gets an identity for every part that changes nothing."""
    clean = pixels(dtype=dtype)
    transform = sampled(make(), clean)
    rows, columns = (
        torch.eye(side, dtype=dtype) if matrix is None else torch.from_numpy(matrix).to(dtype)
        for side, matrix in zip(clean.shape[-2:], (transform.rows, transform.columns), strict=True)
    )
    offset = torch.zeros_like(clean) if transform.offset is None else torch.from_numpy(transform.offset).to(dtype)
    torch.testing.assert_close(affine_transform(clean, rows, columns, offset), apply_transform(transform, clean))
