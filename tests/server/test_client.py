"""The Python client with a real server: the same results and errors as the SDK."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from anti_i2v.client import AsyncClient, Client, Progress, ServerProblem, Unreachable
from anti_i2v.errors import AntiI2VError, OutputError, PhotoError, RecipeError
from anti_i2v.images.decode import open_photo
from anti_i2v_server.tokens import TokenStore

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server


@pytest.fixture
def client(running_server: Any) -> Iterator[Client]:
    with Client(running_server.url, TOKEN) as made:
        yield made


def test_a_photo_is_protected_and_saved_with_its_receipt(client: Client, photo: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "photo.png", tmp_path / "protected.png"
    source.write_bytes(photo)
    protection = client.protect(source, recipe="draft", preset="instagram", seed=3)
    receipt = protection.save(target)
    assert (receipt.recipe, receipt.preset, receipt.seed, receipt.engine) == ("draft", "instagram", 3, "onnx")
    delta = abs(open_photo(target).pixels.astype(int) - open_photo(source).pixels)
    assert 0 < delta.max() == receipt.budget_spent <= 8
    assert "photo" not in repr(protection)


def test_the_file_equals_that_of_the_sdk(client: Client, photo: bytes) -> None:
    from anti_i2v import Protector

    here = Protector("draft", engine="onnx").protect(photo, seed=5, effects=False).encode()
    assert client.protect(photo, recipe="draft", seed=5).file == here


def test_progress_reports_every_step_and_then_the_effect(client: Client, photo: bytes) -> None:
    received: list[Progress] = []
    client.protect(photo, recipe="balanced", on_progress=received.append)
    names = [progress.name for progress in received]
    assert names[:2] == ["queued", "started"]
    assert names[-2:] == ["effect", "done"]
    steps = [progress.data["step"] for progress in received if progress.name == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert received[-2].data["checks"] == 1


def test_another_format_is_returned_and_saved(client: Client, photo: bytes, tmp_path: Path) -> None:
    protection = client.protect(photo, recipe="draft", format="webp")
    assert protection.format == "WEBP"
    with pytest.raises(OutputError, match=r"sent WEBP, not \.jpg"):
        protection.save(tmp_path / "protected.jpg")
    protection.save(tmp_path / "protected.webp")
    with pytest.raises(OutputError, match="exists"):
        protection.save(tmp_path / "protected.webp")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"recipe": "drift"}, RecipeError, "unknown recipe 'drift'"),
        ({"preset": "myspace"}, RecipeError, "unknown preset"),
        ({"deadline": 0}, RecipeError, "above 0 seconds"),
        ({"seed": -1}, RecipeError, "a seed must be"),
        ({"format": "gif"}, RecipeError, "unknown format"),
    ],
    ids=["recipe", "preset", "deadline", "seed", "format"],
)
def test_invalid_options_raise_the_errors_of_the_sdk(
    client: Client, photo: bytes, options: dict[str, Any], error: type[AntiI2VError], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.protect(photo, **options)


@pytest.mark.parametrize(
    ("source", "words"), [(b"", "is empty"), (b"no photo", "not an image"), ("nowhere.jpg", "cannot be opened")]
)
def test_a_file_that_is_not_a_photo_raises_photo_error(client: Client, source: bytes | str, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        client.protect(source, recipe="draft")


def test_a_wrong_token_raises_server_problem(running_server: Any, photo: bytes) -> None:
    with Client(running_server.url, "wrong") as stranger, pytest.raises(ServerProblem, match="pair again") as caught:
        stranger.protect(photo)
    assert (caught.value.status, caught.value.type) == (401, "/problems/unauthorised")


def test_without_a_server_it_raises_unreachable(photo: bytes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, TOKEN) as client, pytest.raises(Unreachable, match="anti-i2v serve"):
        client.protect(photo)


def test_a_code_pairs_a_client(running_server: Any, photo: bytes) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    code = httpx.post(f"{running_server.url}/v1/pair/code", headers=headers, trust_env=False).json()["code"]
    with Client.pair(code, running_server.url) as client:
        assert client.protect(photo, recipe="draft").format == "PNG"
        assert client.token is not None
        assert TokenStore(running_server.home / "server" / "tokens.json").find(client.token) is not None
    with pytest.raises(ServerProblem, match="no pairing code is open"):
        Client.pair(code, running_server.url)


def test_an_exception_in_the_callback_cancels_the_job(
    running_server: Any, client: Client, photo: bytes, slow_photo: bytes
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.name == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.protect(slow_photo, recipe="balanced", on_progress=interrupt)
    assert client.protect(photo, recipe="draft").format == "PNG"  # the worker is free again
    with running_server.client() as plain:
        assert plain.get("/ready").json()["restarts"] == 0


def test_the_asynchronous_client_returns_results_and_raises_errors(running_server: Any, photo: bytes) -> None:
    async def body() -> None:
        received: list[str] = []
        async with AsyncClient(running_server.url, TOKEN) as client:
            protection = await client.protect(
                photo, recipe="draft", on_progress=lambda progress: received.append(progress.name)
            )
            assert protection.receipt.recipe == "draft"
            assert received == ["queued", "started", "effect", "done"]
            with pytest.raises(RecipeError, match="unknown recipe"):
                await client.protect(photo, recipe="drift")
            with pytest.raises(PhotoError, match="is empty"):
                await client.protect(b"", recipe="draft")

    asyncio.run(body())


def test_cancelling_the_awaiting_task_cancels_the_job(running_server: Any, photo: bytes, slow_photo: bytes) -> None:
    async def body() -> None:
        stepped = asyncio.Event()

        def note(progress: Progress) -> None:
            if progress.name == "step":
                stepped.set()

        async with AsyncClient(running_server.url, TOKEN) as client:
            task = asyncio.create_task(client.protect(slow_photo, recipe="balanced", on_progress=note))
            await stepped.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await client.protect(photo, recipe="draft")).format == "PNG"

    asyncio.run(body())


def test_without_httpx_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(AntiI2VError, match=r"anti-i2v-sdk\[client\]"):
        Client()
