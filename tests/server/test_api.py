"""The API as clients meet it: a real worker behind it, every answer checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient

from anti_i2v.photo import open_photo
from anti_i2v.presets import PRESETS
from anti_i2v.receipt import Receipt
from anti_i2v.recipes import recipe_names

PNG = {"content-type": "image/png"}


@pytest.fixture
def post(working: TestClient[Any], photo: bytes) -> Callable[..., Any]:
    """POST /v1/protect of the photo, with the draft recipe."""

    def send(query: str = "", content: bytes = photo, **headers: str) -> Any:
        return working.post(f"/v1/protect?recipe=draft{query}", content=content, headers={**PNG, **headers})

    return send


def test_a_photo_comes_back_protected_within_its_budget(
    post: Callable[..., Any], photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    reply = post()
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/png"
    delta = abs(pixels_of(reply.content) - pixels_of(photo))
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert 0 < delta.max() == receipt["budgetSpent"] <= receipt["budgetAsked"] == 8


def test_the_short_receipt_tells_cost_effect_and_what_is_left(post: Callable[..., Any]) -> None:
    header = post("&preset=instagram").headers["anti-i2v-receipt"]
    assert header.isascii()
    assert len(header) < 4096
    receipt = json.loads(header)
    assert receipt["preset"] == "instagram"
    assert receipt["psnr"] > 30
    assert {"ssim", "de2000Mean", "relief", "beatsRandom", "checks", "steps", "stopped"} <= receipt.keys()
    protected, random = receipt["shift"]["embedded"]
    assert protected > random
    assert set(receipt["left"]) == {"jpeg75", "half size", "blur", "instagram"}


def test_the_whole_receipt_comes_beside_the_photo(post: Callable[..., Any]) -> None:
    reply = post(accept="multipart/mixed")
    kind, _, boundary = reply.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/mixed"
    parts = reply.content.split(b"--" + boundary.strip('"').encode())
    assert len(parts) == 4
    receipt, file = (part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts[1:3])
    assert Receipt.from_json(receipt).encoding is not None
    assert open_photo(file).pixels.shape == (96, 128, 3)


def test_a_form_is_taken_too_and_gives_the_same(
    working: TestClient[Any], post: Callable[..., Any], photo: bytes
) -> None:
    form = working.post("/v1/protect?recipe=draft", files={"photo": ("secret name.png", photo, "image/png")})
    assert form.status_code == 200, form.text
    assert form.content == post().content


def test_the_same_seed_gives_the_same_file_and_another_another(post: Callable[..., Any]) -> None:
    assert post("&seed=7").content == post("&seed=7").content != post("&seed=8").content


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff", "bmp"])
def test_every_format_can_be_asked_for(post: Callable[..., Any], format: str) -> None:
    reply = post(f"&format={format}")
    assert reply.headers["content-type"] == f"image/{format}"
    assert open_photo(reply.content).format == format.upper()


def test_metadata_is_dropped_unless_it_is_asked_for(
    post: Callable[..., Any], photo: bytes, encode: Callable[..., bytes]
) -> None:
    from io import BytesIO

    from PIL import ExifTags, Image

    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    tagged = encode(Image.open(BytesIO(photo)), "JPEG", exif=exif)

    def tags(query: str) -> Any:
        return Image.open(BytesIO(post(query, tagged).content)).getexif()

    assert not tags("")
    assert not tags("&metadata=drop")
    kept = tags("&metadata=keep")
    assert kept[ExifTags.Base.Artist] == "Ada"
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)


def test_a_job_is_accepted_followed_fetched_and_dropped(working: TestClient[Any], photo: bytes) -> None:
    accepted = working.post("/v1/jobs?recipe=draft&priority=bulk", content=photo, headers=PNG)
    assert accepted.status_code == 202
    job = accepted.headers["location"]
    assert job == f"/v1/jobs/{accepted.json()['id']}"
    events = working.get(f"{job}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in events.text.splitlines() if line.startswith("event: ")]
    assert names == ["queued", "started", "effect", "done"]
    assert (accepted.json()["state"], accepted.json()["position"]) == ("queued", 0)
    status = {"id": accepted.json()["id"], "state": "done", "recipe": "draft", "attempts": 1}
    assert working.get(job).json() == status
    assert open_photo(working.get(f"{job}/result").content).pixels.shape == (96, 128, 3)
    assert Receipt.from_json(working.get(f"{job}/receipt").content).recipe == "draft"
    assert working.delete(job).status_code == 204
    assert working.get(job).status_code == 404


def test_a_stream_goes_on_after_the_last_event_that_was_seen(working: TestClient[Any], photo: bytes) -> None:
    job = working.post("/v1/jobs?recipe=draft", content=photo, headers=PNG).headers["location"]
    working.get(f"{job}/events")
    again = working.get(f"{job}/events", headers={"last-event-id": "3"}).text
    assert "id: 3" not in again
    assert "id: 4\nevent: done" in again


@pytest.mark.parametrize("number", ["-1", "x", "1e999"])
def test_a_wrong_last_event_is_a_problem(working: TestClient[Any], photo: bytes, number: str) -> None:
    job = working.post("/v1/jobs?recipe=draft", content=photo, headers=PNG).headers["location"]
    assert working.get(f"{job}/events", headers={"last-event-id": number}).status_code == 400


@pytest.mark.parametrize("path", ["", "/events", "/result", "/receipt"])
def test_a_job_that_is_not_there_is_a_problem(working: TestClient[Any], path: str) -> None:
    reply = working.get(f"/v1/jobs/nothing{path}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/job"


def test_a_failed_job_tells_its_problem_everywhere(working: TestClient[Any]) -> None:
    job = working.post("/v1/jobs?recipe=draft", content=b"no photo", headers=PNG).headers["location"]
    assert "event: failed" in working.get(f"{job}/events").text
    problem = working.get(job).json()["problem"]
    assert problem["type"] == "/problems/photo"
    for part in ("result", "receipt"):
        reply = working.get(f"{job}/{part}")
        assert (reply.status_code, reply.json()["detail"]) == (422, problem["detail"])


def test_what_there_is_to_choose_from_is_listed(working: TestClient[Any]) -> None:
    assert [recipe["name"] for recipe in working.get("/v1/recipes").json()] == recipe_names(denoisers=False)
    assert [preset["name"] for preset in working.get("/v1/presets").json()] == list(PRESETS)
    assert {"longEdge", "label", "confidence"} <= working.get("/v1/presets").json()[0].keys()
    surrogates = {each["name"]: each["present"] for each in working.get("/v1/surrogates").json()}
    assert surrogates["embedded"]
    assert surrogates["taesd"] is False


def test_readiness_names_the_provider(working: TestClient[Any]) -> None:
    ready = working.get("/ready").json()
    assert ready["workers"][0]["provider"] == "cpu (CPUExecutionProvider)"
    assert ready["restarts"] == 0


KEY = "0123456789abcdef"


def test_a_photo_submitted_again_under_its_key_is_the_same_job(working: TestClient[Any], photo: bytes) -> None:
    def submit(query: str = "", content: bytes = photo, key: str | None = KEY) -> Any:
        keyed = {} if key is None else {"idempotency-key": key}
        return working.post(f"/v1/jobs?recipe=draft{query}", content=content, headers=PNG | keyed)

    first = submit()
    assert first.status_code == 202, first.text
    again = submit()
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    for other in (submit("&seed=1"), submit(content=photo + b"more")):
        assert (other.status_code, other.json()["type"]) == (422, "/problems/key")
    assert submit(key="another-key-of-its-own").json()["id"] != first.json()["id"]
    assert submit(key=None).json()["id"] != submit(key=None).json()["id"]


@pytest.mark.parametrize("key", ["", "short", "with a space inside it", "x" * 201])
def test_a_key_that_can_be_guessed_or_is_none_is_refused(working: TestClient[Any], photo: bytes, key: str) -> None:
    reply = working.post("/v1/jobs?recipe=draft", content=photo, headers={**PNG, "idempotency-key": key})
    assert reply.status_code == 400


def test_the_metrics_count_by_route_and_never_by_path(working: TestClient[Any]) -> None:
    working.get("/v1/jobs/some-secret-id")
    text = working.get("/metrics").text
    assert 'anti_i2v_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}' in text
    assert "some-secret-id" not in text
    assert "anti_i2v_workers_ready 1.0" in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/protect", 405), ("DELETE", "/v1/recipes", 405), ("POST", "/health", 405)],
)
def test_what_litestar_refuses_is_a_problem_too(working: TestClient[Any], method: str, path: str, status: int) -> None:
    reply = working.request(method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status


def test_the_documentation_needs_no_network(working: TestClient[Any]) -> None:
    page = working.get("/docs").text
    assert "/v1/protect" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_the_description_declares_bodies_statuses_and_the_token(working: TestClient[Any]) -> None:
    api = working.get("/docs/openapi.json").json()
    assert api["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert api["security"] == [{"token": []}]
    for path in ("/v1/protect", "/v1/jobs"):
        operation = api["paths"][path]["post"]
        assert {"image/jpeg", "image/png", "multipart/form-data"} <= operation["requestBody"]["content"].keys()
        assert {"400", "401", "403", "408", "413", "415", "421", "422", "503"} <= operation["responses"].keys()
        assert "application/problem+json" in operation["responses"]["422"]["content"]
    assert "image/jpeg" in api["paths"]["/v1/protect"]["post"]["responses"]["200"]["content"]
    without = {path for path, item in api["paths"].items() for each in item.values() if each.get("security") == [{}]}
    assert without == {"/health", "/v1/pair"}


def test_the_page_is_there(working: TestClient[Any]) -> None:
    assert "Anti-I2V" in working.get("/").text
    assert working.get("/static/docs.css").headers["content-type"].startswith("text/css")
