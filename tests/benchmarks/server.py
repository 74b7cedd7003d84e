"""Benchmark the server: start, memory, /health under load, latency beside a direct call, protections a minute.

    python tests/benchmarks/server.py [--parts start health latency throughput] [--rounds 9] [--seconds 20]
                                       [--photos 24]

It runs `anti-i2v serve` in its own process with an empty home: the recipe `draft`, with a receipt by the packaged
student. Photos are JPEGs: a committed photo at 512 px, and enlarged to 12 megapixels. A direct call runs the SDK with
the worker's engine in another warm process. Direct calls and requests take turns, so that both meet the same load, and
must give the same file. Times are measured in the client. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median, quantiles

import httpx
from PIL import Image

PHOTO = Path(__file__).parent.parent / "data" / "astronaut.jpg"
SIZES = {"512 px": (512, 512), "12 MP": (4000, 3000)}
TOKEN = secrets.token_urlsafe(32)
JPEG = {"content-type": "image/jpeg"}
QUERY = "/v1/protect?recipe=draft&seed=0"
POLL = 0.02
"""Seconds between two requests to /health."""

IDLE = 3.0
"""Seconds before an idle server's memory is read: its worker prepares the receipt meanwhile."""


@dataclass
class RunningServer:
    """A ready server. `listening`, `ready`: seconds from its start."""

    process: subprocess.Popen[str]
    url: str
    listening: float
    ready: float

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=600, trust_env=False
        )

    def resident(self) -> tuple[float, float]:
        """MB of the server, and of all its workers."""
        folders = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        workers = [int(pid) for folder in folders for pid in folder.read_text().split()]
        return memory(self.process.pid), sum(memory(pid) for pid in workers)


def memory(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def started_server(*arguments: str) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory() as home, (Path(home) / "log.txt").open("w") as log:
        variables = {**os.environ, "ANTI_I2V_HOME": home, "ANTI_I2V_TOKEN": TOKEN}
        command = [sys.executable, "-m", "anti_i2v_cli", "serve", "--port", "0", *arguments]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables)  # noqa: S603  # our own interpreter
        url, listening, ready = "", 0.0, 0
        workers = max(1, arguments.count("--device"))
        try:
            for line in process.stdout or ():
                if line.startswith("Listening"):
                    url, listening = line.split()[2], time.perf_counter() - began
                ready += line.startswith("Ready")
                if ready == workers:
                    break
            else:
                raise SystemExit(f"the server did not start: {Path(log.name).read_text()}")
            yield RunningServer(process, url, listening, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            if process.stdout is not None:
                process.stdout.close()


def photo(size: str) -> bytes:
    with Image.open(PHOTO) as file:
        scaled = file.convert("RGB").resize(SIZES[size], Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    scaled.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def protect(client: httpx.Client, data: bytes) -> bytes:
    reply = client.post(QUERY, content=data, headers=JPEG)
    reply.raise_for_status()
    return reply.content


def start(rounds: int) -> None:
    listening, ready, memories = [], [], []
    for _ in range(rounds):
        with started_server() as server:
            listening.append(server.listening)
            ready.append(server.ready)
            time.sleep(IDLE)
            memories.append(server.resident())
    server_mb, worker_mb = (median(each) for each in zip(*memories, strict=True))
    print(
        f"start, median of {rounds} (the slowest): listens after {median(listening):.2f} s ({max(listening):.2f}), "
        f"ready after {median(ready):.2f} s ({max(ready):.2f})"
    )
    print(f"idle: server {server_mb:.0f} MB + worker {worker_mb:.0f} MB = {server_mb + worker_mb:.0f} MB resident\n")


def load(url: str, size: str) -> None:
    """Protect photos in a child process, until it is killed."""
    data = photo(size)
    headers = {"authorization": f"Bearer {os.environ['ANTI_I2V_TOKEN']}"}
    with httpx.Client(base_url=url, headers=headers, timeout=600, trust_env=False) as client:
        while True:
            protect(client, data)
            print("done", flush=True)


def health(seconds: float) -> None:
    print(f"GET /health, every {POLL * 1000:.0f} ms for {seconds:.0f} s, milliseconds")
    print(f"{'':48}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}")
    for workers in (1, 2):
        with started_server(*(["--device", "cpu"] * workers)) as server, server.client() as client:
            label = "1 worker" if workers == 1 else f"{workers} workers"
            health_row(f"{label}, idle", client, seconds)
            for size in SIZES:
                command = [sys.executable, __file__, "--load", server.url, size]
                variables = {**os.environ, "ANTI_I2V_TOKEN": TOKEN}
                clients = [
                    subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)  # noqa: S603  # this very file
                    for _ in range(2)
                ]
                try:
                    for each in clients:  # wait until both have a result, so that the load is on
                        if each.stdout is not None:
                            each.stdout.readline()
                    health_row(f"{label}, two clients, {size}", client, seconds)
                finally:
                    for each in clients:
                        each.kill()
                        each.wait()
                        if each.stdout is not None:
                            each.stdout.close()
                time.sleep(2)  # cancelled jobs end
    print()


def health_row(label: str, client: httpx.Client, seconds: float) -> None:
    taken = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        client.get("/health").raise_for_status()
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(POLL)
    hundredths = quantiles(taken, n=100)
    cells = (median(taken), hundredths[94], hundredths[98], max(taken))
    print(f"{label:48}" + "".join(f"{cell:8.1f}" for cell in cells), flush=True)


def direct(size: str) -> None:
    """Protect once for each line of standard input, in a child process, and print seconds and the file's hash."""
    from anti_i2v.images.decode import open_photo
    from anti_i2v.protector import Protector

    data, protector = photo(size), Protector("draft", engine="onnx")
    for _ in sys.stdin:
        began = time.perf_counter()
        file, _ = protector.protect(open_photo(data), seed=0).encode_with_receipt()
        print(time.perf_counter() - began, sha256(file).hexdigest(), flush=True)


def latency(rounds: int) -> None:
    print(f"POST /v1/protect between two direct calls of the SDK, seconds, medians of {rounds}")
    print(f"{'':12}{'direct':>9}{'request':>9}{'added ms':>10}{'added':>8}{'direct calls differ':>22}")
    with started_server() as server, server.client() as client:
        for size in SIZES:
            command = [sys.executable, __file__, "--direct", size]
            with subprocess.Popen(  # noqa: S603  # this very file
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "ANTI_I2V_HOME": os.devnull},
            ) as child:
                data = photo(size)
                found = [timed_request(child, client, data) for _ in range(rounds + 1)][1:]
                child.communicate()
            direct_seconds = median((before + after) / 2 for before, _, after in found)
            added = median(request - (before + after) / 2 for before, request, after in found)
            difference = median(abs(after - before) for before, _, after in found)
            cells = f"{direct_seconds:9.3f}{median(request for _, request, _ in found):9.3f}{added * 1000:10.1f}"
            print(f"{size:12}{cells}{added / direct_seconds:8.1%}{difference / direct_seconds:22.1%}", flush=True)
    print()


