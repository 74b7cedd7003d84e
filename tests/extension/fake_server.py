"""A server that speaks the jobs API and answers at once, for tests and benchmarks that need no real protection."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from .upload_fixtures import FORMATS, OPTIONS, TYPES

CODE = "FAKE-CODE"

RECEIPT = {
    "recipe": "draft",
    "preset": None,
    "budgetSpent": 8,
    "steps": 0,
    "stepsAsked": 0,
    "stopped": "steps",
    "beatsRandom": 0,
    "checks": 0,
    "imperceptibility": {"psnr": 34.0, "ssim": 0.95, "de2000Mean": 1.0, "de2000P95": 2.0, "relief": 1.1},
    "effects": [],
    "survival": [],
    "notes": [],
    "seconds": {},
}
"""The fields that the extension reads."""


def perturb(data: bytes) -> bytes:
    """Add a checkerboard of 6 levels to a photo, keeping its format."""
    with Image.open(io.BytesIO(data)) as image:
        ending = next(ending for ending, name in FORMATS.items() if name == image.format)
        pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    rows, columns = np.indices(pixels.shape[:2])
    changed = np.clip(pixels + 6 - 12 * ((rows + columns) % 2)[..., None], 0, 255).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(changed).save(target, FORMATS[ending], **OPTIONS.get(ending, {}))
    return target.getvalue()


def media_type(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        return next(TYPES[ending] for ending, name in FORMATS.items() if name == image.format)


@contextmanager
def run_fake_server(protect: Callable[[bytes], bytes] = perturb) -> Iterator[str]:
    """Yield the address. `protect` makes the result of a photo's bytes."""
    photos: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else small replies wait for the client's delayed acknowledgement

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            _, _, *place = self.path.partition("?")[0].split("/")
            match self.command, place:
                case "POST", ["pair"]:
                    self.reply(201, {"token": "a-token-of-the-fake-server", "origin": self.headers["origin"]})
                case "POST", ["jobs"]:
                    photos[str(len(photos))] = protect(body)
                    self.reply(202, {"id": str(len(photos) - 1)})
                case "GET", ["jobs", _, "events"]:
                    frames = [("queued", {"position": 0}), ("started", {"attempt": 1}), ("done", {})]
                    text = "".join(
                        f"id: {number}\nevent: {event}\ndata: {json.dumps(data)}\n\n"
                        for number, (event, data) in enumerate(frames, 1)
                    )
                    self.reply(200, text.encode(), "text/event-stream")
                case "GET", ["jobs", job, "result"]:
                    self.reply(200, photos[job], media_type(photos[job]))
                case "GET", ["jobs", _, "receipt"]:
                    self.reply(200, RECEIPT)
                case "DELETE", ["jobs", job]:
                    photos[job] = b""
                    self.reply(204, b"")
                case _:
                    self.reply(200, {"workers": [], "waiting": 0, "restarts": 0})

        do_POST = do_DELETE = do_GET

        def reply(self, status: int, answer: Any, kind: str = "application/json") -> None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status != 204:
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # the browser closed the connection

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
