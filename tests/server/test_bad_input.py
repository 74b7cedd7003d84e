"""Bad input: each kind gets its own clear problem or a correct result, and none kills the worker."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from anti_i2v.images.decode import open_photo

JPEG = {"content-type": "image/jpeg"}


def image_of(photo: bytes) -> Image.Image:
    return Image.open(io.BytesIO(photo)).convert("RGB")


def file(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not fill."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def animation(photo: bytes) -> bytes:
    frames = [image_of(photo), Image.new("RGB", (80, 64), "red")]
    return file(frames[0], "WEBP", save_all=True, append_images=frames[1:])


REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda photo: photo[: len(photo) // 2], "truncated or damaged"),
    "not an image": (lambda _: b"hello, this is not a photo", "is not an image"),
    "a PDF": (lambda _: b"%PDF-1.7 ...", "it is a PDF"),
    "a GIF": (lambda photo: file(image_of(photo), "GIF"), "it is a GIF"),
    "an SVG": (lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing"),
    "0 bytes": (lambda _: b"", "is empty"),
    "1x1": (lambda _: file(Image.new("RGB", (1, 1))), "1 x 1 pixels, too small"),
    "30000x1": (lambda _: file(Image.new("RGB", (30_000, 1))), "30000 x 1 pixels, too small"),
    "an animation": (animation, "animation of 2 frames"),
    "a bomb": (lambda _: png_header(13_000, 13_000), "13000 x 13000 pixels, more than"),
    "above the pixel limit": (lambda _: file(Image.new("RGB", (1001, 1000))), "more than 1 megapixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_a_photo_is_refused_with_a_reason(api: TestClient[Any], photo: bytes, name: str) -> None:
    make, words = REFUSED[name]
    reply = api.post("/v1/protect?recipe=draft", content=make(photo), headers=JPEG)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/photo"
    assert words in reply.json()["detail"]


ACCEPTED: dict[str, Callable[[bytes], bytes]] = {
    "CMYK": lambda photo: file(image_of(photo).convert("CMYK"), "JPEG"),
    "16-bit": lambda photo: file(Image.fromarray(np.asarray(image_of(photo).convert("L")).astype(np.uint16) * 257)),
    "grayscale": lambda photo: file(image_of(photo).convert("L")),
    "palette": lambda photo: file(image_of(photo).convert("P")),
    "transparent": lambda photo: file(image_of(photo).convert("RGBA").rotate(20)),
    "the wrong type of image in its header": lambda photo: file(image_of(photo), "WEBP"),
    "very wide": lambda photo: file(image_of(photo).resize((448, 64))),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_photos_are_protected(api: TestClient[Any], photo: bytes, name: str) -> None:
    sent = ACCEPTED[name](photo)
    reply = api.post("/v1/protect?recipe=draft", content=sent, headers=JPEG)
    assert reply.status_code == 200, reply.text
    assert open_photo(reply.content).pixels.shape == open_photo(sent).pixels.shape


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("recipe=drift", 422, "unknown recipe 'drift': choose from draft"),
        ("recipe=", 422, "unknown recipe ''"),
        ("preset=myspace", 422, "unknown preset 'myspace': choose from"),
        ("deadline=0", 422, "above 0 seconds, got 0"),
        ("deadline=-1", 422, "above 0 seconds, got -1"),
        ("deadline=nan", 422, "above 0 seconds"),
        ("deadline=inf", 422, "above 0 seconds"),
        ("deadline=soon", 400, "deadline: Expected"),
        ("seed=-1", 422, "seed must be"),
        ("seed=1.5", 400, "seed: Expected"),
        ("seed=99999999999999999999999", 422, "seed must be"),
        ("format=gif", 422, "unknown format 'gif': choose from jpeg"),
        ("metadata=all", 422, "unknown metadata 'all': choose from drop, keep"),
        ("priority=bulk", 400, "unknown parameter 'priority'"),
        ("recipie=draft", 400, "unknown parameter 'recipie': choose from"),
    ],
)
def test_invalid_options_are_refused(api: TestClient[Any], photo: bytes, query: str, status: int, words: str) -> None:
    reply = api.post(f"/v1/protect?{query}", content=photo, headers=JPEG)
    assert reply.status_code == status, reply.text
    assert words in reply.json()["detail"]


@pytest.mark.parametrize("kind", ["", "text/plain", "application/json", "image/gif", "image/svg+xml", "image", "\xe4"])
def test_unsupported_content_types_are_refused(api: TestClient[Any], photo: bytes, kind: str) -> None:
    headers = {"content-type": kind.encode("latin-1")} if kind else {}
    reply = api.post("/v1/protect", content=photo, headers=headers)
    assert reply.status_code == 415
    assert "send one of image/jpeg" in reply.json()["detail"]


def form(*names: str) -> bytes:
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%b"; filename="a.png"\r\n\r\nabc\r\n' % name.encode()
        for name in names
    )
    return parts + b"--x--\r\n"


@pytest.mark.parametrize(
    ("body", "boundary", "words"),
    [
        (form(), "; boundary=x", "one part named 'photo', it has 0"),
        (form("picture"), "; boundary=x", "it has 0"),
        (form("photo", "photo"), "; boundary=x", "it has 2"),
        (form("photo")[:-8], "; boundary=x", "the form cannot be parsed"),
        (form("photo"), "; boundary=y", "the form cannot be parsed"),
        (form("photo"), "", "the form cannot be parsed"),
        (form(*["other"] * 100), "; boundary=x", "the form cannot be parsed"),
        (b"", "; boundary=x", "the form cannot be parsed"),
    ],
    ids=["no part", "another part", "two photos", "cut off", "another boundary", "no boundary", "many parts", "empty"],
)
def test_forms_without_exactly_one_photo_are_refused(
    api: TestClient[Any], body: bytes, boundary: str, words: str
) -> None:
    reply = api.post("/v1/protect", content=body, headers={"content-type": f"multipart/form-data{boundary}"})
    assert reply.status_code == 400, reply.text
    assert words in reply.json()["detail"]


def test_a_format_without_transparency_is_refused_for_a_transparent_photo(api: TestClient[Any], photo: bytes) -> None:
    transparent = file(image_of(photo).convert("RGBA").rotate(20))
    reply = api.post("/v1/protect?recipe=draft&format=jpeg", content=transparent, headers=JPEG)
    assert (reply.status_code, reply.json()["type"]) == (422, "/problems/output")
    assert "cannot hold the transparency" in reply.json()["detail"]


def test_a_recipe_that_needs_a_video_model_is_refused_with_a_reason(api: TestClient[Any], photo: bytes) -> None:
    reply = api.post("/v1/protect?recipe=full", content=photo, headers=JPEG)
    assert (reply.status_code, reply.json()["type"]) == (422, "/problems/recipe")
    assert "needs a whole video model: use the command line, or choose from draft, balanced" in reply.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"code": 5}', b'{"code": "a", "more": 1}', b"\xff"])
def test_a_malformed_pairing_request_is_refused(api: TestClient[Any], body: bytes) -> None:
    reply = api.post("/v1/pair", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_long_pairing_request_is_refused(api: TestClient[Any]) -> None:
    assert api.post("/v1/pair", json={"code": "A" * 5000}).status_code == 413


def test_bad_input_never_killed_the_worker(api: TestClient[Any]) -> None:
    assert api.get("/ready").json()["restarts"] == 0
