"""Uploads: kept in memory, limited in size and time."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from anti_i2v_server.app import make_server
from anti_i2v_server.settings import Settings
from anti_i2v_server.tokens import TokenStore

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server

TIMEOUT = 30.0
"""Seconds after which a test that still waits has failed."""


def test_a_large_form_is_not_spooled_to_a_file(
    api: TestClient[Any], photo: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large = photo + bytes(1_200_000)  # more than Litestar keeps in memory; decoders ignore what follows the image
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # every temporary file fails
    reply = api.post("/v1/protect?recipe=draft", files={"photo": ("a.png", large, "image/png")})
    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused(
    api: TestClient[Any], chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anti_i2v_server.upload.DRAIN_SECONDS", 0.05)
    body = bytes(2_000_001)
    content: Any = iter([body]) if chunked else body
    reply = api.post("/v1/jobs", content=content, headers={"content-type": "image/png"})
    assert (reply.status_code, reply.json()["type"]) == (413, "/problems/size")
    assert "larger than 2 MB" in reply.json()["detail"]


def test_a_body_that_never_arrives_times_out(log: Any, bearer: dict[str, str], tmp_path: Path) -> None:
    server = make_server(Settings(body_timeout=0.1), token=TOKEN, tokens=TokenStore(tmp_path / "tokens.json"), log=log)
    headers = {**bearer, "host": "127.0.0.1:8765", "content-type": "image/png"}
    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": "/v1/protect",
        "raw_path": b"/v1/protect",
        "query_string": b"recipe=draft",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8765),
        "scheme": "http",
        "http_version": "1.1",
        "state": {},
    }
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asyncio.wait_for(server.asgi(scope, receive, send), TIMEOUT))
    assert sent[0]["status"] == 408
    assert b"did not arrive within 0.1 s" in sent[1]["body"]


def test_the_defaults_are_64_megabytes_and_64_megapixels() -> None:
    assert (Settings().body_limit, Settings().pixel_limit) == (64_000_000, 64_000_000)
