"""Changes of torch pixels: numpy's numbers, the gradients of what a change is, and the expectation over them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from anti_i2v.optim.eot import affine_transform, apply_transform, expectation
from anti_i2v.optim.transforms import TRANSFORMS, SampledTransform, Transform, crop, identity, jpeg, noise, resize

every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
every_precision = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(size: tuple[int, int] = (48, 64), dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(9)).to(dtype)


def drawn(transform: Transform, clean: torch.Tensor, generator: np.random.Generator | None = None) -> SampledTransform:
    batch, channels, height, width = clean.shape
    shape = (batch, channels, height, width)
    return transform(shape, generator or seeded(), lambda: clean.detach().float().numpy())


@every_transform
@every_precision
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
def test_torch_changes_pixels_as_numpy_does(
    make: Callable[[], Transform], size: tuple[int, int], dtype: torch.dtype
) -> None:
    clean = pixels(size, dtype)
    change = drawn(make(), clean)
    changed = apply_transform(change, clean)
    assert (changed.shape, changed.dtype) == (clean.shape, dtype)
    np.testing.assert_allclose(changed.numpy(), change(clean.float().numpy()), atol=2e-6)


def test_a_change_of_nothing_gives_the_very_pixels() -> None:
    clean = pixels()
    assert apply_transform(drawn(identity(), clean), clean) is clean


@every_transform
def test_gradients_pass_to_the_photo(make: Callable[[], Transform]) -> None:
    clean = (0.25 + 0.5 * pixels()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(apply_transform(drawn(make(), clean), clean).square().sum(), clean)
    assert gradient.isfinite().all()
    assert gradient.ne(0).float().mean() > 0.3


@pytest.mark.parametrize("transform", [noise(), identity()], ids=["noise", "identity"])
def test_the_gradient_passes_straight_through_what_is_an_offset(transform: Transform) -> None:
    clean = pixels().requires_grad_(True)
    weights = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((weights * apply_transform(drawn(transform, clean), clean)).sum(), clean)
    assert torch.equal(gradient, weights)


@every_transform
@every_precision
def test_the_gradient_is_the_changes_own(make: Callable[[], Transform], dtype: torch.dtype) -> None:
    """What numpy makes of it; of a linear change that is its transpose, of a codec a slope that autograd cannot see."""
    clean = pixels(dtype=dtype).requires_grad_(True)
    change = drawn(make(), clean)
    weights = torch.randn(clean.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((weights * apply_transform(change, clean)).sum(), clean)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient.numpy(), change.pull_back(weights.float().numpy()), atol=2e-5)


@pytest.mark.parametrize("name", ["resize", "blur", "crop"])
def test_the_gradient_of_a_linear_change_agrees_with_finite_differences(name: str) -> None:
    clean = pixels(dtype=torch.float64).requires_grad_(True)
    change = drawn(TRANSFORMS[name](), clean)
    weights, along = (
        torch.randn(clean.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )

    def loss(candidate: torch.Tensor) -> torch.Tensor:
        return (weights * apply_transform(change, candidate) ** 3).sum()

    (gradient,) = torch.autograd.grad(loss(clean), clean)
    with torch.no_grad():
        numeric = (loss(clean + 1e-5 * along) - loss(clean - 1e-5 * along)) / 2e-5
    assert float((gradient * along).sum()) == pytest.approx(float(numeric), rel=1e-6)


@every_transform
@every_precision
def test_the_traced_form_is_the_eager_one(make: Callable[[], Transform], dtype: torch.dtype) -> None:
    """Graphs are traced from `change_pixels`, which is given an identity for every part that changes nothing."""
    clean = pixels(dtype=dtype)
    change = drawn(make(), clean)
    rows, columns = (
        torch.eye(side, dtype=dtype) if matrix is None else torch.from_numpy(matrix).to(dtype)
        for side, matrix in zip(clean.shape[-2:], (change.rows, change.columns), strict=True)
    )
    offset = torch.zeros_like(clean) if change.offset is None else torch.from_numpy(change.offset).to(dtype)
    torch.testing.assert_close(affine_transform(clean, rows, columns, offset), apply_transform(change, clean))


def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.square().flatten(1).mean(1)


def test_an_expectation_over_identity_is_the_loss_itself() -> None:
    assert torch.equal(expectation(loss_fn, [identity()], seeded())(pixels()), loss_fn(pixels()))


def test_an_expectation_is_the_mean_over_its_transforms() -> None:
    transforms = [resize(), noise(), crop(), jpeg()]
    generator = seeded(4)
    expected = torch.stack(
        [loss_fn(apply_transform(drawn(transform, pixels(), generator), pixels())) for transform in transforms]
    ).mean(0)
    torch.testing.assert_close(expectation(loss_fn, transforms, seeded(4))(pixels()), expected)


def test_an_expectation_draws_anew_at_each_call_and_repeats_by_its_seed() -> None:
    first, second = (expectation(loss_fn, [noise(0.03, 0.03)], seeded(4)) for _ in range(2))
    sequence = [first(pixels()) for _ in range(3)]
    assert not torch.equal(sequence[0], sequence[1])
    assert all(torch.equal(value, second(pixels())) for value in sequence)


def test_an_expectation_can_be_differentiated() -> None:
    leaf = pixels().requires_grad_(True)
    (gradient,) = torch.autograd.grad(expectation(loss_fn, [jpeg(), resize()], seeded())(leaf).sum(), leaf)
    assert gradient.isfinite().all()
    assert gradient.ne(0).all()
