"""Reading photos as people have them, and writing them back whole, in sRGB, without what they did not mean to tell."""

from __future__ import annotations

import os
import stat
import struct
import sys
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, ImageOps

from anti_i2v.errors import OutputError, PhotoError, RecipeError
from anti_i2v.files import write_atomic
from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import check_holds, encode
from anti_i2v.images.exif import safe_exif
from anti_i2v.images.formats import FORMATS, format_of
from anti_i2v.images.photo import Photo

Array = npt.NDArray[np.uint8]

HEIGHT, WIDTH = 72, 96
LOSSLESS = ("PNG", "TIFF", "BMP")
WITH_ALPHA = ("PNG", "WEBP", "AVIF", "TIFF", "HEIF")


def scene(height: int = HEIGHT, width: int = WIDTH) -> Array:
    """A smooth picture without any symmetry, so that every turn of it differs."""
    y, x = np.mgrid[:height, :width]
    return np.stack([40 + x * 2, 30 + y * 2, 60 + x + y], axis=-1).astype(np.uint8)


def half_transparent() -> Array:
    """Opaque on the left, gone on the right, every level in between."""
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, WIDTH // 2 :] = 0
    alpha[:, 16:48] = np.random.default_rng(0).integers(0, 256, (HEIGHT, 32))
    return alpha


def a_photo(format: str = "PNG", alpha: Array | None = None, exif: bytes | None = None) -> Photo:
    return Photo(pixels=scene(), alpha=alpha, format=format, name="photo", exif=exif, notes=())


def saved(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def reopened(data: bytes) -> Image.Image:
    """The file as Pillow and pillow-heif see it, with its metadata."""
    if data[4:8] == b"ftyp" and b"avif" not in data[:32]:
        return pytest.importorskip("pillow_heif").HeifImageFile(BytesIO(data))  # type: ignore[no-any-return]
    return Image.open(BytesIO(data))


def needs(format: str) -> None:
    if format == "HEIF":
        pytest.importorskip("pillow_heif", reason="HEIC needs the extra [heif]")


def furthest(first: Array, second: Array) -> int:
    assert first.shape == second.shape
    return int(np.abs(first.astype(int) - second).max())


# Round trips.


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
def test_a_format_without_transparency_says_which_formats_have_it(format: str) -> None:
    with pytest.raises(OutputError, match=rf"{format} cannot hold the transparency.*{', '.join(WITH_ALPHA)}"):
        encode(a_photo(alpha=half_transparent()), scene(), format=format)


def test_an_opaque_alpha_does_not_stand_in_the_way_of_a_jpeg() -> None:
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


def test_a_photo_too_long_for_its_format_is_refused_with_a_way_out() -> None:
    pixels = np.zeros((64, 16_384, 3), np.uint8)
    photo = Photo(pixels=pixels, alpha=None, format="WEBP", name="photo", exif=None, notes=())
    with pytest.raises(OutputError, match="WEBP holds at most 16383 pixels a side: choose PNG or TIFF"):
        encode(photo, pixels)


@pytest.mark.parametrize("pixels", [scene(64, 64), scene().astype(np.float32)], ids=["size", "dtype"])
def test_pixels_that_do_not_belong_to_the_photo_are_a_value_error(pixels: Any) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8"):
        encode(a_photo(), pixels)


# Sources.


def test_a_path_bytes_a_pillow_image_and_an_array_read_the_same(tmp_path: Path) -> None:
    data = saved(Image.fromarray(scene()))
    path = tmp_path / "photo of me.png"
    path.write_bytes(data)
    photos = [open_photo(source) for source in (path, str(path), data, Image.open(path), scene())]
    assert [photo.name for photo in photos] == [
        "photo of me.png",
        "photo of me.png",
        "photo",
        "photo of me.png",
        "photo",
    ]
    for photo in photos:
        assert photo.format == "PNG"
        np.testing.assert_array_equal(photo.pixels, scene())


@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (HEIGHT, WIDTH, 3), (HEIGHT, WIDTH, 4)], ids=str)
def test_arrays_of_one_three_and_four_channels_are_copied(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    photo = open_photo(array)
    np.testing.assert_array_equal(photo.pixels, np.dstack([array] * 3) if array.ndim == 2 else array[..., :3])
    assert not np.shares_memory(photo.pixels, array)
    if shape[2:] == (4,):
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha, array[..., 3])


