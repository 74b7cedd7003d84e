"""The Python client, against a real server: the same calls and the same errors as the SDK."""

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
from anti_i2v.photo import open_photo
from anti_i2v_server.pairing.tokens import TokenStore

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server


@pytest.fixture
def client(process: Any) -> Iterator[Client]:
    with Client(process.url, TOKEN) as made:
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


def test_it_gives_the_very_file_of_the_sdk(client: Client, photo: bytes) -> None:
    from anti_i2v import Protector

    here = Protector("draft", engine="onnx").protect(photo, seed=5, effects=False).encoded()
    assert client.protect(photo, recipe="draft", seed=5).file == here


def test_progress_is_told_step_by_step_and_ends_with_the_effect(client: Client, photo: bytes) -> None:
    told: list[Progress] = []
    client.protect(photo, recipe="balanced", deadline=4, on_progress=told.append)
    names = [progress.name for progress in told]
    assert names[:2] == ["queued", "started"]
    assert names[-2:] == ["effect", "done"]
    steps = [progress.data["step"] for progress in told if progress.name == "step"]
    assert steps == list(range(1, len(steps) + 1))
    assert told[-2].data["checks"] == 1


def test_another_format_can_be_asked_for_and_is_what_is_saved(client: Client, photo: bytes, tmp_path: Path) -> None:
    protection = client.protect(photo, recipe="draft", format="webp")
    assert protection.format == "WEBP"
    with pytest.raises(OutputError, match=r"sent WEBP, not what \.jpg says"):
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
def test_wrong_wishes_are_the_sdks_errors(
    client: Client, photo: bytes, options: dict[str, Any], error: type[AntiI2VError], words: str
) -> None:
    with pytest.raises(error, match=words):
        client.protect(photo, **options)


@pytest.mark.parametrize(
    ("source", "words"), [(b"", "is empty"), (b"no photo", "not an image"), ("nowhere.jpg", "cannot be opened")]
)
def test_what_is_no_photo_is_a_photo_error(client: Client, source: bytes | str, words: str) -> None:
    with pytest.raises(PhotoError, match=words):
        client.protect(source, recipe="draft")


def test_a_wrong_token_is_a_problem_of_the_server(process: Any, photo: bytes) -> None:
    with Client(process.url, "wrong") as stranger, pytest.raises(ServerProblem, match="pair again") as caught:
        stranger.protect(photo)
    assert (caught.value.status, caught.value.type) == (401, "/problems/unauthorised")


def test_without_a_server_it_is_unreachable(photo: bytes) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, TOKEN) as client, pytest.raises(Unreachable, match="anti-i2v serve"):
        client.protect(photo)


def test_a_client_is_paired_by_the_code(process: Any, photo: bytes) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    code = httpx.post(f"{process.url}/v1/pair/code", headers=headers, trust_env=False).json()["code"]
    with Client.pair(code, process.url) as client:
        assert client.protect(photo, recipe="draft").format == "PNG"
        assert client.token is not None
        assert TokenStore(process.home / "server" / "tokens.json").find(client.token) is not None
    with pytest.raises(ServerProblem, match="no pairing code is open"):
        Client.pair(code, process.url)


def test_what_interrupts_the_caller_cancels_the_job(process: Any, client: Client, photo: bytes) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.name == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.protect(photo, recipe="balanced", on_progress=interrupt)
    assert client.protect(photo, recipe="draft").format == "PNG"  # at once: nothing is in the way
    with process.client() as plain:
        assert plain.get("/ready").json()["restarts"] == 0


def test_the_asynchronous_client_does_the_same(process: Any, photo: bytes) -> None:
    async def body() -> None:
        told: list[str] = []
        async with AsyncClient(process.url, TOKEN) as client:
            protection = await client.protect(
                photo, recipe="draft", on_progress=lambda progress: told.append(progress.name)
            )
            assert protection.receipt.recipe == "draft"
            assert told == ["queued", "started", "effect", "done"]
            with pytest.raises(RecipeError, match="unknown recipe"):
                await client.protect(photo, recipe="drift")
            with pytest.raises(PhotoError, match="is empty"):
                await client.protect(b"", recipe="draft")

    asyncio.run(body())


def test_cancelling_the_awaiting_task_cancels_the_job(process: Any, photo: bytes) -> None:
    async def body() -> None:
        stepped = asyncio.Event()

        def note(progress: Progress) -> None:
            if progress.name == "step":
                stepped.set()

        async with AsyncClient(process.url, TOKEN) as client:
            task = asyncio.create_task(client.protect(photo, recipe="balanced", on_progress=note))
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
