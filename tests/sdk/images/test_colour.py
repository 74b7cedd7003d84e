"""Conversion to sRGB, beside LittleCMS."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.sdk.images.samples import (
    DISPLAY_P3_LIKE,
    LINEAR_GRAY,
    RED_AND_BLUE_SWAPPED,
    SRGB,
    WHITE,
    Array,
    cmyk_profile,
    furthest,
    half_transparent,
    icc,
    saved,
    scene,
)

from anti_i2v.images.decode import open_photo


def through_lcms(image: Image.Image, profile: bytes) -> Array:
    source = ImageCms.ImageCmsProfile(BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return np.asarray(converted)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("profile", [DISPLAY_P3_LIKE, RED_AND_BLUE_SWAPPED], ids=["wide", "swapped"])
def test_a_profile_is_applied_as_littlecms_does(format: str, profile: bytes) -> None:
    data = saved(Image.fromarray(scene()), format, icc_profile=profile)
    photo = open_photo(data)
    np.testing.assert_array_equal(photo.pixels, through_lcms(Image.open(BytesIO(data)), profile))
    assert photo.notes == ("colours were converted to sRGB through its colour profile",)


def test_swapped_primaries_turn_red_into_blue() -> None:
    red = Image.new("RGB", (64, 64), (255, 0, 0))
    assert (
        furthest(
            open_photo(saved(red, icc_profile=RED_AND_BLUE_SWAPPED)).pixels[:1, :1], np.array([[[0, 0, 255]]], np.uint8)
        )
        < 8
    )


def test_a_profile_does_not_change_alpha() -> None:
    rgba = Image.fromarray(np.dstack([scene(), half_transparent()]))
    photo = open_photo(saved(rgba, icc_profile=RED_AND_BLUE_SWAPPED))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, half_transparent())
    np.testing.assert_array_equal(photo.pixels, through_lcms(Image.fromarray(scene()), RED_AND_BLUE_SWAPPED))


def test_a_photo_in_srgb_keeps_its_pixels() -> None:
    photo = open_photo(saved(Image.fromarray(scene()), icc_profile=SRGB))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ()


def test_a_grayscale_profile_is_applied() -> None:
    photo = open_photo(saved(Image.new("L", (64, 64), 128), icc_profile=LINEAR_GRAY))
    assert furthest(photo.pixels, np.full((64, 64, 3), 188, np.uint8)) <= 1  # sRGB's encoding of half the light


def test_a_grayscale_photo_with_an_rgb_profile_goes_through_it() -> None:
    gray = Image.fromarray(scene()[..., 0])
    photo = open_photo(saved(gray, "JPEG", quality=100, icc_profile=DISPLAY_P3_LIKE))
    assert furthest(photo.pixels, through_lcms(gray.convert("RGB"), DISPLAY_P3_LIKE)) <= 4


@pytest.mark.parametrize(
    ("profile", "note"),
    [
        (b"not a profile", "its colour profile is broken and was ignored"),
        (DISPLAY_P3_LIKE[:200], "its colour profile is broken and was ignored"),
        (icc(b"RGB ", WHITE), "its colour profile is broken and was ignored"),
        (cmyk_profile(), "its colour profile is for another colour space and was ignored"),
    ],
    ids=["garbage", "truncated", "no-curves", "other-space"],
)
def test_a_profile_that_cannot_be_used_is_noted_and_ignored(profile: bytes, note: str) -> None:
    photo = open_photo(saved(Image.fromarray(scene()), icc_profile=profile))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == (note,)


def test_cmyk_goes_through_its_profile() -> None:
    cmyk = Image.fromarray(scene()).convert("CMYK")
    data = saved(cmyk, "JPEG", quality=100, icc_profile=cmyk_profile())
    photo = open_photo(data)
    np.testing.assert_array_equal(photo.pixels, through_lcms(Image.open(BytesIO(data)), cmyk_profile()))
    assert furthest(photo.pixels[..., 0], photo.pixels[..., 2]) <= 2  # all inks of this profile are gray
    assert photo.notes == ("colours were converted to sRGB through its colour profile",)


def test_cmyk_without_a_profile_is_converted_with_a_warning_in_the_notes() -> None:
    photo = open_photo(saved(Image.fromarray(scene()).convert("CMYK"), "JPEG", quality=100))
    assert furthest(photo.pixels, scene()) < 12
    assert photo.notes == ("CMYK without a usable profile was converted by a simple formula: compare the colours",)
