"""Presets: sizes, the JPEG codec, and photos that a platform does not change."""

from __future__ import annotations

import io

import msgspec
import numpy as np
import pytest
from PIL import Image
from tests.sdk.images.samples import noise, through_pillow

from anti_i2v.arrays import Rgb8
from anti_i2v.errors import RecipeError
from anti_i2v.images.platforms import PRESETS, Preset, get_preset, simulate_platform


def own(**settings: object) -> Preset:
    """A preset of no platform."""
    texts = {"name": "own", "label": "own", "confidence": "ours", "source": "this test"}
    return msgspec.convert({**texts, **settings}, Preset)


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


def test_the_presets_are_complete() -> None:
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


def test_mastodon_does_not_change_a_small_photo(photo: Rgb8) -> None:
    assert simulate_platform(photo, get_preset("mastodon")) is photo


def test_a_photo_that_must_shrink_is_always_encoded(photo: Rgb8) -> None:
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


def test_a_limit_below_every_file_gives_quality_one(photo: Rgb8) -> None:
    np.testing.assert_array_equal(simulate_platform(photo, own(quality=95, max_bytes=10)), through_pillow(photo, 1, 2))


@pytest.mark.parametrize("name", PRESETS)
def test_simulation_is_deterministic_and_does_not_change_its_input(photo: Rgb8, name: str) -> None:
    before = photo.copy()
    first, second = simulate_platform(photo, get_preset(name)), simulate_platform(photo, get_preset(name))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(photo, before)
