"""A server in its own process: a real port, real signals, real workers."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

PNG = {"content-type": "image/png"}
TIMEOUT = 60.0
"""Seconds after which a test that still waits has failed."""

ENDS = ("done", "failed", "cancelled")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and /proc are POSIX's")


def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition and return its value."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("the condition never held")


def has_ended(pid: int) -> bool:
    """Whether a process has ended, including one whose status its parent has not collected."""
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "(zombie)" in status.read_text()


def gauge(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^anti_i2v_{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def events(client: httpx.Client, job: str, after: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the events of a job until its end, reconnecting as clients do."""
    end, over = time.monotonic() + TIMEOUT, False
    while not over:
        assert time.monotonic() < end, "the job did not end"
        with client.stream("GET", f"{job}/events", headers={"last-event-id": str(after)}) as reply:
            fields: dict[str, str] = {}
            for line in reply.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    after, over = int(fields["id"]), fields["event"] in ENDS
                    yield after, fields["event"], json.loads(fields["data"])
                    fields = {}


def submit(client: httpx.Client, photo: bytes, query: str = "recipe=balanced") -> str:
    reply = client.post(f"/v1/jobs?{query}", content=photo, headers=PNG)
    assert reply.status_code == 202, reply.text
    return str(reply.headers["location"])


@pytest.fixture
def client(running_server: Any) -> Iterator[httpx.Client]:
    with running_server.client() as made:
        yield made


def test_it_prints_its_url_a_pairing_code_and_the_provider(running_server: Any) -> None:
    output = "".join(running_server.output)
    assert f"Listening on {running_server.url}" in output
    assert re.search(r"Pairing code: \w{4}-\w{4} ", output)
    assert "runs on cpu (CPUExecutionProvider)" in output
    assert running_server.url.startswith("http://127.0.0.1:")


def test_the_code_of_the_terminal_pairs_once(start_server: Any, tmp_path: Path) -> None:
    origin = "moz-extension://1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    with (
        start_server(tmp_path / "home", until="Or open") as server,
        httpx.Client(base_url=server.url, headers={"origin": origin}, trust_env=False, timeout=TIMEOUT) as stranger,
    ):
        assert stranger.get("/v1/recipes").status_code == 403
        reply = stranger.post("/v1/pair", json={"code": server.code})
        assert reply.status_code == 201
        headers = {"authorization": f"Bearer {reply.json()['token']}"}
        assert stranger.get("/v1/recipes", headers=headers).status_code == 200
        assert stranger.post("/v1/pair", json={"code": server.code}).status_code == 429


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_with_and_without_a_length(client: httpx.Client, chunked: bool) -> None:
    body = bytes(2_100_000)
    content: Any = iter([body[:1_000_000], body[1_000_000:]]) if chunked else body
    reply = client.post("/v1/protect", content=content, headers=PNG)
    assert reply.status_code == 413
    assert reply.json()["type"] == "/problems/size"


def test_wrong_types_and_damaged_photos_have_different_statuses(client: httpx.Client, photo: bytes) -> None:
    assert client.post("/v1/protect", content=photo, headers={"content-type": "text/html"}).status_code == 415
    assert client.post("/v1/protect?recipe=draft", content=photo[:999], headers=PNG).status_code == 422


def test_a_deadline_returns_the_best_result_so_far(client: httpx.Client, photo: bytes) -> None:
    reply = client.post("/v1/protect?recipe=balanced&deadline=1", content=photo, headers=PNG)
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert receipt["stopped"] in ("deadline", "steps")  # a fast machine takes them all
    assert (receipt["stopped"] == "deadline") == (receipt["steps"] < receipt["stepsAsked"])


def test_a_deadline_that_passed_in_the_queue_returns_the_draft(client: httpx.Client, slow_photo: bytes) -> None:
    reply = client.post("/v1/protect?recipe=balanced&deadline=0.001", content=slow_photo, headers=PNG)
    assert reply.status_code == 200
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert (receipt["stopped"], receipt["steps"]) == ("deadline", 0)
    assert receipt["budgetSpent"] > 0


