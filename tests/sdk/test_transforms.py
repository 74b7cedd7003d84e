"""What a photo meets on its way: sizes, ranges, gradients, seeds, and the true codec as an oracle."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from anti_i2v.errors import RecipeError
from anti_i2v.transforms import TRANSFORMS, Transform, blur, crop, expectation, identity, jpeg, noise, resize, sampler

every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(size: tuple[int, int] = (48, 64), dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(2, 3, *size, generator=seeded(9)).to(dtype)


@every_transform
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_size_type_and_range_are_kept(make: Callable[[], Transform], size: tuple[int, int], dtype: torch.dtype) -> None:
    clean = pixels(size, dtype)
    for seed in range(3):
        changed = make()(clean, seeded(seed))
        assert (changed.shape, changed.dtype) == (clean.shape, dtype)
        assert changed.amin() >= -1e-6
        assert changed.amax() <= 1 + 1e-6


@every_transform
def test_gradients_pass_to_the_photo(make: Callable[[], Transform]) -> None:
    clean = (0.25 + 0.5 * pixels()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(make()(clean, seeded()).square().sum(), clean)
    assert gradient.isfinite().all()
    assert gradient.ne(0).float().mean() > 0.3


@every_transform
def test_one_seed_gives_one_sequence(make: Callable[[], Transform]) -> None:
    clean, transform = pixels(), make()
    generators = seeded(1), seeded(1)
    for _ in range(3):
        first, second = (transform(clean, generator) for generator in generators)
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "identity"])
def test_another_seed_gives_another_change(name: str) -> None:
    transform = TRANSFORMS[name]()
    assert not torch.equal(transform(pixels(), seeded(1)), transform(pixels(), seeded(2)))


@every_transform
def test_the_global_seed_is_left_alone(make: Callable[[], Transform]) -> None:
    before = torch.get_rng_state()
    make()(pixels(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


def true_jpeg(photo: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


def decibels(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(-10 * torch.log10((first - second).square().mean()))


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_differentiable_jpeg_is_near_the_true_codec(photos: list[NDArray[np.uint8]], quality: int) -> None:
    for photo in photos:
        clean = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 255
        true = torch.from_numpy(true_jpeg(photo, quality).copy()).permute(2, 0, 1)[None] / 255
        ours = jpeg(quality, quality)(clean, seeded())
        # Rounding is softened so that gradients pass, and chroma is scaled in another way: near, never equal.
        assert decibels(ours, true) > decibels(clean, true) + 1.5
        assert decibels(ours, true) > 33


def test_jpeg_at_a_size_that_is_no_multiple_of_its_blocks_matches_the_true_codec(
    photos: list[NDArray[np.uint8]],
) -> None:
    photo = np.ascontiguousarray(photos[0][:83, :101])
    clean, true = (
        torch.from_numpy(array.copy()).permute(2, 0, 1)[None] / 255 for array in (photo, true_jpeg(photo, 75))
    )
    ours = jpeg(75, 75)(clean, seeded())
    border = decibels(ours[..., -8:, :], true[..., -8:, :])
    assert border > 31


@pytest.mark.parametrize(
    "transform", [identity(), resize(1, 1), crop(1, 1), noise(0, 0)], ids=["identity", "resize", "crop", "noise"]
)
def test_a_change_of_nothing_changes_nothing(transform: Transform) -> None:
    torch.testing.assert_close(transform(pixels(), seeded()), pixels(), rtol=0, atol=1e-6)


def test_noise_is_as_strong_as_it_says() -> None:
    clean = torch.full((1, 3, 128, 128), 0.5)
    assert float((noise(0.03, 0.03)(clean, seeded()) - clean).std()) == pytest.approx(0.03, rel=0.02)


def test_blur_keeps_flat_areas_and_lowers_detail() -> None:
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(blur()(flat, seeded()), flat)
    assert blur(1, 1)(pixels(), seeded()).std() < 0.5 * pixels().std()


def test_a_crop_shows_a_window_of_the_photo() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    window = crop(0.5, 0.5)(ramp, seeded(1))
    assert float(window.amax() - window.amin()) == pytest.approx(0.5, abs=0.05)


def test_a_sampler_draws_by_weight() -> None:
    clean, generator = pixels((16, 16)), seeded()
    drawn = sampler({"identity": 3.0, "noise": 1.0, "jpeg": 0.0})
    unchanged = sum(torch.equal(drawn(clean, generator), clean) for _ in range(400))
    assert 260 <= unchanged <= 340


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"jpg": 1.0}, "unknown transform 'jpg': choose from identity, jpeg, resize, blur, noise, crop"),
        ({}, "not all zero"),
        ({"jpeg": 0.0}, "not all zero"),
        ({"jpeg": -1.0, "identity": 2.0}, ">= 0"),
    ],
    ids=["unknown", "empty", "all zero", "negative"],
)
def test_unfit_weights_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        sampler(weights)


def loss_fn(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.square().flatten(1).mean(1)


def test_an_expectation_over_identity_is_the_loss_itself() -> None:
    assert torch.equal(expectation(loss_fn, [identity()], seeded())(pixels()), loss_fn(pixels()))


def test_an_expectation_is_the_mean_over_its_transforms() -> None:
    transforms = [resize(), noise(), crop()]
    generator = seeded(4)
    expected = torch.stack([loss_fn(transform(pixels(), generator)) for transform in transforms]).mean(0)
    torch.testing.assert_close(expectation(loss_fn, transforms, seeded(4))(pixels()), expected)
