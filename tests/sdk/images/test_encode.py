"""Encoding: pixels, alpha and quality by format, and what a format refuses."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from tests.sdk.images.samples import (
    HEIGHT,
    LOSSLESS,
    WIDTH,
    WITH_ALPHA,
    a_photo,
    furthest,
    half_transparent,
    needs,
    scene,
)

from anti_i2v.errors import OutputError, RecipeError
from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import check_format, encode
from anti_i2v.images.formats import FORMATS
from anti_i2v.images.photo import Photo


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_size_and_pixels(format: str) -> None:
    needs(format)
    photo = open_photo(encode(a_photo(format), scene()))
    assert (photo.format, photo.name, photo.alpha, photo.notes) == (format, "photo", None, ())
    assert furthest(photo.pixels, scene()) <= (0 if format in LOSSLESS else 8)


@pytest.mark.parametrize("format", WITH_ALPHA)
def test_transparency_and_the_colour_under_it_come_back(format: str) -> None:
    needs(format)
    photo = open_photo(encode(a_photo(format, half_transparent()), scene()))
    assert photo.alpha is not None
    assert furthest(photo.alpha, half_transparent()) <= (1 if format == "HEIF" else 0)
    assert furthest(photo.pixels, scene()) <= (0 if format in LOSSLESS else 16)


@pytest.mark.parametrize("format", ["JPEG", "BMP"])
def test_a_format_without_transparency_names_the_formats_that_have_it(format: str) -> None:
    with pytest.raises(OutputError, match=rf"{format} cannot hold the transparency.*{', '.join(WITH_ALPHA)}"):
        encode(a_photo(alpha=half_transparent()), scene(), format=format)


def test_a_photo_with_an_opaque_alpha_can_be_saved_as_jpeg() -> None:
    photo = a_photo(alpha=np.full((HEIGHT, WIDTH), 255, np.uint8))
    assert open_photo(encode(photo, scene(), format="jpeg")).alpha is None


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "HEIF"])
def test_chroma_is_not_subsampled(format: str) -> None:
    needs(format)
    pixels = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    pixels[:, ::2] = (160, 110, 128)  # columns of two colours of nearly the same luma: 4:2:0 would average them
    back = open_photo(encode(a_photo(format), pixels)).pixels.astype(int)
    assert abs((back[:, ::2, 0] - back[:, 1::2, 0]).mean() - 32) < 8


def test_webp_is_lossless_at_quality_100() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    photo = a_photo("WEBP")
    assert furthest(open_photo(encode(photo, pixels, quality=100)).pixels, pixels) == 0
    assert furthest(open_photo(encode(photo, pixels, quality=99)).pixels, pixels) > 0


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_quality_trades_size(format: str) -> None:
    needs(format)
    noisy = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    sizes = [len(encode(a_photo(format), noisy, quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_a_quality_out_of_range_is_refused(quality: int) -> None:
    with pytest.raises(RecipeError, match=f"quality must be 1..100, got {quality}"):
        encode(a_photo("JPEG"), scene(), quality=quality)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(OutputError, match="unknown format GIF: choose one of JPEG, PNG"):
        encode(a_photo(), scene(), format="gif")


def test_a_photo_too_large_for_its_format_names_other_formats() -> None:
    pixels = np.zeros((64, 16_384, 3), np.uint8)
    photo = Photo(pixels=pixels, alpha=None, format="WEBP", name="photo", exif=None, notes=())
    with pytest.raises(OutputError, match="WEBP holds at most 16383 pixels a side: choose PNG or TIFF"):
        encode(photo, pixels)


@pytest.mark.parametrize("pixels", [scene(64, 64), scene().astype(np.float32)], ids=["size", "dtype"])
def test_pixels_that_do_not_belong_to_the_photo_are_a_value_error(pixels: Any) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8"):
        encode(a_photo(), pixels)


@pytest.mark.parametrize("format", ["AVIF", "WEBP"])
def test_a_codec_that_pillow_lacks_is_reported_before_encoding(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_format(a_photo(), format)
    monkeypatch.setitem(sys.modules, f"PIL._{format.lower()}", None)
    with pytest.raises(OutputError, match=rf"{format} cannot be written here .*: choose PNG"):
        check_format(a_photo(), format)
    check_format(a_photo(), "PNG")