def timed_request(child: subprocess.Popen[str], client: httpx.Client, data: bytes) -> tuple[float, float, float]:
    """Return seconds of a direct call, a request and a direct call. The difference of the direct calls is noise."""
    before, digest = timed_direct_call(child)
    began = time.perf_counter()
    file = protect(client, data)
    taken = time.perf_counter() - began
    if sha256(file).hexdigest() != digest:
        raise SystemExit("the server's file differs from the SDK's")
    return before, taken, timed_direct_call(child)[0]


def timed_direct_call(child: subprocess.Popen[str]) -> tuple[float, str]:
    """Return the seconds of a direct call and its file's hash."""
    if child.stdin is None or child.stdout is None:
        raise SystemExit("the child has no pipes")
    child.stdin.write("go\n")
    child.stdin.flush()
    seconds, digest = child.stdout.readline().split()
    return float(seconds), digest


def throughput(count: int) -> None:
    print(f"protections a minute, one worker, {count} photos shared by the clients")
    print(f"{'':12}" + "".join(f"{f'{clients} clients':>12}" for clients in (1, 4, 16)))
    with started_server() as server:
        for size in SIZES:
            data = photo(size)
            with server.client() as client:
                protect(client, data)
            rates = [rate(server, data, clients, count) for clients in (1, 4, 16)]
            print(f"{size:12}" + "".join(f"{each:12.0f}" for each in rates), flush=True)
        print("afterwards: server {:.0f} MB, worker {:.0f} MB resident".format(*server.resident()))


def rate(server: RunningServer, data: bytes, clients: int, count: int) -> float:
    """Return protections a minute for `clients` clients that each send the next photo after a result."""
    photos = iter([data] * count)

    def one() -> None:
        with server.client() as client:
            for each in photos:  # each photo goes to one thread
                protect(client, each)

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(one) for _ in range(clients)]:
            done.result()
    return 60 * count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("start", "health", "latency", "throughput")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--load", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--direct", help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.load:
        load(*settings.load)
    if settings.direct:
        direct(settings.direct)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start\n")
    runs: dict[str, Callable[[], None]] = {
        "start": lambda: start(settings.rounds),
        "health": lambda: health(settings.seconds),
        "latency": lambda: latency(settings.rounds),
        "throughput": lambda: throughput(settings.photos),
    }
    for part in settings.parts:
        runs[part]()


if __name__ == "__main__":
    main()
