"""Random transforms: sizes, ranges, seeds, and torch, kornia, Pillow and the true codec as oracles."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.filters import gaussian_blur2d
from PIL import Image
from torch.nn import functional as F

from anti_i2v.arrays import PixelArray, Rgb8
from anti_i2v.errors import RecipeError
from anti_i2v.images.platforms import PRESETS, Preset
from anti_i2v.optim.transforms import (
    PLATFORM_SHARE,
    TRANSFORMS,
    SampledTransform,
    Transform,
    blur,
    crop,
    identity,
    jpeg,
    noise,
    resampling_matrix,
    resize,
    weighted_choice,
    with_platform_codec,
)

every_transform = pytest.mark.parametrize("make", TRANSFORMS.values(), ids=TRANSFORMS)
# Only noise may leave the range: it is an offset, so that gradients pass.
bounded = pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "noise"])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(size: tuple[int, int] = (48, 64), batch: int = 2) -> PixelArray:
    return np.random.default_rng(9).random((batch, 3, *size), np.float32)


def sampled(transform: Transform, clean: PixelArray, seed: int | np.random.Generator = 0) -> SampledTransform:
    batch, channels, height, width = clean.shape
    generator = seeded(seed) if isinstance(seed, int) else seed
    return transform((batch, channels, height, width), generator, lambda: clean)


def transformed(transform: Transform, clean: PixelArray, seed: int | np.random.Generator = 0) -> PixelArray:
    return sampled(transform, clean, seed)(clean)


def parts(sample: SampledTransform) -> list[bytes | None]:
    arrays = [sample.rows, sample.columns, sample.offset]
    arrays += [None, None] if sample.jpeg_slope is None else [sample.jpeg_slope.luma, sample.jpeg_slope.chroma]
    return [None if part is None else part.tobytes() for part in arrays]


def as_pixels(*photos: Rgb8) -> PixelArray:
    return np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)


@every_transform
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
def test_a_sample_keeps_the_photos_size_and_type(make: Callable[[], Transform], size: tuple[int, int]) -> None:
    clean = pixels(size)
    for seed in range(3):
        sample = sampled(make(), clean, seed)
        assert sample.rows is None or sample.rows.shape == (size[0], size[0])
        assert sample.columns is None or sample.columns.shape == (size[1], size[1])
        assert sample.offset is None or sample.offset.shape == clean.shape
        assert (sample(clean).shape, sample(clean).dtype) == (clean.shape, np.float32)


@bounded
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
def test_a_sample_keeps_the_range(name: str, size: tuple[int, int]) -> None:
    clean = pixels(size)
    for seed in range(3):
        found = transformed(TRANSFORMS[name](), clean, seed)
        assert found.min() >= -1e-6
        assert found.max() <= 1 + 1e-6


@every_transform
def test_one_seed_gives_one_sequence_of_samples(make: Callable[[], Transform]) -> None:
    clean, transform = pixels(), make()
    generators = seeded(1), seeded(1)
    for _ in range(3):
        first, second = (parts(sampled(transform, clean, generator)) for generator in generators)
        assert first == second


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "identity"])
def test_another_seed_gives_another_sample(name: str) -> None:
    transform = TRANSFORMS[name]()
    assert parts(sampled(transform, pixels(), 1)) != parts(sampled(transform, pixels(), 2))


@every_transform
def test_the_global_seeds_are_not_used(make: Callable[[], Transform]) -> None:
    ours, torchs = np.random.get_state(), torch.get_rng_state()
    sampled(make(), pixels())
    assert np.array_equal(np.random.get_state()[1], ours[1])
    assert torch.equal(torch.get_rng_state(), torchs)


@pytest.mark.parametrize("name", [name for name in TRANSFORMS if name != "jpeg"])
def test_only_the_codec_reads_the_pixels(name: str) -> None:
    """Reading may wait for a device."""

    def read_pixels() -> PixelArray:
        raise AssertionError("read")

    for seed in range(5):
        TRANSFORMS[name]()((1, 3, 16, 24), seeded(seed), read_pixels)


@pytest.mark.parametrize("name", ["resize", "blur", "crop"])
def test_a_linear_transform_averages_pixels(name: str) -> None:
    for seed in range(5):
        sample = sampled(TRANSFORMS[name](), pixels((21, 34)), seed)
        assert sample.offset is None
        for matrix in (sample.rows, sample.columns):
            assert matrix is not None
            assert matrix.min() >= 0
            np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


# Resampling, against torch and Pillow.


@given(wanted=st.integers(1, 90), given_=st.integers(1, 90))
@settings(max_examples=60, deadline=None)
def test_resampling_is_torchs_antialiased_interpolation(wanted: int, given_: int) -> None:
    # In float64, for torch's own weights are less exact than ours; two columns, for torch 2.13 gets a single one wrong.
    signal = np.random.default_rng(given_).random((1, 3, given_, 2))
    expected = F.interpolate(torch.from_numpy(signal), (wanted, 2), mode="bilinear", antialias=True)
    np.testing.assert_allclose(resampling_matrix(wanted, given_) @ signal, expected.numpy(), atol=5e-7)


@pytest.mark.parametrize(
    ("wanted", "given_"), [(20, 48), (48, 20), (37, 51), (64, 64)], ids=["fewer", "more", "odd", "as many"]
)
def test_resampling_is_pillows_bilinear(wanted: int, given_: int) -> None:
    plane = np.random.default_rng(0).random((given_, given_), np.float32)
    expected = np.asarray(Image.fromarray(plane).resize((wanted, wanted), Image.Resampling.BILINEAR))
    matrix = resampling_matrix(wanted, given_)
    np.testing.assert_allclose(matrix @ plane @ matrix.T, expected, atol=2e-6)


@pytest.mark.parametrize("factor", [0.5, 0.62, 0.97])
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (9, 70)], ids=["even", "odd", "thin"])
def test_a_resize_is_torchs_there_and_back(factor: float, size: tuple[int, int]) -> None:
    clean = torch.from_numpy(pixels(size)).double()
    small = tuple(max(8, round(side * factor)) for side in size)
    expected = F.interpolate(clean, small, mode="bilinear", antialias=True)
    expected = F.interpolate(expected, size, mode="bilinear", antialias=True)
    np.testing.assert_allclose(transformed(resize(factor, factor), pixels(size)), expected.numpy(), atol=1e-6)


def test_a_crop_is_a_window_scaled_up_by_torch() -> None:
    # Every window of this share, so that the sampled one is among them; 24 of 48 rows, 32 of 64 columns.
    clean = torch.from_numpy(pixels())
    for seed in range(3):
        found = torch.from_numpy(transformed(crop(0.5, 0.5), pixels(), seed))
        gaps = [
            float((F.interpolate(window, (48, 64), mode="bilinear", antialias=True) - found).abs().amax())
            for top in range(25)
            for left in range(33)
            for window in [clean[..., top : top + 24, left : left + 32]]
        ]
        assert min(gaps) < 5e-6
        assert sorted(gaps)[1] > 0.1


def test_crops_come_from_the_whole_photo() -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (1, 3, 64, 64))
    windows = [transformed(crop(0.5, 0.5), np.ascontiguousarray(ramp), seed) for seed in range(60)]
    assert all(float(window.max() - window.min()) == pytest.approx(0.5, abs=0.05) for window in windows)
    assert min(float(window.min()) for window in windows) < 0.05
    assert max(float(window.max()) for window in windows) > 0.95


# Blur, against kornia.


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("size", [(48, 64), (37, 51), (4, 9)], ids=["even", "odd", "thin"])
def test_a_blur_is_kornias(sigma: float, size: tuple[int, int]) -> None:
    expected = gaussian_blur2d(torch.from_numpy(pixels(size)), (7, 7), (sigma, sigma))
    np.testing.assert_allclose(transformed(blur(sigma, sigma), pixels(size)), expected.numpy(), atol=2e-6)


def test_blur_keeps_flat_areas_and_lowers_detail() -> None:
    flat = np.full((1, 3, 32, 32), 0.3, np.float32)
    np.testing.assert_allclose(transformed(blur(), flat), flat, atol=1e-6)
    assert transformed(blur(1, 1), pixels()).std() < 0.5 * pixels().std()


# JPEG, against libjpeg as Pillow calls it.


def true_jpeg(photo: Rgb8, quality: int) -> Rgb8:
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("quality", [60, 75, 90])
@pytest.mark.parametrize("size", [(96, 128), (83, 101)], ids=["even", "odd"])
def test_jpeg_is_the_true_codec_to_the_level(photos: list[Rgb8], quality: int, size: tuple[int, int]) -> None:
    cut = [np.ascontiguousarray(photo[: size[0], : size[1]]) for photo in photos]
    clean = as_pixels(*cut)
    true = as_pixels(*(true_jpeg(photo, quality) for photo in cut))
    found = transformed(jpeg(quality, quality), clean)
    assert np.array_equal(np.rint(found * 255), np.rint(true * 255))
    np.testing.assert_allclose(found, true, rtol=0, atol=1e-6)
    assert np.abs(true - clean).max() > 8 / 255  # not a small change that would be exact anyway


def test_jpeg_is_applied_to_the_candidate_as_saved(photos: list[Rgb8]) -> None:
    """Rounded to levels, and kept in the range."""
    off_grid = as_pixels(photos[0]) + np.random.default_rng(0).uniform(-0.4, 0.4, (1, 3, 96, 128)).astype(
        np.float32
    ) / np.float32(255)
    np.testing.assert_allclose(
        transformed(jpeg(75, 75), off_grid), as_pixels(true_jpeg(photos[0], 75)), rtol=0, atol=1e-6
    )
    beyond = np.where(off_grid < 0.5, np.float32(-0.2), np.float32(1.3))
    saved = np.where(off_grid < 0.5, np.uint8(0), np.uint8(255))[0].transpose(1, 2, 0)
    expected = as_pixels(true_jpeg(np.ascontiguousarray(saved), 75))
    np.testing.assert_allclose(transformed(jpeg(75, 75), beyond), expected, rtol=0, atol=1e-6)


def test_jpeg_samples_every_quality_of_its_range(photos: list[Rgb8]) -> None:
    photo = np.ascontiguousarray(photos[0][:48, :64])
    clean = as_pixels(photo)
    known = {true_jpeg(photo, quality).tobytes(): quality for quality in range(60, 96)}
    found = set()
    for seed in range(60):
        levels = np.rint(transformed(jpeg(70, 74), clean, seed) * 255).astype(np.uint8)[0].transpose(1, 2, 0)
        found.add(known[np.ascontiguousarray(levels).tobytes()])
    assert found == {70, 71, 72, 73, 74}


# Gradients.


def test_the_gradient_of_a_linear_transform_is_its_transpose() -> None:
    generator = np.random.default_rng(0)
    for name in ("identity", "resize", "blur", "crop"):
        sample = sampled(TRANSFORMS[name](), pixels((21, 34)))
        first, second = (generator.standard_normal((2, 3, 21, 34), np.float32) for _ in range(2))
        there, back = (sample(first) * second).sum(), (first * sample.vjp(second)).sum()
        assert float(there) == pytest.approx(float(back), rel=1e-3, abs=1e-2)


def test_noise_does_not_change_the_gradient() -> None:
    gradient = pixels()
    assert sampled(noise(), pixels()).vjp(gradient) is gradient


# The identity, noise, and weighted choices.


@pytest.mark.parametrize(
    "transform", [identity(), resize(1, 1), crop(1, 1), noise(0, 0)], ids=["identity", "resize", "crop", "noise"]
)
def test_identities_change_nothing(transform: Transform) -> None:
    np.testing.assert_allclose(transformed(transform, pixels()), pixels(), rtol=0, atol=1e-6)


def test_noise_has_the_given_sigma() -> None:
    clean = np.full((1, 3, 128, 128), 0.5, np.float32)
    added = transformed(noise(0.03, 0.03), clean) - clean
    assert float(added.std()) == pytest.approx(0.03, rel=0.02)
    assert float(added.mean()) == pytest.approx(0, abs=5e-4)
    strengths = [float((transformed(noise(), clean, seed) - clean).std()) for seed in range(40)]
    assert 0 <= min(strengths) < 0.005
    assert 0.025 < max(strengths) < 0.031


def test_a_sample_is_an_affine_map() -> None:
    generator = np.random.default_rng(0)
    rows, columns = (generator.random((side, side), np.float32) for side in (5, 7))
    offset = generator.random((2, 3, 5, 7), np.float32)
    first, second = (generator.random((2, 3, 5, 7), np.float32) for _ in range(2))
    sample = SampledTransform(rows, columns, offset)
    expected = np.einsum("hi,bcij,wj->bchw", rows, first, columns) + offset
    np.testing.assert_allclose(sample(first), expected, rtol=1e-5)
    middle = sample((first + second) / 2)
    np.testing.assert_allclose(middle, (sample(first) + sample(second)) / 2, rtol=1e-4)
    assert sample(first).dtype == np.float32
    assert np.array_equal(SampledTransform()(first), first)


def test_transforms_are_chosen_by_weight() -> None:
    generator = seeded()
    mixed = weighted_choice({"identity": 3.0, "noise": 1.0, "jpeg": 0.0})
    samples = [sampled(mixed, pixels((16, 16)), generator) for _ in range(400)]
    unchanged = sum(sample.offset is None for sample in samples)
    assert 260 <= unchanged <= 340


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_choice_of_one_transform_samples_that_one(name: str, photos: list[Rgb8]) -> None:
    clean = as_pixels(photos[0])
    generator = seeded(5)
    generator.choice(1, p=[1.0])  # as the choice does
    assert parts(sampled(weighted_choice({name: 2.0}), clean, 5)) == parts(
        sampled(TRANSFORMS[name](), clean, generator)
    )


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
        weighted_choice(weights)


# A platform's codec.


def platform(**settings: object) -> Preset:
    return Preset(name="own", label="Own", confidence="none", source="this test", **settings)  # type: ignore[arg-type]  # rows of a table


@pytest.mark.parametrize(
    "preset",
    [None, platform(), platform(quality=80, only_above_quality=97)],
    ids=["no preset", "no codec", "keeps good photos"],
)
def test_without_a_platform_codec_the_transform_is_unchanged(preset: Preset | None) -> None:
    own = weighted_choice({"identity": 1.0})
    assert with_platform_codec(own, preset) is own


@pytest.mark.parametrize(
    ("preset", "qualities"),
    [(PRESETS["instagram"], range(72, 79)), (platform(quality=99), range(96, 101))],
    ids=["instagram", "near the top"],
)
def test_a_presets_codec_is_its_share_of_the_samples(preset: Preset, qualities: range, photos: list[Rgb8]) -> None:
    photo = np.ascontiguousarray(photos[0][:48, :64])
    known = {true_jpeg(photo, quality).tobytes(): quality for quality in qualities}
    mixed, generator, clean = with_platform_codec(identity(), preset), seeded(), as_pixels(photo)
    found = []
    for _ in range(300):
        sample = sampled(mixed, clean, generator)
        if sample.offset is not None:
            levels = np.rint(sample(clean) * 255).astype(np.uint8)[0].transpose(1, 2, 0)
            found.append(known[np.ascontiguousarray(levels).tobytes()])
    assert len(found) / 300 == pytest.approx(PLATFORM_SHARE, abs=0.08)
    assert set(found) == set(qualities)
    assert all(second - first == 1 for first, second in pairwise(sorted(set(found))))
