"""Fixtures of the server's tests: small photos, a server in this process, and servers in processes of their own."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from anti_i2v_server.app import Server, make_server
from anti_i2v_server.jobs.job import Job
from anti_i2v_server.settings import Settings
from anti_i2v_server.tokens import TokenStore

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server
BASE = "http://127.0.0.1:8765"
TIMEOUT = 60.0
"""Seconds after which a test that still waits has failed."""


PHOTO = Path(__file__).parents[1] / "data" / "chelsea.jpg"


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 80 x 64 pixels: the smaller the photo, the faster the receipt's measurements."""
    return encoded(Image.open(PHOTO).convert("RGB").resize((80, 64)))


@pytest.fixture(scope="session")
def slow_photo() -> bytes:
    """A PNG of 160 x 120 pixels, on which the recipe "balanced" takes several seconds."""
    return encoded(Image.open(PHOTO).convert("RGB").resize((160, 120)))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


@pytest.fixture(scope="session")
def large_photo() -> bytes:
    """A JPEG of 451 x 300 pixels, on which "balanced" always reaches a deadline of some seconds."""
    return PHOTO.read_bytes()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    return encoded


@pytest.fixture(scope="session")
def pixels_of() -> Callable[[bytes], Any]:
    def pixels(file: bytes) -> Any:
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(image.convert("RGB")).astype(int)

    return pixels


@pytest.fixture(scope="session", autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder without weights and tokens, for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("ANTI_I2V_HOME", str(folder))
        patch.delenv("ANTI_I2V_TOKEN", raising=False)
        yield folder


@pytest.fixture(scope="session")
def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}"}


class RecordingLog:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **more: Any) -> None:
        self.lines.append({"event": event, **more})

    warning = error = info


@pytest.fixture
def log() -> RecordingLog:
    return RecordingLog()


class IdleExecutor:
    """An executor that never takes a job."""

    all_starts_failed = False

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def cancel(self, job: Job) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def idle_executor() -> IdleExecutor:
    return IdleExecutor()


@pytest.fixture
def server(tmp_path: Path, log: RecordingLog) -> Server:
    """A server in this process whose workers are not started: it refuses, pairs, lists and queues."""
    return make_server(Settings(), token=TOKEN, tokens=TokenStore(tmp_path / "server" / "tokens.json"), log=log)


@pytest.fixture
def idle_client(server: Server) -> TestClient[Any]:
    """A client of that server, without a token."""
    return TestClient(server.asgi, base_url=BASE)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    """A client, with the token, of a server in this process with a real worker."""
    settings = Settings(surrogates=("embedded",), pixel_limit=1_000_000, body_limit=2_000_000)
    tokens = TokenStore(tmp_path_factory.mktemp("tokens") / "tokens.json")
    made = make_server(settings, token=TOKEN, tokens=tokens, log=RecordingLog())
    with TestClient(made.asgi, base_url=BASE) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        yield client


@dataclass
class RunningServer:
    """A server in a process of its own. `output` holds the lines it has printed so far."""

    process: subprocess.Popen[str]
    url: str
    code: str
    home: Path
    output: list[str]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=TIMEOUT,
            trust_env=False,
            **options,
        )

    def worker_pids(self) -> list[int]:
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(TIMEOUT)


@contextmanager
def started_server(home: Path, *arguments: str, until: str = "Ready") -> Iterator[RunningServer]:
    """Start `anti-i2v serve` and wait for a line that begins with `until`."""
    command = [sys.executable, "-m", "anti_i2v_cli", "serve", "--port", "0", "--surrogate", "embedded", *arguments]
    variables = {**os.environ, "ANTI_I2V_HOME": str(home), "ANTI_I2V_TOKEN": TOKEN}
    home.mkdir(exist_ok=True)
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)  # noqa: S603  # our own interpreter
    try:
        output = []
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            if line.startswith(until):
                break
        text = "".join(output)
        url, code = re.search(r"http://[\w.:\[\]]+", text), re.search(r"code: (\S+)", text)
        assert url, (text, (home / "log.txt").read_text())
        assert code, text
        threading.Thread(target=lambda: [output.append(line) for line in process.stdout or ()], daemon=True).start()
        yield RunningServer(process, url[0], code[1], home, output)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def start_server() -> Callable[..., Any]:
    return started_server


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests that leave it running and without jobs."""
    with started_server(tmp_path_factory.mktemp("server") / "home", "--body-limit", "2") as server:
        yield server
