"""Metadata: which tags are written, and that the others never are."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.sdk.images.samples import (
    DISPLAY_P3_LIKE,
    LOSSLESS,
    SECRETS,
    assert_silent_about,
    furthest,
    needs,
    reopened,
    saved,
    scene,
    telling_exif,
    telling_jpeg,
)

from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import encode
from anti_i2v.images.exif import safe_exif
from anti_i2v.images.formats import FORMATS


@pytest.mark.parametrize("format", FORMATS)
def test_the_result_has_neither_profile_nor_metadata(format: str) -> None:
    needs(format)
    source = Image.fromarray(scene())
    photo = open_photo(saved(source, "JPEG", icc_profile=DISPLAY_P3_LIKE, exif=telling_exif(), comment=b"secret words"))
    data = encode(photo, photo.pixels, format=format)
    image = reopened(data)
    image.load()
    assert not {"icc_profile", "xmp", "comment"} & {key for key, value in image.info.items() if value}
    assert not image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert_silent_about(data, *SECRETS, b"Pinhole")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("keep", [False, True], ids=["dropped", "kept"])
def test_place_serials_owner_and_previews_are_never_written(format: str, keep: bool) -> None:
    needs(format)
    source = telling_jpeg()
    assert all(word in source for word in SECRETS)
    photo = open_photo(source)
    data = encode(photo, photo.pixels, format=format, keep_metadata=keep)
    assert_silent_about(data, *SECRETS)
    exif = reopened(data).getexif()
    assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
    assert not exif.get_ifd(ExifTags.IFD.IFD1)
    assert ("Pinhole" in str(dict(exif))) == (keep and format != "BMP")


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "BMP"])
def test_kept_metadata_has_camera_and_exposure_and_is_upright(format: str) -> None:
    needs(format)
    photo = open_photo(telling_jpeg())
    data = encode(photo, photo.pixels, format=format, keep_metadata=True)
    exif = reopened(data).getexif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    assert (exif[ExifTags.Base.Make], exif[ExifTags.Base.Copyright]) == ("Pinhole", "(c) J. Doe")
    assert details[ExifTags.Base.ISOSpeedRatings] == 400
    assert float(details[ExifTags.Base.ExposureTime]) == pytest.approx(0.008)
    assert details[ExifTags.Base.LensModel] == "50 mm"
    assert details[ExifTags.Base.DateTimeOriginal] == "2026:07:01 12:00:00"
    again = open_photo(data)
    assert again.pixels.shape == photo.pixels.shape
    assert furthest(again.pixels, photo.pixels) <= (0 if format in LOSSLESS else 12)
    assert again.notes == ()


def test_a_kept_text_is_one_short_line() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Jane\n\x1b[31mDoe" + "x" * 5000
    kept = Image.Exif()
    kept.load(safe_exif(exif) or b"")
    assert kept[ExifTags.Base.Artist] == ("Jane[31mDoe" + "x" * 5000)[:200]


def test_an_exif_block_without_any_safe_tag_is_none() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    assert safe_exif(exif) is None
    assert open_photo(saved(Image.fromarray(scene()))).exif is None


def test_broken_exif_is_dropped_with_a_note() -> None:
    photo = open_photo(saved(Image.fromarray(scene()), exif=b"Exif\0\0garbage that is not a TIFF header"))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ("its EXIF data is broken and was dropped",)


def test_the_orientation_is_used_though_other_tags_are_broken() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.DateTime] = "2026:07:01 12:00:00"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.1
    block = exif.tobytes()
    pointer = struct.pack(">HHI", ExifTags.IFD.Exif, 4, 1)
    where = block.index(pointer) + len(pointer)
    broken = block[:where] + b"\0\0\xff\xff" + block[where + 4 :]
    photo = open_photo(saved(Image.fromarray(scene()), exif=broken))
    np.testing.assert_array_equal(photo.pixels, np.rot90(scene(), -1))
