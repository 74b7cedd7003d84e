"""Platforms and checks: sizes, the true codec, and what is left alone."""

from __future__ import annotations

import io

import msgspec
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError
from anti_i2v.images.degradations import SURVIVAL_CHECKS
from anti_i2v.images.jpeg import jpeg_round_trip, jpeg_round_trip_with_tables
from anti_i2v.images.platforms import PRESETS, Preset, get_preset, simulate_platform


@pytest.fixture(scope="module")
def photo() -> Rgb8:
    return np.ascontiguousarray(data.astronaut()[:240, :320])  # type: ignore[no-untyped-call]  # scikit-image has no annotations


def noise(height: int, width: int) -> Rgb8:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def own(**settings: object) -> Preset:
    """A preset of no platform."""
    texts = {"name": "own", "label": "own", "confidence": "ours", "source": "this test"}
    return msgspec.convert({**texts, **settings}, Preset)


def through_pillow(pixels: Rgb8, quality: int, subsampling: int) -> Rgb8:
    """The oracle: Pillow called by hand, its subsampling as a number (0 is 4:4:4, 2 is 4:2:0)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "long_edge", "max_pixels", "quality", "max_bytes"),
    [
        ("any", 2048, None, 80, None),
        ("instagram", 1080, None, 75, None),
        ("facebook", 2048, None, 80, None),
        ("x", 4096, None, 85, None),
        ("whatsapp", 1600, None, 70, None),
        ("bluesky", 4000, None, 95, 2_000_000),
        ("mastodon", None, 9_800_000, 90, None),
    ],
)
def test_each_platform_is_described(
    name: str, long_edge: int | None, max_pixels: int | None, quality: int, max_bytes: int | None
) -> None:
    found = get_preset(name)
    assert found is PRESETS[name]
    assert found.name == name
    assert (found.long_edge, found.max_pixels, found.quality, found.max_bytes) == (
        long_edge,
        max_pixels,
        quality,
        max_bytes,
    )
    assert found.label
    assert found.confidence
    assert found.source


def test_every_preset_is_tested_above() -> None:
    assert set(PRESETS) == {"any", "instagram", "facebook", "x", "whatsapp", "bluesky", "mastodon"}


def test_our_own_preset_says_that_it_is_ours() -> None:
    assert get_preset("any").confidence == "ours"


def test_an_unknown_preset_is_answered_with_the_known_names() -> None:
    with pytest.raises(RecipeError, match=r"unknown preset 'myspace': choose from any, instagram, .*mastodon"):
        get_preset("myspace")


@pytest.mark.parametrize(
    "settings",
    [{"quality": 0}, {"quality": 101}, {"long_edge": 0}, {"subsampling": "4:1:1"}, {"qualty": 80}],
    ids=lambda settings: "-".join(settings),
)
def test_a_preset_file_with_a_mistake_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        own(**settings)


@pytest.mark.parametrize(
    ("size", "settings", "expected"),
    [
        ((300, 600), {"long_edge": 200}, (100, 200)),
        ((600, 300), {"long_edge": 200}, (200, 100)),
        ((600, 300), {"long_edge": 600}, (600, 300)),
        ((100, 400), {"max_pixels": 10_000}, (50, 200)),
        ((100, 400), {"max_pixels": 40_000}, (100, 400)),
        ((100, 400), {"max_pixels": 10_000, "long_edge": 100}, (25, 100)),
        ((1, 500), {"long_edge": 100}, (1, 100)),
        ((7, 13), {"long_edge": 2000}, (7, 13)),
    ],
)
def test_a_photo_shrinks_to_the_limits_and_never_grows(
    size: tuple[int, int], settings: dict[str, object], expected: tuple[int, int]
) -> None:
    delivered = simulate_platform(noise(*size), own(quality=80, **settings))
    assert delivered.shape == (*expected, 3)
    assert delivered.dtype == np.uint8


@pytest.mark.parametrize("height", [97, 256, 411])
@pytest.mark.parametrize("width", [101, 333])
def test_no_shrunk_photo_has_more_pixels_than_allowed(height: int, width: int) -> None:
    delivered = simulate_platform(noise(height, width), own(max_pixels=7777))
    assert 7777 * 0.96 < delivered.shape[0] * delivered.shape[1] <= 7777


@pytest.mark.parametrize(("subsampling", "number"), [("4:2:0", 2), ("4:4:4", 0)])
def test_the_codec_is_libjpeg_at_the_presets_settings(photo: Rgb8, subsampling: str, number: int) -> None:
    delivered = simulate_platform(photo, own(quality=70, subsampling=subsampling))
    np.testing.assert_array_equal(delivered, through_pillow(photo, 70, number))


def test_a_platform_that_keeps_good_enough_photos_re_encodes_those_above(photo: Rgb8) -> None:
    """X re-encodes above quality 85, and an incoming photo is taken to be 95."""
    np.testing.assert_array_equal(simulate_platform(photo, get_preset("x")), through_pillow(photo, 85, 2))
    assert simulate_platform(photo, own(quality=85, only_above_quality=95)) is photo


def test_mastodon_leaves_a_small_photo_alone(photo: Rgb8) -> None:
    assert simulate_platform(photo, get_preset("mastodon")) is photo


def test_a_photo_that_must_shrink_is_encoded_even_where_others_are_left_alone(photo: Rgb8) -> None:
    delivered = simulate_platform(photo, own(long_edge=160, quality=90, only_above_quality=100))
    small = np.asarray(Image.fromarray(photo).resize((160, 120), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(delivered, through_pillow(small, 90, 2))


def test_quality_walks_down_to_the_best_that_fits(photo: Rgb8) -> None:
    def size(quality: int) -> int:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, "JPEG", quality=quality, subsampling=2)
        return buffer.tell()

    best = max(quality for quality in range(1, 96) if size(quality) <= 9_000)
    assert 20 < best < 90
    np.testing.assert_array_equal(
        simulate_platform(photo, own(quality=95, max_bytes=9_000)), through_pillow(photo, best, 2)
    )


def test_a_photo_that_fits_keeps_the_first_quality(photo: Rgb8) -> None:
    np.testing.assert_array_equal(simulate_platform(photo, get_preset("bluesky")), through_pillow(photo, 95, 2))


def test_a_limit_that_nothing_fits_ends_at_quality_one(photo: Rgb8) -> None:
    np.testing.assert_array_equal(simulate_platform(photo, own(quality=95, max_bytes=10)), through_pillow(photo, 1, 2))


@pytest.mark.parametrize("name", PRESETS)
def test_delivery_is_deterministic_and_leaves_its_input_alone(photo: Rgb8, name: str) -> None:
    before = photo.copy()
    first, second = simulate_platform(photo, get_preset(name)), simulate_platform(photo, get_preset(name))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(photo, before)


def test_a_grey_photo_survives_the_codec_within_a_level() -> None:
    grey = np.full((33, 47, 3), 128, np.uint8)
    assert np.abs(jpeg_round_trip(grey, 75).astype(int) - 128).max() <= 1


def test_the_checks_are_those_of_the_receipt_in_its_order() -> None:
    assert list(SURVIVAL_CHECKS) == ["as is", "jpeg75", "half size", "blur"]


@pytest.mark.parametrize("size", [(240, 320), (33, 47), (1, 1), (2, 301)], ids=str)
@pytest.mark.parametrize("name", SURVIVAL_CHECKS)
def test_every_check_keeps_size_and_type_and_input(name: str, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    before = pixels.copy()
    checked = SURVIVAL_CHECKS[name](pixels)
    assert checked.shape == pixels.shape
    assert checked.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


def test_as_is_changes_nothing(photo: Rgb8) -> None:
    np.testing.assert_array_equal(SURVIVAL_CHECKS["as is"](photo), photo)


def test_jpeg75_is_the_true_codec(photo: Rgb8) -> None:
    np.testing.assert_array_equal(SURVIVAL_CHECKS["jpeg75"](photo), through_pillow(photo, 75, 2))


def test_half_size_keeps_flat_colour_and_loses_single_pixels() -> None:
    flat = np.full((64, 64, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(SURVIVAL_CHECKS["half size"](flat), flat)
    checkers = np.indices((64, 64)).sum(0)[..., None].repeat(3, -1) % 2 * 255
    assert SURVIVAL_CHECKS["half size"](checkers.astype(np.uint8))[8:-8, 8:-8].std() < 10


def test_blur_is_a_gaussian_of_one_pixel(photo: Rgb8) -> None:
    exact = gaussian_filter(photo.astype(float), (1, 1, 0), mode="nearest", truncate=4)
    assert np.abs(SURVIVAL_CHECKS["blur"](photo) - exact).max() <= 0.51


# ITU-T T.81, tables K.1 and K.2, which libjpeg takes at quality 50.
LUMA = """
16 11 10 16 24 40 51 61   12 12 14 19 26 58 60 55   14 13 16 24 40 57 69 56   14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77   24 35 55 64 81 104 113 92   49 64 78 87 103 121 120 101   72 92 95 98 112 100 103 99
"""
CHROMA = """
17 18 24 47 99 99 99 99   18 21 26 66 99 99 99 99   24 26 56 99 99 99 99 99   47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99   99 99 99 99 99 99 99 99
"""


def test_the_quantisation_steps_are_the_standards_in_their_natural_order(photo: Rgb8) -> None:
    pixels, tables = jpeg_round_trip_with_tables(photo, 50)
    assert np.array_equal(pixels, jpeg_round_trip(photo, 50))
    assert tables.shape == (2, 8, 8)
    for table, text in zip(tables, (LUMA, CHROMA), strict=True):
        assert np.array_equal(table, np.array(text.split(), np.float32).reshape(8, 8))


@pytest.mark.parametrize("quality", [60, 75, 100])
def test_finer_qualities_have_finer_steps(quality: int, photo: Rgb8) -> None:
    pixels, tables = jpeg_round_trip_with_tables(photo, quality)
    assert np.array_equal(pixels, through_pillow(photo, quality, 2))
    scale = 2 - quality / 50  # libjpeg's above 50
    expected = [np.array(text.split(), np.float32).reshape(8, 8) * scale for text in (LUMA, CHROMA)]
    np.testing.assert_allclose(tables, np.maximum(1, expected), atol=0.51)