@pytest.mark.parametrize("source", [scene(), saved(Image.fromarray(scene()))], ids=["array", "file"])
def test_pixels_may_be_written_to_and_lie_in_order(source: Any) -> None:
    flags = open_photo(source).pixels.flags
    assert flags.writeable
    assert flags.c_contiguous


def test_reading_leaves_the_callers_pillow_image_as_it_was() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    image = Image.open(BytesIO(saved(Image.fromarray(scene()), "JPEG", exif=exif)))
    before = image.tobytes()
    assert open_photo(image).pixels.shape == (WIDTH, HEIGHT, 3)
    assert (image.tobytes(), image.getexif()[ExifTags.Base.Orientation]) == (before, 6)


def test_a_multi_picture_jpeg_as_phones_write_it_is_a_jpeg() -> None:
    gain_map = Image.fromarray(scene()[::-1].copy())
    photo = open_photo(saved(Image.fromarray(scene()), "MPO", save_all=True, append_images=[gain_map], quality=95))
    assert photo.format == "JPEG"
    assert photo.notes == ("only the main picture of the 2 in the file is kept",)
    assert furthest(photo.pixels, scene()) < 12


def test_a_pillow_image_of_a_format_that_is_not_written_becomes_a_png() -> None:
    photo = open_photo(Image.open(BytesIO(saved(Image.fromarray(scene()), "PPM"))))
    assert photo.format == "PNG"
    assert photo.notes == ("PPM is not written here: the result is saved as PNG by default",)


def test_what_a_photo_shows_stays_out_of_its_repr() -> None:
    assert repr(a_photo(exif=b"secret")) == "Photo(format='PNG', notes=())"


def test_the_name_of_a_file_stays_out_of_its_repr(tmp_path: Path) -> None:
    path = tmp_path / "secret wedding.png"
    path.write_bytes(saved(Image.fromarray(scene())))
    photo = open_photo(path)
    assert photo.name == "secret wedding.png"
    assert "wedding" not in repr(photo)


# Orientation.


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_turned_upright_as_pillow_would(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = saved(Image.fromarray(scene()), format, exif=exif)
    photo = open_photo(data)
    oracle = np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data))))
    np.testing.assert_array_equal(photo.pixels, oracle)
    assert photo.pixels.shape[:2] == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))


def test_alpha_is_turned_with_the_pixels() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    rgba = np.dstack([scene(), half_transparent()])
    photo = open_photo(saved(Image.fromarray(rgba), exif=exif))
    assert photo.alpha is not None
    np.testing.assert_array_equal(np.dstack([photo.pixels, photo.alpha]), np.rot90(rgba, -1))
    assert photo.notes == ("turned upright, as its orientation tag says",)


def test_heic_is_upright_too() -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra [heif]")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # phones say it twice: in the container, which counts, and in EXIF
    target = BytesIO()
    heif.encode("RGB", (WIDTH, HEIGHT), scene().tobytes(), target, quality=95, chroma=444, exif=exif.tobytes())
    assert furthest(open_photo(target.getvalue()).pixels, np.rot90(scene(), -1)) < 8


# Colours.


