"""Files to upload: photos that are unique to their test, and other files."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
SIZE = (64, 64)
"""Size of photos, (width, height): the smallest that can be protected."""

TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "avif": "AVIF", "gif": "GIF"}
OPTIONS = {"jpg": {"quality": 95, "subsampling": 0}, "webp": {"quality": 90}, "avif": {"quality": 90}}


@dataclass(frozen=True)
class UploadFile:
    """A file on disk.

    Attributes:
        path: path in the uploaded folder as pages see it, or the name.
        place: where the file is on disk.
    """

    data: bytes
    path: str
    place: Path

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def type(self) -> str:
        return TYPES[self.name.rpartition(".")[2]]

    @property
    def photo(self) -> bool:
        return self.type not in ("image/gif", "image/svg+xml", "text/plain")


@cache
def source() -> Image.Image:
    with Image.open(DATA / "astronaut.jpg") as photo:
        return photo.convert("RGB").resize((384, 384), Image.Resampling.LANCZOS)


def content(case: str, path: str, size: tuple[int, int] = SIZE) -> bytes:
    """Generate a file's content from the names of test and file."""
    number = zlib.crc32(f"{case}/{path}".encode())
    ending = path.rpartition(".")[2]
    if ending == "txt":
        return f"{case} {number}\n".encode() * 20
    if ending == "svg":
        return f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>{number}</title></svg>'.encode()
    left, top = number % (384 - size[0] + 1), number // 400 % (384 - size[1] + 1)
    pixels = np.array(source().crop((left, top, left + size[0], top + size[1])))
    pixels[0, 0] = np.frombuffer(number.to_bytes(4), np.uint8)[1:]  # makes the photo unique
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, FORMATS[ending], **OPTIONS.get(ending, {}))
    return target.getvalue()


def write_files(case: str, paths: tuple[str, ...], folder: Path, size: tuple[int, int] = SIZE) -> list[UploadFile]:
    """Write generated files into a folder."""
    files = []
    for path in paths:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content(case, path, size))
        files.append(UploadFile(place.read_bytes(), path, place))
    return files


def decode_pixels(data: bytes) -> NDArray[np.int64] | None:
    """Decode an image, int64 (height, width, 3). None if it is not an image."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB")).astype(np.int64)
    except OSError:
        return None
