"""Formats by suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from anti_i2v.errors import OutputError
from anti_i2v.images.formats import format_of


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jpg", "JPEG"),
        ("a.JPEG", "JPEG"),
        ("a.b.png", "PNG"),
        ("a.webp", "WEBP"),
        ("a.avif", "AVIF"),
        ("a.tif", "TIFF"),
        ("a.TIFF", "TIFF"),
        ("a.bmp", "BMP"),
        ("a.HEIC", "HEIF"),
        ("a.heif", "HEIF"),
    ],
)
def test_a_suffix_names_a_format(name: str, format: str) -> None:
    assert format_of(Path("folder") / name) == format


@pytest.mark.parametrize("name", ["a.gif", "a", "jpg", ".png", "a.jpg.txt"])
def test_an_unknown_suffix_lists_the_known_ones(name: str) -> None:
    with pytest.raises(OutputError, match=r"does not say which format to write: .* \.jpg, .*\.heic"):
        format_of(Path(name))