def icc(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A version 2 display profile with the given tags (ICC.1:2001-04)."""
    table, body, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        padded = data + b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += padded
    pcs = b"Lab " if b"A2B0" in tags else b"XYZ "
    header = struct.pack(">I4sI4s4s4s", offset + len(body), b"lcms", 0x02100000, b"mntr", space, pcs)
    header += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28 + xyz(0.9642, 1, 0.8249)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


WHITE = {b"wtpt": xyz(0.9642, 1.0, 0.8249)}
CURVES = {tag: gamma(2.2) for tag in (b"rTRC", b"gTRC", b"bTRC")}
DISPLAY_P3_LIKE = icc(
    b"RGB ",
    WHITE
    | CURVES
    | {
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2920, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1571, 0.0666, 0.7841),
    },
)
RED_AND_BLUE_SWAPPED = icc(
    b"RGB ",
    WHITE
    | CURVES
    | {
        b"bXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"rXYZ": xyz(0.1431, 0.0606, 0.7141),
    },
)
LINEAR_GRAY = icc(b"GRAY", WHITE | {b"kTRC": gamma(1.0)})
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def cmyk_profile() -> bytes:
    """A CMYK profile whose every ink only darkens: L* = 100 (1 - k) (1 - (c + m + y) / 3), a* and b* zero."""
    ramp = bytes(range(256))
    grid = b""
    for index in range(16):
        cyan, magenta, yellow, black = (index >> bit & 1 for bit in (3, 2, 1, 0))
        grid += bytes([round(255 * (1 - black) * (1 - (cyan + magenta + yellow) / 3)), 128, 128])
    identity = struct.pack(">9i", *(65536 * (index % 4 == 0) for index in range(9)))
    return icc(
        b"CMYK", WHITE | {b"A2B0": b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + grid + ramp * 3}
    )


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


def test_a_profile_leaves_alpha_alone() -> None:
    rgba = Image.fromarray(np.dstack([scene(), half_transparent()]))
    photo = open_photo(saved(rgba, icc_profile=RED_AND_BLUE_SWAPPED))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, half_transparent())
    np.testing.assert_array_equal(photo.pixels, through_lcms(Image.fromarray(scene()), RED_AND_BLUE_SWAPPED))


def test_a_photo_that_is_srgb_already_keeps_its_very_pixels() -> None:
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
        (cmyk_profile(), "its colour profile is for another kind of image and was ignored"),
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
    assert photo.notes == ("CMYK without a usable profile was converted by a plain formula: compare the colours",)


@pytest.mark.parametrize("format", FORMATS)
def test_the_result_carries_no_profile_and_none_of_the_metadata(format: str) -> None:
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


# Samples.


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_grayscale_is_rounded_to_eight(format: str) -> None:
    deep = np.linspace(0, 65_535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    photo = open_photo(saved(Image.fromarray(deep), format))
    np.testing.assert_array_equal(photo.pixels[..., 0], np.rint(deep / 257).astype(np.uint8))
    assert photo.notes == ("more than 8 bits a channel were reduced to 8", "grayscale was converted to RGB")


def test_sixteen_bit_colour_is_reduced_and_noted() -> None:
    cv2 = pytest.importorskip("cv2", reason="Pillow cannot write 16-bit RGB")
    deep = np.random.default_rng(0).integers(0, 65_536, (64, 80, 3), dtype=np.uint16)
    photo = open_photo(cv2.imencode(".png", deep[..., ::-1])[1].tobytes())
    assert furthest(photo.pixels, np.rint(deep / 257).astype(np.uint8)) <= 1
    assert photo.notes == ("more than 8 bits a channel were reduced to 8",)


def test_palette_colours_and_their_transparency_are_read() -> None:
    palette = Image.new("P", (64, 64))
    palette.putpalette([10, 200, 30, 250, 20, 90])
    palette.paste(1, (0, 0, 32, 64))
    photo = open_photo(saved(palette, transparency=bytes([77, 255])))
    assert photo.alpha is not None
    assert (photo.pixels[0, 0].tolist(), photo.pixels[0, -1].tolist()) == ([250, 20, 90], [10, 200, 30])
    assert (photo.alpha[0, 0], photo.alpha[0, -1]) == (255, 77)
    assert photo.notes == ("palette colours were converted to RGB",)


def test_a_transparent_colour_key_becomes_alpha_and_keeps_its_colour() -> None:
    pixels = scene()
    pixels[:8] = (1, 2, 3)
    photo = open_photo(saved(Image.fromarray(pixels), transparency=(1, 2, 3)))
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.pixels, pixels)
    np.testing.assert_array_equal(photo.alpha == 0, (pixels == (1, 2, 3)).all(axis=-1))


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grayscale_of_every_kind_becomes_rgb(mode: str) -> None:
    gray = Image.fromarray(np.dstack([scene(), half_transparent()])).convert(mode)
    photo = open_photo(saved(gray))
    np.testing.assert_array_equal(photo.pixels, np.asarray(gray.convert("RGB")))
    assert (photo.alpha is not None) == (mode == "LA")
    assert photo.notes == ("grayscale was converted to RGB",)


# Metadata.

SECRETS = (b"SERIAL-1", b"SERIAL-2", b"Jane Owner", b"UNIQUE-ID", b"maker-note", b"diary", b"+02:00", b"PREVIEW")


def telling_exif() -> Image.Exif:
    """What a camera writes: the harmless and the revealing."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Pinhole"
    exif[ExifTags.Base.Copyright] = "(c) J. Doe"
    exif[ExifTags.Base.Orientation] = 3
    exif[ExifTags.Base.ImageDescription] = "diary"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {
            ExifTags.Base.ExposureTime: 0.008,
            ExifTags.Base.ISOSpeedRatings: 400,
            ExifTags.Base.FocalLength: 35.0,
            ExifTags.Base.LensModel: "50 mm",
            ExifTags.Base.DateTimeOriginal: "2026:07:01 12:00:00",
            ExifTags.Base.OffsetTimeOriginal: "+02:00",
            ExifTags.Base.BodySerialNumber: "SERIAL-1",
            ExifTags.Base.LensSerialNumber: "SERIAL-2",
            ExifTags.Base.CameraOwnerName: "Jane Owner",
            ExifTags.Base.ImageUniqueID: "UNIQUE-ID",
            ExifTags.Base.MakerNote: b"maker-note",
            ExifTags.Base.UserComment: b"ASCII\0\0\0diary",
        }
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {ExifTags.GPS.GPSLatitudeRef: "N", ExifTags.GPS.GPSLatitude: (52.0, 31.0, 12.0)}
    )
    return exif


