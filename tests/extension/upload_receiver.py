"""A site that serves test pages and keeps everything that they send in memory."""

from __future__ import annotations

import base64
import binascii
import io
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from multipart import MultipartParser

HERE = Path(__file__).parent
KIT = (HERE / "site" / "kit.js").read_text()
INNER = (
    "<!doctype html><meta charset=utf-8><script src='{{near}}/kit/{{run}}.js'></script>"
    "<input id=pick type=file onchange='post(this.files)'>"
)
STYLE = "input,button,div{display:block;min-width:20em;min-height:3em;margin:0}div{background:#ddd}iframe{width:30em}"


@dataclass(frozen=True)
class Page:
    """Document of a test. `{{up}}`, `{{near}}`, `{{far}}` and `{{run}}` are replaced by addresses."""

    body: str = ""
    script: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Message
    body: bytes
    when: float = field(default_factory=time.perf_counter)
    """`perf_counter` when the body had arrived."""


@dataclass(frozen=True)
class Arrival:
    """A file that reached the site. `name` and `type` are "" if the surface carries none."""

    data: bytes
    name: str = ""
    type: str = ""


@dataclass
class Upload:
    """A resumable upload (tus)."""

    length: int
    name: str
    type: str
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Run:
    """One visit of one page."""

    key: str
    page: Page
    given: bytes
    requests: list[Request] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def arrivals(self) -> list[Arrival]:
        """Return files in the order of their requests, then complete resumable uploads."""
        whole = [each for each in self.uploads.values() if len(each.data) == each.length]
        pieces = [request for request in self.requests if "x-piece" in request.headers]
        found = [arrival for request in self.requests if request not in pieces for arrival in files_in(request)]
        if pieces and sum(len(each.body) for each in pieces) >= int(pieces[0].headers["x-size"]):
            found.append(Arrival(b"".join(each.body for each in pieces)))
        return found + [Arrival(bytes(each.data), each.name, each.type) for each in whole]

    def seen(self) -> list[dict[str, str]]:
        """Return what the page reported about its files."""
        return [each for request in self.requests for text in fields_in(request, "seen") for each in json.loads(text)]

    def reports(self) -> list[Any]:
        """Return the JSON that the page sent to /report."""
        return [json.loads(request.body) for request in self.requests if request.path.startswith("/report/")]

    def wait(self, count: int, seconds: float = 20.0) -> list[Arrival]:
        """Wait until that many files have arrived or time is up. Return the arrivals."""
        until = time.monotonic() + seconds
        while len(arrivals := self.arrivals()) < count and time.monotonic() < until:
            time.sleep(0.02)
        return arrivals


def parts_in(request: Request) -> list[Any]:
    if request.headers.get_content_type() != "multipart/form-data":
        return []
    boundary = str(request.headers.get_param("boundary"))
    return list(MultipartParser(io.BytesIO(request.body), boundary))


def fields_in(request: Request, name: str) -> list[str]:
    return [part.value for part in parts_in(request) if part.name == name and part.filename is None]


def files_in(request: Request) -> list[Arrival]:
    if not request.path.startswith("/up/"):
        return []
    kind = request.headers.get_content_type()
    if kind == "multipart/form-data":
        parts = [part for part in parts_in(request) if part.filename is not None]
        return [Arrival(part.raw, part.filename, part.content_type) for part in parts if part.filename or part.raw]
    if kind == "application/json":
        return [Arrival(data) for text in strings_in(json.loads(request.body)) if (data := decoded(text))]
    given = request.headers.get("content-type", "")
    return [Arrival(request.body, "", given)] if request.body else []


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings_in(each)


def decoded(text: str) -> bytes | None:
    """Decode a data: URL or long base64. None for other text."""
    head, comma, rest = text.partition(";base64,")
    if len(text) < 100:
        return None
    try:
        return base64.b64decode(rest if comma else head, validate=True)
    except binascii.Error:
        return None


