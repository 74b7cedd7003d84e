"""Decode thousands of broken files: each becomes a photo or a problem, in bounded memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

FORMATS = {"JPEG": {}, "PNG": {}, "WEBP": {}, "AVIF": {"speed": 10}, "GIF": {}, "TIFF": {"compression": "tiff_lzw"}}
EXTREMES = (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x00\x00\xff\xff", b"\x80\x00\x00\x00")

CAP = 700 * 2**20
"""Most bytes that decoding may take, including the interpreter and its libraries."""

DECODE = f"""
import json, sys
from anti_i2v.errors import PhotoError
from anti_i2v.images.decode import open_photo
from anti_i2v_server.protection.memory_limit import limit_memory
import resource
limit_memory({CAP})
ends = {{"photo": 0, "problem": 0}}
source = sys.stdin.buffer
while header := source.read(8):
    data = source.read(int.from_bytes(header))
    try:
        photo = open_photo(data, max_pixels=1_000_000)
        assert photo.pixels.ndim == 3 and photo.pixels.dtype.name == "uint8"
        ends["photo"] += 1
    except PhotoError as problem:
        assert len(str(problem).splitlines()) == 1
        ends["problem"] += 1
print(json.dumps({{**ends, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}}))
"""


def valid_files() -> dict[str, bytes]:
    """A small textured picture in each format."""
    generator = np.random.default_rng(0)
    picture = Image.fromarray(generator.integers(0, 256, (12, 10, 3), np.uint8)).resize(
        (80, 72), Image.Resampling.BICUBIC
    )
    files = {}
    for format, options in FORMATS.items():
        target = io.BytesIO()
        picture.save(target, format, **options)
        files[format] = target.getvalue()
    return files


def broken_files(count: int) -> Iterator[bytes]:
    """Files with flipped bits and extreme numbers, and with parts cut, doubled or taken from another file."""
    generator = np.random.default_rng(1)
    files = list(valid_files().values())
    for index in range(count):
        data = bytearray(files[index % len(files)])
        for _ in range(int(generator.integers(1, 6))):
            place = int(generator.integers(0, len(data) + 1) * generator.random())  # headers more often than pixels
            length = int(generator.integers(1, 64))
            kind = int(generator.integers(0, 6))
            if kind == 0:
                data[place : place + 1] = bytes([int(generator.integers(0, 256))])
            elif kind == 1:
                data[place : place + 4] = EXTREMES[int(generator.integers(0, len(EXTREMES)))]
            elif kind == 2:
                del data[place : place + length]
            elif kind == 3:
                data[place:place] = data[place : place + length]
            elif kind == 4:
                other = files[int(generator.integers(0, len(files)))]
                data[place : place + length] = other[place : place + length]
            else:
                del data[max(1, place) :]
        yield bytes(data)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_six_thousand_broken_files_become_photos_or_problems() -> None:
    count = 6000
    stream = b"".join(len(data).to_bytes(8) + data for data in broken_files(count))
    found = subprocess.run([sys.executable, "-c", DECODE], input=stream, capture_output=True, check=False)  # noqa: S603  # our own interpreter
    assert found.returncode == 0, found.stderr[-2000:]
    ends: dict[str, Any] = json.loads(found.stdout)
    assert ends["photo"] + ends["problem"] == count
    assert ends["photo"] > 100  # some damage must leave the photo readable
    assert ends["problem"] > 1000
    assert ends["peak"] < CAP


@pytest.mark.slow
def test_broken_files_sent_to_the_server_kill_no_worker(api: TestClient[Any]) -> None:
    statuses = set()
    for data in broken_files(120):
        reply = api.post("/v1/protect?recipe=draft", content=data, headers={"content-type": "image/jpeg"})
        statuses.add(reply.status_code)
        assert reply.headers["content-type"].startswith(("image/", "application/problem+json"))
    assert statuses <= {200, 422}
    assert api.get("/ready").json()["restarts"] == 0