def with_thumbnail(exif: bytes, thumbnail: bytes) -> bytes:
    """The EXIF block with a second directory (IFD1) that holds a JPEG preview, as cameras write it."""
    body = bytearray(exif.removeprefix(b"Exif\0\0"))
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", body, 4)
    (count,) = struct.unpack_from(order + "H", body, first)
    second = len(body)
    struct.pack_into(order + "I", body, first + 2 + 12 * count, second)
    start = second + 2 + 2 * 12 + 4
    body += struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0" + bytes(body) + thumbnail


def assert_silent_about(data: bytes, *words: bytes) -> None:
    for word in words:
        assert word not in data


def telling_jpeg() -> bytes:
    thumbnail = saved(Image.fromarray(scene()), "JPEG", comment=b"PREVIEW")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">diary</x:xmpmeta>'
    exif = with_thumbnail(telling_exif().tobytes(), thumbnail)
    return saved(Image.fromarray(scene()), "JPEG", exif=exif, xmp=xmp, comment=b"diary")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("keep", [False, True], ids=["dropped", "kept"])
def test_place_serials_owner_and_previews_never_travel(format: str, keep: bool) -> None:
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
def test_kept_metadata_says_how_the_photo_was_made_and_lies_upright(format: str) -> None:
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


def test_a_photo_outlives_its_broken_exif() -> None:
    photo = open_photo(saved(Image.fromarray(scene()), exif=b"Exif\0\0garbage that is no TIFF header"))
    np.testing.assert_array_equal(photo.pixels, scene())
    assert photo.notes == ("its EXIF data is broken and was dropped",)


def test_an_orientation_counts_though_other_tags_are_broken() -> None:
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


# What is refused, and in which words.


def frames(format: str) -> bytes:
    other = Image.fromarray(scene()[::-1].copy())
    return saved(Image.fromarray(scene()), format, save_all=True, append_images=[other])


