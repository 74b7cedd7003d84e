"""A real server: its own process, a real port, real signals."""

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
PATIENCE = 60.0
ENDS = ("done", "failed", "cancelled")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and /proc are POSIX's")


def until(what: Callable[[], Any]) -> Any:
    """What comes to hold in a while; the time is no measurement."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to hold")


def gone(pid: int) -> bool:
    """Also where nobody collects the status of a process that has ended."""
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "(zombie)" in status.read_text()


def gauge(client: httpx.Client, name: str) -> float:
    found = re.search(rf"^anti_i2v_{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def events(client: httpx.Client, job: str, after: int = 0) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Until the job has ended: a stream that was cut at its longest life is taken up again, as clients do."""
    end, over = time.monotonic() + PATIENCE, False
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
def client(process: Any) -> Iterator[httpx.Client]:
    with process.client() as made:
        yield made


def test_it_prints_where_it_is_how_to_pair_and_what_it_runs_on(process: Any) -> None:
    said = "".join(process.said)
    assert f"Listening on {process.url}" in said
    assert re.search(r"Pairing code: \w{4}-\w{4} ", said)
    assert "runs on cpu (CPUExecutionProvider)" in said
    assert process.url.startswith("http://127.0.0.1:")


def test_the_code_of_the_terminal_pairs_once(process: Any) -> None:
    origin = "moz-extension://1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    with httpx.Client(base_url=process.url, headers={"origin": origin}, trust_env=False) as stranger:
        assert stranger.get("/v1/recipes").status_code == 403
        reply = stranger.post("/v1/pair", json={"code": process.code})
        assert reply.status_code == 201
        headers = {"authorization": f"Bearer {reply.json()['token']}"}
        assert stranger.get("/v1/recipes", headers=headers).status_code == 200
        assert stranger.post("/v1/pair", json={"code": process.code}).status_code == 429


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_the_limit_is_refused_whether_its_length_is_announced_or_not(
    client: httpx.Client, chunked: bool
) -> None:
    body = bytes(2_100_000)
    content: Any = iter([body[:1_000_000], body[1_000_000:]]) if chunked else body
    reply = client.post("/v1/protect", content=content, headers=PNG)
    assert reply.status_code == 413
    assert reply.json()["type"] == "/problems/size"


def test_wrong_types_and_wrong_photos_are_told_apart(client: httpx.Client, photo: bytes) -> None:
    assert client.post("/v1/protect", content=photo, headers={"content-type": "text/html"}).status_code == 415
    assert client.post("/v1/protect?recipe=draft", content=photo[:999], headers=PNG).status_code == 422


def test_a_deadline_delivers_the_best_so_far_and_says_how_far_it_got(client: httpx.Client, photo: bytes) -> None:
    reply = client.post("/v1/protect?recipe=balanced&deadline=3", content=photo, headers=PNG)
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert receipt["stopped"] in ("deadline", "steps")  # a fast machine takes them all
    assert (receipt["stopped"] == "deadline") == (receipt["steps"] < receipt["stepsAsked"])


def test_a_deadline_that_has_passed_still_delivers_the_draft(client: httpx.Client, photo: bytes) -> None:
    reply = client.post("/v1/protect?recipe=balanced&deadline=0.001", content=photo, headers=PNG)
    assert reply.status_code == 200
    receipt = json.loads(reply.headers["anti-i2v-receipt"])
    assert (receipt["stopped"], receipt["steps"]) == ("deadline", 0)
    assert receipt["budgetSpent"] > 0


def test_a_cancelled_job_ends_within_one_step(client: httpx.Client, photo: bytes) -> None:
    job = submit(client, photo)
    told = []
    for _, name, data in events(client, job):
        told.append(name)
        if name == "step" and data["step"] == 2:
            assert client.delete(job).status_code == 204
    assert told[-1] == "cancelled"
    assert told.count("step") <= 4  # the one that was under way, and one whose news was
    assert client.get(f"{job}/result").status_code == 409
    assert gauge(client, "worker_restarts") == 0


def test_a_stream_can_be_left_and_taken_up_again(client: httpx.Client, photo: bytes) -> None:
    job = submit(client, photo, "recipe=balanced&deadline=4")
    first = []
    for number, name, _ in events(client, job):
        first.append(number)
        if name == "step":
            break
    rest = list(events(client, job, first[-1]))
    numbers = first + [number for number, _, _ in rest]
    assert numbers == list(range(1, len(numbers) + 1))
    assert rest[-1][1] == "done"


def test_a_client_that_leaves_frees_its_worker(process: Any, client: httpx.Client, photo: bytes) -> None:
    host, port = process.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/protect?recipe=balanced HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: image/png\r\n"
        f"Authorization: {client.headers['authorization']}\r\nContent-Length: {len(photo)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + photo)
        until(lambda: gauge(client, "jobs_running") == 1)
    until(lambda: gauge(client, "jobs_running") == 0)
    lines = [json.loads(line) for line in (process.home / "log.txt").read_text().splitlines()]
    answers = [line["status"] for line in lines if line["route"] == "/v1/protect"]
    assert answers[-1] == 409  # cancelled: nobody waited for it


def test_no_line_of_the_log_says_anything_of_a_photo(process: Any, client: httpx.Client, photo: bytes) -> None:
    job = submit(client, photo, "recipe=draft&seed=987654321")
    list(events(client, job))
    client.post("/v1/protect?recipe=draft", files={"photo": ("grandmother.png", photo, "image/png")})
    client.get(f"{job}/result")
    log = (process.home / "log.txt").read_text()
    for secret in (
        "grandmother",
        job.rpartition("/")[2],
        "987654321",
        process.code,
        "PNG",
        client.headers["authorization"],
    ):
        assert secret not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert all(
        line.keys() == {"event", "level", "timestamp", "method", "route", "status", "milliseconds"} for line in lines
    )
    assert sum(line["route"] == "/v1/jobs/{job_id}/result" for line in lines) >= 1