def test_a_cancelled_job_ends_within_one_step(client: httpx.Client, slow_photo: bytes) -> None:
    job = submit(client, slow_photo)
    names = []
    for _, name, data in events(client, job):
        names.append(name)
        if name == "step" and data["step"] == 2:
            assert client.delete(job).status_code == 204
    assert names[-1] == "cancelled"
    assert names.count("step") <= 4  # two more may have been under way
    assert client.get(f"{job}/result").status_code == 409
    assert gauge(client, "worker_restarts") == 0


def test_a_stream_can_be_left_and_resumed(client: httpx.Client, slow_photo: bytes) -> None:
    job = submit(client, slow_photo)
    numbers = []
    for number, name, _ in events(client, job):
        numbers.append(number)
        if name == "step":
            break
    for number, name, _ in events(client, job, numbers[-1]):
        numbers.append(number)
        if name == "step":
            client.delete(job)
    assert numbers == list(range(1, len(numbers) + 1))
    assert name == "cancelled"


def test_a_client_that_disconnects_frees_its_worker(
    running_server: Any, client: httpx.Client, slow_photo: bytes
) -> None:
    host, port = running_server.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/protect?recipe=balanced HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\n"
        f"Authorization: {client.headers['authorization']}\r\nContent-Length: {len(slow_photo)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + slow_photo)
        until(lambda: gauge(client, "jobs_running") == 1)
    until(lambda: gauge(client, "jobs_running") == 0)
    lines = [json.loads(line) for line in (running_server.home / "log.txt").read_text().splitlines()]
    statuses = [line["status"] for line in lines if line["route"] == "/v1/protect"]
    assert statuses[-1] == 409  # cancelled


def test_the_log_holds_nothing_about_photos(running_server: Any, client: httpx.Client, photo: bytes) -> None:
    job = submit(client, photo, "recipe=draft&seed=987654321")
    list(events(client, job))
    client.post("/v1/protect?recipe=draft", files={"photo": ("grandmother.png", photo, "image/png")})
    client.get(f"{job}/result")
    log = (running_server.home / "log.txt").read_text()
    for secret in (
        "grandmother",
        job.rpartition("/")[2],
        "987654321",
        running_server.code,
        "PNG",
        client.headers["authorization"],
    ):
        assert secret not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert all(
        line.keys() == {"event", "level", "timestamp", "method", "route", "status", "milliseconds"} for line in lines
    )
    assert sum(line["route"] == "/v1/jobs/{job_id}/result" for line in lines) >= 1


def test_neither_process_maps_torch(running_server: Any, client: httpx.Client, photo: bytes) -> None:
    assert client.post("/v1/protect?recipe=draft", content=photo, headers=PNG).status_code == 200
    workers = running_server.worker_pids()
    assert len(workers) == 1
    for pid in (running_server.process.pid, *workers):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in mapped
        assert ("onnxruntime" in mapped) == (pid in workers)


def test_the_photo_is_written_to_no_file(running_server: Any, client: httpx.Client, photo: bytes) -> None:
    """Checks every file that either process has open while it works, except pipes and sockets."""
    job = submit(client, photo, "recipe=balanced&deadline=1")
    files: set[str] = set()
    for _ in events(client, job):
        for pid in (running_server.process.pid, *running_server.worker_pids()):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                try:
                    files.add(os.readlink(descriptor))
                except OSError:
                    continue
    written = {name for name in files if name.startswith("/") and not name.startswith(("/dev/", "/proc/"))}
    assert {Path(name).name for name in written} <= {"log.txt"}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_job_is_tried_again(
    start_server: Any, tmp_path: Path, photo: bytes
) -> None:
    with start_server(tmp_path / "home") as server, server.client() as client:
        job, other = submit(client, photo), submit(client, photo, "recipe=draft")
        attempts = []
        for _, name, data in events(client, job):
            if name == "started":
                attempts.append(data["attempt"])
            if name == "step" and attempts == [1]:
                os.kill(server.worker_pids()[0], signal.SIGKILL)
        assert attempts == [1, 2]
        assert client.get(f"{job}/result").status_code == 200
        until(lambda: client.get(other).json()["state"] == "done")
        assert client.get(other).json()["attempts"] == 1
        assert client.get("/ready").json()["restarts"] == 1