def container(brand: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I4s4sI", 16 + len(brands), b"ftyp", brand, 0) + brands


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


PNG = saved(Image.fromarray(scene()))
JPEG = saved(Image.fromarray(scene()), "JPEG")
DEEP = Image.fromarray(np.zeros((64, 64), np.uint16))

REFUSED: dict[str, tuple[Any, str]] = {
    "empty": (b"", "photo is empty: export or download it again"),
    "text": (b"Dear diary", "photo is not an image: give a JPEG, PNG, WEBP, AVIF, TIFF, BMP or HEIF photo"),
    "truncated-jpeg": (JPEG[: len(JPEG) // 2], "photo is truncated or damaged: export or download it again"),
    "truncated-png": (PNG[: len(PNG) // 2], "photo is truncated or damaged: export or download it again"),
    "only-a-signature": (b"\xff\xd8\xff", "photo is truncated or damaged: export or download it again"),
    "broken-avif": (container(b"avif"), "photo is truncated or damaged: export or download it again"),
    "gif": (frames("GIF"), "photo is not a photo format that this reads: it is a GIF, export it as JPEG or PNG"),
    "svg": (b'<?xml version="1.0"?><svg/>', "photo is not a photo format that this reads: it is an SVG drawing"),
    "pdf": (b"%PDF-1.7", "it is a PDF"),
    "jpeg-xl": (b"\0\0\0\x0cJXL \r\n\x87\n", "it is a JPEG XL picture"),
    "video": (container(b"isom", b"mp42"), "it is a video"),
    "canon-raw": (container(b"crx ", b"isom"), "it is a camera's raw file"),
    "raw-in-tiff": (
        saved(Image.fromarray(scene()), "TIFF", tiffinfo={254: 1}),
        "photo is a camera's raw file: export it as JPEG or TIFF",
    ),
    "animated-png": (frames("PNG"), "photo is an animation of 2 frames: save the frame to protect as JPEG or PNG"),
    "animated-webp": (frames("WEBP"), "photo is an animation of 2 frames"),
    "animated-avif": (frames("AVIF"), "photo is an animation of 2 frames"),
    "pages": (frames("TIFF"), "photo has 2 pages: save the page to protect as a file of its own"),
    "float-tiff": (saved(Image.new("F", (64, 64)), "TIFF"), "photo has floating-point samples"),
    "integer-tiff": (saved(Image.new("I", (64, 64)), "TIFF"), "photo has 32-bit samples"),
    "inverted-tiff": (saved(DEEP, "TIFF", tiffinfo={262: 0}), "photo has inverted 16-bit samples"),
    "too-small": (saved(Image.new("RGB", (500, 63))), "photo has 500 x 63 pixels, too small to protect"),
    "bomb": (bomb(9000, 9000), "photo has 9000 x 9000 pixels, more than 64 megapixels: make it smaller"),
    "pillows-warning": (bomb(10_000, 10_000), "photo has 10000 x 10000 pixels, more than 64 megapixels"),
    "pillows-error": (bomb(60_000, 60_000), "photo has too many pixels to be a photo: make it smaller"),
    "float-array": (np.zeros((80, 80, 3)), "an array of float64 is not a photo: scale it to 0..255"),
    "array-shape": (np.zeros((3, 80, 80), np.uint8), "an array of shape .* give .H, W., .H, W, 3. or .H, W, 4."),
    "small-array": (np.zeros((63, 80, 3), np.uint8), "the array has 80 x 63 pixels, too small"),
    "animated-image": (Image.open(BytesIO(frames("GIF"))), "photo is an animation of 2 frames"),
    "null-byte-path": ("a\0b.jpg", "cannot be opened .*: check the path"),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_protected_is_refused_in_one_line(source: Any, message: str) -> None:
    with pytest.raises(PhotoError, match=message) as caught:
        open_photo(source)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_missing_file_a_folder_and_a_pipe_are_named(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"^none\.jpg does not exist: check the path$"):
        open_photo(tmp_path / "none.jpg")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PhotoError, match=r"^photo\.jpg does not exist"):
        open_photo(tmp_path / "file" / "photo.jpg")
    with pytest.raises(PhotoError, match=rf"^{tmp_path.name} is a folder: give the photo inside it$"):
        open_photo(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(PhotoError, match="pipe is not an ordinary file"):
            open_photo(tmp_path / "pipe")


def test_a_file_larger_than_any_photo_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would need a terabyte of memory
    with pytest.raises(PhotoError, match=r"^huge\.bin is larger than any photo of 64 megapixels"):
        open_photo(path)


def test_max_pixels_is_the_callers_to_choose() -> None:
    assert open_photo(PNG, max_pixels=HEIGHT * WIDTH).pixels.shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(PhotoError, match=r"96 x 72 pixels, more than 0\.006911 megapixels"):
        open_photo(PNG, max_pixels=HEIGHT * WIDTH - 1)


def test_heic_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # how Python itself marks a module that cannot be imported
    command = r'pip install "anti-i2v-sdk\[heif\]"'
    for brands in ((b"heic",), (b"mif1", b"heic"), (b"mif1",), (b"heix", b"mif1")):
        with pytest.raises(PhotoError, match=command):
            open_photo(container(*brands))
    with pytest.raises(OutputError, match=command):
        encode(a_photo("HEIF"), scene())
    with pytest.raises(OutputError, match=command):
        check_holds(a_photo(), "HEIF")  # what is asked before any work


@pytest.mark.parametrize("format", ["AVIF", "WEBP"])
def test_a_codec_that_pillow_was_built_without_is_missed_before_any_work(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_holds(a_photo(), format)
    monkeypatch.setitem(sys.modules, f"PIL._{format.lower()}", None)
    with pytest.raises(OutputError, match=rf"{format} cannot be written here .*: choose PNG"):
        check_holds(a_photo(), format)
    check_holds(a_photo(), "PNG")


def test_pillows_warnings_stay_inside_even_from_many_threads() -> None:
    def read() -> None:
        for _ in range(10):
            try:
                open_photo(bomb(10_000, 10_000))
            except PhotoError as error:
                messages.append(str(error))

    messages: list[str] = []
    with warnings.catch_warnings(record=True) as leaked:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(warnings.filters) == before
    assert leaked == []
    assert set(messages) == {"photo has 10000 x 10000 pixels, more than 64 megapixels: make it smaller"}


SEEDS = {name: encode(a_photo(name), scene()) for name in FORMATS if name != "HEIF"} | {
    "telling": telling_jpeg(),
    "profile": saved(Image.fromarray(scene()), icc_profile=DISPLAY_P3_LIKE),
}


@settings(max_examples=150, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=64).map(lambda tail: b"\xff\xd8\xff" + tail)))
def test_garbage_never_ends_in_anything_but_a_photo_error(data: bytes) -> None:
    with pytest.raises(PhotoError):
        open_photo(data)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SEEDS)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_a_damaged_file_ends_in_a_photo_or_a_photo_error(name: str, cut: float, flips: list[tuple[float, int]]) -> None:
    data = bytearray(SEEDS[name])
    for where, mask in flips:
        data[min(int(where * len(data)), len(data) - 1)] ^= mask
    damaged = bytes(data if flips else data[: int(cut * len(data))])
    try:
        photo = open_photo(damaged, max_pixels=1_000_000)
    except PhotoError:
        return
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.shape[2] == 3


# File names and writing.


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


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_written_file_is_whole_and_alone(tmp_path: Path, overwrite: bool) -> None:
    write_atomic(tmp_path / "out.png", b"data", overwrite=overwrite)
    assert (tmp_path / "out.png").read_bytes() == b"data"
    assert names(tmp_path) == ["out.png"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"out\.png exists: choose another name or pass --overwrite"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomic(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["out.png"]


def test_of_many_writers_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path, start, lost = tmp_path / "out.png", threading.Barrier(8), []

    def write(index: int) -> None:
        start.wait()
        try:
            write_atomic(path, bytes([index]) * 100_000)
        except OutputError as error:
            lost.append(str(error))

    threads = [threading.Thread(target=write, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = path.read_bytes()
    assert data == data[:1] * 100_000
    assert len(lost) == 7
    assert all("exists" in message for message in lost)
    assert names(tmp_path) == ["out.png"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "out.png", b"data", overwrite=overwrite)
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out.png")}
    assert len(modes) == 1


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_write_that_fails_leaves_everything_as_it_was(tmp_path: Path, overwrite: bool) -> None:
    resource = pytest.importorskip("resource", reason="a full disk is made with POSIX limits")
    path = tmp_path / "out.png"
    if overwrite:
        path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the system refuses whatever grows beyond
    try:
        with pytest.raises(OutputError, match=r"out\.png cannot be written \(File too large\)"):
            write_atomic(path, b"x" * 100_000, overwrite=overwrite)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == (["out.png"] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"old"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(OutputError, match="none does not exist: create it first, or choose another"):
        write_atomic(tmp_path / "none" / "out.png", b"data", overwrite=overwrite)
    with pytest.raises(OutputError, match="is a folder: add a file name to it"):
        write_atomic(tmp_path, b"data", overwrite=overwrite)
    assert names(tmp_path) == []


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "out.png"
    try:
        link.symlink_to(tmp_path / "elsewhere.png")
    except OSError:
        pytest.skip("this system makes no symbolic links")
    with pytest.raises(OutputError, match="exists"):
        write_atomic(link, b"data")
    assert names(tmp_path) == ["out.png"]


def test_where_there_are_no_hard_links_the_name_is_reserved_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)  # no file system here lacks hard links
    write_atomic(tmp_path / "out.png", b"data")
    assert (tmp_path / "out.png").read_bytes() == b"data"
    with pytest.raises(OutputError, match="exists"):
        write_atomic(tmp_path / "out.png", b"new")
    assert names(tmp_path) == ["out.png"]
