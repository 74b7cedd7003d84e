"""Shared by the server's tests: small photos, a server in this process, and one in a process of its own."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from anti_i2v_server.app import Server, make_server
from anti_i2v_server.pairing.tokens import TokenStore
from anti_i2v_server.settings import Settings

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server
BASE = "http://127.0.0.1:8765"
PATIENCE = 60.0
"""Seconds that a test waits for what must come; it measures nothing."""


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 128 x 96 pixels."""
    with Image.open(Path(__file__).parents[1] / "data" / "chelsea.jpg") as image:
        return encoded(image.convert("RGB").resize((128, 96)))


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


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
def bare_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No weights and no tokens but those of the tests, for this process and those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("ANTI_I2V_HOME", str(folder))
        patch.delenv("ANTI_I2V_TOKEN", raising=False)
        yield folder


@pytest.fixture
def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}"}


class SilentLog:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **more: Any) -> None:
        self.lines.append({"event": event, **more})

    warning = error = info


@pytest.fixture
def log() -> SilentLog:
    return SilentLog()


@pytest.fixture
def server(tmp_path: Path, log: SilentLog) -> Server:
    """A server whose workers are not started: it refuses, pairs, lists and queues."""
    return make_server(Settings(), token=TOKEN, tokens=TokenStore(tmp_path / "server" / "tokens.json"), log=log)


@pytest.fixture
def idle(server: Server) -> TestClient[Any]:
    """A client of that server, without a token."""
    return TestClient(server.asgi, base_url=BASE)


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient[Any]]:
    """A client, with the token, of a server in this process whose worker is real."""
    settings = Settings(surrogates=("embedded",), pixel_limit=1_000_000, body_limit=2_000_000)
    tokens = TokenStore(tmp_path_factory.mktemp("tokens") / "tokens.json")
    made = make_server(settings, token=TOKEN, tokens=tokens, log=SilentLog())
    with TestClient(made.asgi, base_url=BASE) as client:
        client.headers["authorization"] = f"Bearer {TOKEN}"
        yield client


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    code: str
    home: Path
    said: list[str] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=PATIENCE,
            trust_env=False,
            **options,
        )

    def workers(self) -> list[int]:
        """Process ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in (threads if children.exists() else ()) for child in thread.read_text().split()]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE)


@contextmanager
def running(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    command = [sys.executable, "-m", "anti_i2v", "serve", "--port", "0", "--surrogate", "embedded", *arguments]
    variables = {**os.environ, "ANTI_I2V_HOME": str(home), "ANTI_I2V_TOKEN": TOKEN, **(environment or {})}
    home.mkdir(exist_ok=True)
    with (home / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)  # noqa: S603  # our own interpreter
    try:
        said = []
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ready"):
                break
        words = "".join(said)
        url, code = re.search(r"http://[\w.:\[\]]+", words), re.search(r"code: (\S+)", words)
        assert url, (words, (home / "log.txt").read_text())
        assert code, words
        threading.Thread(target=lambda: [said.append(line) for line in process.stdout or ()], daemon=True).start()
        yield Running(process, url[0], code[1], home, said)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def run_server() -> Callable[..., Any]:
    return running


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all tests of a module that leave it running."""
    with running(tmp_path_factory.mktemp("server") / "home", "--body-limit", "2") as server:
        yield server
