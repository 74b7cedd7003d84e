"""Photos, files, ICC profiles and EXIF blocks for the tests of images."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ExifTags, Image, ImageCms

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


def noise(height: int, width: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def through_pillow(pixels: Array, quality: int, subsampling: int) -> Array:
    """Encode and decode with Pillow, its subsampling as a number (0 is 4:4:4, 2 is 4:2:0)."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))


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
