"""Decoding: sources, orientation, sample types, and the files that are refused."""

from __future__ import annotations

import os
import struct
import sys
import threading
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps
from tests.sdk.images.samples import (
    DISPLAY_P3_LIKE,
    HEIGHT,
    WIDTH,
    a_photo,
    furthest,
    half_transparent,
    saved,
    scene,
    telling_jpeg,
)

from anti_i2v.errors import OutputError, PhotoError
from anti_i2v.images.decode import open_photo
from anti_i2v.images.encode import check_format, encode
from anti_i2v.images.formats import FORMATS


def test_a_path_bytes_a_pillow_image_and_an_array_give_the_same_photo(tmp_path: Path) -> None:
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
def test_pixels_are_writeable_and_contiguous(source: Any) -> None:
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


def test_a_multi_picture_file_of_a_phone_is_a_jpeg() -> None:
    gain_map = Image.fromarray(scene()[::-1].copy())
    photo = open_photo(saved(Image.fromarray(scene()), "MPO", save_all=True, append_images=[gain_map], quality=95))
    assert photo.format == "JPEG"
    assert photo.notes == ("only the main picture of the 2 in the file is kept",)
    assert furthest(photo.pixels, scene()) < 12


def test_a_pillow_image_of_a_format_that_is_not_written_becomes_a_png() -> None:
    photo = open_photo(Image.open(BytesIO(saved(Image.fromarray(scene()), "PPM"))))
    assert photo.format == "PNG"
    assert photo.notes == ("PPM cannot be written here: the result is saved as PNG by default",)


def test_the_repr_of_a_photo_has_neither_pixels_nor_metadata() -> None:
    assert repr(a_photo(exif=b"secret")) == "Photo(format='PNG', notes=())"


def test_the_repr_of_a_photo_lacks_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / "secret wedding.png"
    path.write_bytes(saved(Image.fromarray(scene())))
    photo = open_photo(path)
    assert photo.name == "secret wedding.png"
    assert "wedding" not in repr(photo)


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
    assert photo.notes == ("turned upright by its orientation tag",)


def test_heic_is_turned_upright() -> None:
    heif = pytest.importorskip("pillow_heif", reason="HEIC needs the extra [heif]")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # phones say it twice: in the container, which counts, and in EXIF
    target = BytesIO()
    heif.encode("RGB", (WIDTH, HEIGHT), scene().tobytes(), target, quality=95, chroma=444, exif=exif.tobytes())
    assert furthest(open_photo(target.getvalue()).pixels, np.rot90(scene(), -1)) < 8


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
    "gif": (frames("GIF"), "photo is not in a photo format that is read here: it is a GIF, export it as JPEG or PNG"),
    "svg": (b'<?xml version="1.0"?><svg/>', "photo is not in a photo format that is read here: it is an SVG drawing"),
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
def test_unusable_files_are_refused_in_one_line(source: Any, message: str) -> None:
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


def test_a_file_larger_than_any_photo_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as file:
        file.truncate(2**40)  # sparse: reading it would need a terabyte of memory
    with pytest.raises(PhotoError, match=r"^huge\.bin is larger than any photo of 64 megapixels"):
        open_photo(path)


def test_a_caller_can_choose_max_pixels() -> None:
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
        check_format(a_photo(), "HEIF")  # checked before any work


def test_warnings_of_pillow_do_not_leak_from_many_threads() -> None:
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
def test_garbage_raises_a_photo_error(data: bytes) -> None:
    with pytest.raises(PhotoError):
        open_photo(data)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(sorted(SEEDS)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
)
def test_a_damaged_file_gives_a_photo_or_a_photo_error(name: str, cut: float, flips: list[tuple[float, int]]) -> None:
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