def test_neither_process_loads_torch(process: Any, client: httpx.Client, photo: bytes) -> None:
    assert client.post("/v1/protect?recipe=draft", content=photo, headers=PNG).status_code == 200
    workers = process.workers()
    assert len(workers) == 1
    for pid in (process.process.pid, *workers):
        mapped = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in mapped
        assert ("onnxruntime" in mapped) == (pid in workers)


def test_the_photo_is_written_to_no_file(process: Any, client: httpx.Client, photo: bytes, tmp_path: Path) -> None:
    """Every file that either process has open while it works, beside pipes and sockets."""
    job = submit(client, photo, "recipe=balanced&deadline=4")
    files: set[str] = set()
    for _, name, _ in events(client, job):
        if name == "step":
            for pid in (process.process.pid, *process.workers()):
                for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                    try:
                        files.add(os.readlink(descriptor))
                    except OSError:
                        continue
    written = {name for name in files if name.startswith("/") and not name.startswith(("/dev/", "/proc/"))}
    assert {Path(name).name for name in written} <= {"log.txt"}


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_job_tried_once_more(run_server: Any, tmp_path: Path, photo: bytes) -> None:
    with run_server(tmp_path / "home") as server, server.client() as client:
        job, other = submit(client, photo), submit(client, photo, "recipe=draft")
        attempts = []
        for _, name, data in events(client, job):
            if name == "started":
                attempts.append(data["attempt"])
            if name == "step" and attempts == [1]:
                os.kill(server.workers()[0], signal.SIGKILL)
        assert attempts == [1, 2]
        assert client.get(f"{job}/result").status_code == 200
        until(lambda: client.get(other).json()["state"] == "done")
        assert client.get(other).json()["attempts"] == 1
        assert client.get("/ready").json()["restarts"] == 1


@pytest.mark.slow
def test_a_job_that_loses_its_worker_twice_fails_and_the_next_one_works(
    run_server: Any, tmp_path: Path, photo: bytes
) -> None:
    with run_server(tmp_path / "home") as server, server.client() as client:
        job = submit(client, photo)
        killed = 0
        for _, name, _ in events(client, job):
            if name == "step" and killed == client.get(job).json()["attempts"] - 1:
                os.kill(server.workers()[0], signal.SIGKILL)
                killed += 1
        reply = client.get(f"{job}/result")
        assert (reply.status_code, reply.json()["type"]) == (500, "/problems/failed")
        assert "lost 2 times" in reply.json()["detail"]
        assert client.post("/v1/protect?recipe=draft", content=photo, headers=PNG).status_code == 200


@pytest.mark.slow
def test_a_busy_server_says_when_to_come_back_and_a_slow_body_is_given_up(
    run_server: Any, tmp_path: Path, photo: bytes
) -> None:
    limits = ("--queue", "1", "--body-timeout", "1", "--job-timeout", "10")
    with run_server(tmp_path / "home", *limits) as server, server.client() as client:
        running = submit(client, photo)
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
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(head.encode())
            assert b" 408 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_open_streams_and_all_processes(
    run_server: Any, tmp_path: Path, photo: bytes, number: signal.Signals
) -> None:
    with run_server(tmp_path / "home") as server, server.client() as client:
        running, waiting = submit(client, photo, "recipe=balanced&deadline=8"), submit(client, photo)
        workers = server.workers()
        told = []
        for _, name, _ in events(client, waiting):
            told.append(name)
            if name == "queued":  # once: after it, nothing can connect any more
                until(lambda: gauge(client, "jobs_running") == 1)
                os.kill(server.process.pid, number)
        assert told == ["queued", "failed"]  # the stream ended by itself, and well
        assert running
        assert server.process.wait(PATIENCE) == 0
        for pid in workers:
            until(lambda pid=pid: gone(pid))
        assert "Stopped\n" in until(lambda: server.said if "Stopped\n" in server.said else None)


@pytest.mark.slow
def test_paired_clients_stay_paired_after_a_restart(run_server: Any, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with run_server(home) as server, server.client() as client:
        token = client.post("/v1/pair", json={"code": server.code}).json()["token"]
        assert server.stop() == 0
    with run_server(home) as server, server.client() as client:
        client.headers["authorization"] = f"Bearer {token}"
        assert client.get("/v1/recipes").status_code == 200


@pytest.mark.slow
def test_a_killed_server_leaves_no_worker_behind(run_server: Any, tmp_path: Path) -> None:
    with run_server(tmp_path / "home") as server:
        workers = server.workers()
        assert workers
        server.stop(signal.SIGKILL)
        for pid in workers:
            until(lambda pid=pid: gone(pid))


def test_the_token_of_the_environment_is_not_handed_to_the_worker(process: Any, client: httpx.Client) -> None:
    for pid in process.workers():
        assert client.headers["authorization"].split()[1].encode() not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.slow
def test_who_waits_for_a_photo_gets_it_though_the_server_was_told_to_stop(
    run_server: Any, tmp_path: Path, photo: bytes
) -> None:
    with run_server(tmp_path / "home") as server, server.client() as client, server.client() as other:
        replies: list[httpx.Response] = []

        def wait() -> None:
            replies.append(client.post("/v1/protect?recipe=balanced&deadline=4", content=photo, headers=PNG))

        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: gauge(other, "jobs_running") == 1)
        assert server.stop() == 0
        waiting.join(PATIENCE)
        assert [reply.status_code for reply in replies] == [200]
