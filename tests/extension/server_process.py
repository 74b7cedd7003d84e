"""The real protection server, in its own process."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import httpx

TOKEN = secrets.token_urlsafe(24)
PATIENCE = 60.0
"""Timeout in seconds."""


class ServerProcess:
    """A server that can be killed and restarted at the same address with the same tokens."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home, self.arguments = home, arguments
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *more: str) -> None:
        command = [sys.executable, "-m", "anti_i2v_cli", "serve", "--port", str(self.port), "--surrogate", "embedded"]
        variables = {**os.environ, "ANTI_I2V_HOME": str(self.home), "ANTI_I2V_TOKEN": TOKEN}
        self.home.mkdir(exist_ok=True)
        with (self.home / "log.txt").open("a") as log:
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter
                [*command, *self.arguments, *more], stdout=subprocess.PIPE, stderr=log, text=True, env=variables
            )
        said = []
        for line in self.process.stdout or ():
            said.append(line)
            if line.startswith("Ready"):
                break
        found = re.search(r"http://[\d.]+:(\d+)", "".join(said))
        assert found, (said, (self.home / "log.txt").read_text()[-2000:])
        self.port = int(found[1])

    def stop(self, signum: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signum)
        self.process.wait(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        plain = {"trust_env": False, "verify": False}  # http: loading certificates takes longer than the request
        return httpx.Client(base_url=self.address, headers=headers, timeout=PATIENCE, **plain)

    def code(self) -> str:
        """Return a new pairing code."""
        with self.client() as client:
            return str(client.post("/v1/pair/code").json()["code"])

    def counter(self, name: str, **labels: str) -> float:
        """Return a counter of the metrics, summed over all other labels."""
        with self.client() as client:
            lines = client.get("/metrics").text.splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        found = [line for line in lines if re.match(rf"{name}[ {{]", line) and all(each in line for each in wanted)]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def stored(self) -> float:
        """Return the bytes of photos and results in memory."""
        return self.counter("anti_i2v_stored_bytes")

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(child) for thread in threads for child in thread.read_text().split()]

    def freeze_all(self, on: bool = True) -> None:
        """Stop all processes: the server accepts connections but does not answer."""
        for process in (self.process.pid, *self.workers()):
            os.kill(process, signal.SIGSTOP if on else signal.SIGCONT)

    def freeze(self, on: bool = True) -> None:
        """Stop the workers, so that jobs do not end. The server replaces workers that are stopped for too long."""
        for worker in self.workers():
            os.kill(worker, signal.SIGSTOP if on else signal.SIGCONT)