@pytest.mark.slow
def test_a_job_that_loses_its_worker_twice_fails_and_the_next_one_works(
    start_server: Any, tmp_path: Path, photo: bytes
) -> None:
    with start_server(tmp_path / "home") as server, server.client() as client:
        job = submit(client, photo)
        killed = 0
        for _, name, _ in events(client, job):
            if name == "step" and killed == client.get(job).json()["attempts"] - 1:
                os.kill(server.worker_pids()[0], signal.SIGKILL)
                killed += 1
        reply = client.get(f"{job}/result")
        assert (reply.status_code, reply.json()["type"]) == (500, "/problems/failed")
        assert "lost 2 times" in reply.json()["detail"]
        assert client.post("/v1/protect?recipe=draft", content=photo, headers=PNG).status_code == 200


@pytest.mark.slow
def test_a_full_queue_says_when_to_retry_and_a_slow_body_times_out(
    start_server: Any, tmp_path: Path, photo: bytes, slow_photo: bytes
) -> None:
    limits = ("--queue", "1", "--body-timeout", "1", "--job-timeout", "10")
    with start_server(tmp_path / "home", *limits) as server, server.client() as client:
        running = submit(client, slow_photo)
        until(lambda: gauge(client, "jobs_running") == 1)
        submit(client, photo, "recipe=draft")
        full = client.post("/v1/jobs?recipe=draft", content=photo, headers=PNG)
        assert full.status_code == 503
        assert int(full.headers["retry-after"]) > 0
        assert full.json()["retryAfter"] == int(full.headers["retry-after"])
        client.delete(running)

        host, port = server.url.removeprefix("http://").split(":")
        head = (
            f"POST /v1/protect HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\n"
            f"Authorization: {client.headers['authorization']}\r\nContent-Length: 1000\r\n\r\nabc"
        )
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
            connection.sendall(head.encode())
            assert b" 408 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_open_streams_and_all_processes(
    start_server: Any, tmp_path: Path, large_photo: bytes, number: signal.Signals
) -> None:
    with start_server(tmp_path / "home") as server, server.client() as client:
        running, waiting = (
            submit(client, large_photo, query) for query in ("recipe=balanced&deadline=8", "recipe=balanced")
        )
        workers = server.worker_pids()
        names = []
        for _, name, _ in events(client, waiting):
            names.append(name)
            if name == "queued":  # once: afterwards nothing can connect
                until(lambda: gauge(client, "jobs_running") == 1)
                os.kill(server.process.pid, number)
        assert names == ["queued", "failed"]  # the stream ended regularly
        assert running
        assert server.process.wait(TIMEOUT) == 0
        for pid in workers:
            until(lambda pid=pid: has_ended(pid))
        assert "Stopped\n" in until(lambda: server.output if "Stopped\n" in server.output else None)


@pytest.mark.slow
def test_paired_clients_stay_paired_after_a_restart(start_server: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with start_server(home) as server, server.client() as client:
        token = client.post("/v1/pair", json={"code": server.code}).json()["token"]
        assert server.stop() == 0
    with start_server(home) as server, server.client() as client:
        client.headers["authorization"] = f"Bearer {token}"
        assert client.get("/v1/recipes").status_code == 200


@pytest.mark.slow
def test_the_workers_of_a_killed_server_end(start_server: Any, tmp_path: Path) -> None:
    with start_server(tmp_path / "home") as server:
        workers = server.worker_pids()
        assert workers
        server.stop(signal.SIGKILL)
        for pid in workers:
            until(lambda pid=pid: has_ended(pid))


def test_workers_do_not_inherit_the_token(running_server: Any, client: httpx.Client) -> None:
    for pid in running_server.worker_pids():
        assert client.headers["authorization"].split()[1].encode() not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.slow
def test_a_waiting_client_still_gets_its_photo_when_the_server_stops(
    start_server: Any, tmp_path: Path, slow_photo: bytes
) -> None:
    with start_server(tmp_path / "home") as server, server.client() as client, server.client() as other:
        replies: list[httpx.Response] = []

        def wait() -> None:
            replies.append(client.post("/v1/protect?recipe=balanced&deadline=4", content=slow_photo, headers=PNG))

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: gauge(other, "jobs_running") == 1)
        assert server.stop() == 0
        waiting.join(TIMEOUT)
        assert [reply.status_code for reply in replies] == [200]
