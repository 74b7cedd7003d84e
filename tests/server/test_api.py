"""The HTTP API with a real worker."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from litestar.testing import TestClient

from anti_i2v.images.decode import open_photo
from anti_i2v.images.platforms import PRESETS
from anti_i2v.receipts.receipt import Receipt
from anti_i2v.recipes import recipe_names

PNG = {"content-type": "image/png"}
NO_PHOTO = b"not a photo"
"""Its job fails at once, which is enough where only the job matters."""


@pytest.fixture
def post(api: TestClient[Any], photo: bytes) -> Callable[..., Any]:
    """POST /v1/protect of the photo, with the draft recipe."""

    def send(query: str = "", content: bytes = photo, **headers: str) -> Any:
        return api.post(f"/v1/protect?recipe=draft{query}", content=content, headers={**PNG, **headers})

    return send


@pytest.fixture(scope="module")
def draft(api: TestClient[Any], photo: bytes) -> Any:
    """The response to the photo, with the recipe "draft"."""
    return api.post("/v1/protect?recipe=draft", content=photo, headers=PNG)


def test_a_photo_comes_back_protected_within_its_budget(
    draft: Any, photo: bytes, pixels_of: Callable[[bytes], Any]
) -> None:
    reply = draft
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "image/png"
    delta = abs(pixels_of(reply.content) - pixels_of(photo))
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert 0 < delta.max() == receipt["budgetSpent"] <= receipt["budgetAsked"] == 8


def test_the_short_receipt_holds_cost_effect_and_survival(post: Callable[..., Any]) -> None:
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


def test_a_form_gives_the_same_result(api: TestClient[Any], draft: Any, photo: bytes) -> None:
    form = api.post("/v1/protect?recipe=draft", files={"photo": ("secret name.png", photo, "image/png")})
    assert form.status_code == 200, form.text
    assert form.content == draft.content


def test_only_the_same_seed_gives_the_same_file(post: Callable[..., Any], draft: Any) -> None:
    assert post("&seed=0").content == draft.content != post("&seed=8").content


@pytest.mark.parametrize("format", ["jpeg", "png", "webp", "avif", "tiff", "bmp"])
def test_every_output_format_works(post: Callable[..., Any], format: str) -> None:
    reply = post(f"&format={format}")
    assert reply.headers["content-type"] == f"image/{format}"
    assert open_photo(reply.content).format == format.upper()


def test_metadata_is_dropped_by_default(post: Callable[..., Any], photo: bytes, encode: Callable[..., bytes]) -> None:
    from io import BytesIO

    from PIL import ExifTags, Image

    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Ada"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    tagged = encode(Image.open(BytesIO(photo)), "JPEG", exif=exif)

    def tags(query: str) -> Any:
        return Image.open(BytesIO(post(query, tagged).content)).getexif()

    assert not tags("")
    kept = tags("&metadata=keep")
    assert kept[ExifTags.Base.Artist] == "Ada"
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)


def test_a_job_can_be_submitted_followed_fetched_and_deleted(api: TestClient[Any], photo: bytes) -> None:
    accepted = api.post("/v1/jobs?recipe=draft&priority=bulk", content=photo, headers=PNG)
    assert accepted.status_code == 202
    job = accepted.headers["location"]
    assert job == f"/v1/jobs/{accepted.json()['id']}"
    events = api.get(f"{job}/events")
    assert events.headers["content-type"].startswith("text/event-stream")
    assert events.headers["cache-control"] == "no-store"
    assert events.text.startswith('retry: 1000\n\nid: 1\nevent: queued\ndata: {"position":0}\n\n')
    names = [line.removeprefix("event: ") for line in events.text.splitlines() if line.startswith("event: ")]
    assert names == ["queued", "started", "effect", "done"]
    assert (accepted.json()["state"], accepted.json()["position"]) == ("queued", 0)
    status = {"id": accepted.json()["id"], "state": "done", "recipe": "draft", "attempts": 1}
    assert api.get(job).json() == status
    assert open_photo(api.get(f"{job}/result").content).pixels.shape == (64, 80, 3)
    assert Receipt.from_json(api.get(f"{job}/receipt").content).recipe == "draft"
    assert api.delete(job).status_code == 204
    assert api.get(job).status_code == 404


def test_a_stream_resumes_after_the_last_event_received(api: TestClient[Any], photo: bytes) -> None:
    job = api.post("/v1/jobs?recipe=draft", content=photo, headers=PNG).headers["location"]
    api.get(f"{job}/events")
    again = api.get(f"{job}/events", headers={"last-event-id": "3"}).text
    assert "id: 3" not in again
    assert "id: 4\nevent: done" in again


@pytest.mark.parametrize("number", ["-1", "x", "1e999"])
def test_an_invalid_last_event_id_is_a_problem(api: TestClient[Any], number: str) -> None:
    job = api.post("/v1/jobs?recipe=draft", content=NO_PHOTO, headers=PNG).headers["location"]
    assert api.get(f"{job}/events", headers={"last-event-id": number}).status_code == 400


@pytest.mark.parametrize("path", ["", "/events", "/result", "/receipt"])
def test_an_unknown_job_is_a_problem(api: TestClient[Any], path: str) -> None:
    reply = api.get(f"/v1/jobs/nothing{path}")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["type"] == "/problems/job"


def test_a_failed_job_reports_the_same_problem_everywhere(api: TestClient[Any]) -> None:
    job = api.post("/v1/jobs?recipe=draft", content=b"no photo", headers=PNG).headers["location"]
    assert "event: failed" in api.get(f"{job}/events").text
    problem = api.get(job).json()["problem"]
    assert problem["type"] == "/problems/photo"
    for part in ("result", "receipt"):
        reply = api.get(f"{job}/{part}")
        assert (reply.status_code, reply.json()["detail"]) == (422, problem["detail"])


def test_recipes_presets_and_surrogates_are_listed(api: TestClient[Any]) -> None:
    assert [recipe["name"] for recipe in api.get("/v1/recipes").json()] == recipe_names(denoisers=False)
    assert [preset["name"] for preset in api.get("/v1/presets").json()] == list(PRESETS)
    assert {"longEdge", "label", "confidence"} <= api.get("/v1/presets").json()[0].keys()
    surrogates = {each["name"]: each["present"] for each in api.get("/v1/surrogates").json()}
    assert surrogates["embedded"]
    assert surrogates["taesd"] is False


def test_readiness_names_the_provider(api: TestClient[Any]) -> None:
    ready = api.get("/ready").json()
    assert ready["workers"][0]["provider"] == "cpu (CPUExecutionProvider)"
    assert ready["restarts"] == 0


KEY = "0123456789abcdef"


def test_submitting_again_under_one_key_returns_the_same_job(api: TestClient[Any]) -> None:
    def submit(query: str = "", content: bytes = NO_PHOTO, key: str | None = KEY) -> Any:
        keyed = {} if key is None else {"idempotency-key": key}
        return api.post(f"/v1/jobs?recipe=draft{query}", content=content, headers=PNG | keyed)

    first = submit()
    assert first.status_code == 202, first.text
    again = submit()
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    for other in (submit("&seed=1"), submit(content=NO_PHOTO + b"more")):
        assert (other.status_code, other.json()["type"]) == (422, "/problems/key")
    assert submit(key="another-key-of-its-own").json()["id"] != first.json()["id"]
    assert submit(key=None).json()["id"] != submit(key=None).json()["id"]


@pytest.mark.parametrize("key", ["", "short", "with a space inside it", "x" * 201])
def test_an_invalid_idempotency_key_is_refused(api: TestClient[Any], photo: bytes, key: str) -> None:
    reply = api.post("/v1/jobs?recipe=draft", content=photo, headers={**PNG, "idempotency-key": key})
    assert reply.status_code == 400


def test_metrics_count_by_route_not_by_path(api: TestClient[Any]) -> None:
    api.get("/v1/jobs/some-secret-id")
    text = api.get("/metrics").text
    assert 'anti_i2v_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}' in text
    assert "some-secret-id" not in text
    assert "anti_i2v_workers_ready 1.0" in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/v1/protect", 405), ("DELETE", "/v1/recipes", 405), ("POST", "/health", 405)],
)
def test_unknown_routes_and_methods_are_problems(api: TestClient[Any], method: str, path: str, status: int) -> None:
    reply = api.request(method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == status


def test_the_documentation_needs_no_network(api: TestClient[Any]) -> None:
    page = api.get("/docs").text
    assert "/v1/protect" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_openapi_declares_bodies_statuses_and_the_token(api: TestClient[Any]) -> None:
    api = api.get("/docs/openapi.json").json()
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


def test_the_page_and_its_files_are_served(api: TestClient[Any]) -> None:
    assert "Anti-I2V" in api.get("/").text
    assert api.get("/static/docs.css").headers["content-type"].startswith("text/css")