class Site:
    """Two origins that browsers treat as two sites: `near` (127.0.0.1) and `far` (localhost)."""

    def __init__(self, near: int, far: int) -> None:
        self.near, self.far = f"http://127.0.0.1:{near}", f"http://localhost:{far}"
        self.runs: dict[str, Run] = {}
        self.scripts: dict[str, bytes] = {}

    def open(self, page: Page, given: bytes = b"") -> Run:
        run = Run(secrets.token_hex(8), page, given)
        self.runs[run.key] = run
        return run

    def address(self, run: Run, *, host: str | None = None) -> str:
        return f"{host or self.near}/page/{run.key}"

    def filled(self, text: str, run: Run) -> str:
        text = text.replace("'{{inner}}'", json.dumps(INNER))
        given = base64.b64encode(run.given).decode()
        names = {"near": self.near, "far": self.far, "run": run.key, "given": given}
        for name, value in {"up": f"{self.near}/up/{run.key}", **names}.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        _, kind, key, *rest = f"{request.path.partition('?')[0]}/".split("/")
        if kind == "bundle":
            return 200, {"content-type": "text/javascript"}, self.scripts.get(key, b"")
        run = self.runs.get(key.removesuffix(".js"))
        if run is None:
            return 404, {}, b""
        if request.method not in ("GET", "HEAD"):
            run.requests.append(request)
        if kind == "tus":
            return tus(self, run, request, rest)
        if kind == "page":
            return 200, {"content-type": "text/html; charset=utf-8", **run.page.headers}, self.document(run).encode()
        if kind == "inner":
            return 200, {"content-type": "text/html"}, self.filled(INNER, run).encode()
        if kind in ("kit", "script"):
            text = self.filled(KIT if kind == "kit" else run.page.script, run)
            return 200, {"content-type": "text/javascript; charset=utf-8"}, text.encode()
        if kind == "given":
            return 200, {"content-type": "image/png"}, run.given
        return 200, {"content-type": "text/plain"}, b"received"

    def document(self, run: Run) -> str:
        style = f"<style>{STYLE}</style>" if "content-security-policy" not in run.page.headers else ""
        head = f"<!doctype html><meta charset=utf-8><title>Receiving</title>{style}<body>"
        body = f"<script src=/kit/{run.key}.js></script>{self.filled(run.page.body, run)}"
        return f"{head}{body}<script src=/script/{run.key}.js></script>"


def tus(site: Site, run: Run, request: Request, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
    """Answer a request of the tus protocol: creation, PATCH and HEAD."""
    spoken = {"tus-resumable": "1.0.0"}
    if request.method == "POST":
        pairs = (each.split(" ") for each in request.headers.get("upload-metadata", "").split(","))
        known = {pair[0]: base64.b64decode(pair[1]).decode() for pair in pairs if len(pair) == 2}
        number = str(len(run.uploads))
        length = int(request.headers["upload-length"])
        run.uploads[number] = Upload(length, known.get("filename", ""), known.get("filetype", ""))
        return 201, {**spoken, "location": f"{site.near}/tus/{run.key}/{number}"}, b""
    upload = run.uploads[rest[0]]
    if request.method == "PATCH":
        upload.data += request.body
    return 204 if request.method == "PATCH" else 200, {**spoken, "upload-offset": str(len(upload.data))}, b""


SHARED = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "*",
    "access-control-allow-headers": "*",
    "access-control-expose-headers": "*",
    "cache-control": "no-store",
}


@contextmanager
def run_receiver() -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.command == "OPTIONS":
                status, headers, answer = 204, {}, b""
            else:
                status, headers, answer = site.answer(Request(self.command, self.path, self.headers, body))
            self.send_response(status)
            for name, value in {**SHARED, **headers, "content-length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        do_POST = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # the page was closed during a request

    servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
    site = Site(*(server.server_port for server in servers))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
