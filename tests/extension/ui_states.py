"""States of the UI: photos in every stage, a server in every state, and a page with a strict policy."""

from __future__ import annotations

import base64
import http.server
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from anti_i2v.metrics.imperceptibility import Imperceptibility
from anti_i2v.receipts.receipt import Effect, Encoding, Receipt, Survival, VersusRandom

DATA = Path(__file__).parents[1] / "data"

View = dict[str, Any]


def picture(name: str, side: int, offset: int = 0) -> str:
    """Return a test photo as data: URL. `offset` changes its colours."""
    with Image.open(DATA / name) as photo:
        pixels = photo.convert("RGB")
    pixels.thumbnail((side, side))
    if offset:
        pixels = ImageChops.add(pixels, Image.new("RGB", pixels.size, (offset, 0, offset)))
    file = io.BytesIO()
    pixels.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def receipt(*, weak: bool = False) -> Any:
    """Return a receipt as the server sends it."""

    def effect(name: str, role: str, more: float) -> Effect:
        return Effect(
            surrogate=name,
            role=role,
            shift=VersusRandom(0.14 + more, 0.14),
            decoded_psnr=VersusRandom(27.9 - 10 * more, 27.9),
            decoded_lpips=VersusRandom(0.12 + more / 3, 0.12),
            decoded_identity=VersusRandom(0.86 - more / 2, 0.86),
        )

    made = Receipt(
        recipe="balanced",
        preset="instagram",
        seed=0,
        budget_asked=8,
        budget_spent=8,
        steps=45,
        steps_asked=45,
        stopped="steps",
        imperceptibility=Imperceptibility(
            psnr=37.6,
            ssim=0.951,
            de2000_mean=1.4,
            de2000_p95=3.1,
            smooth_area_rms=1.1,
            max_levels=8,
            mean_levels=2.6,
            sampled_share=1.0,
        ),
        effects=(
            effect("taesd", "surrogate", 0.01 if weak else 0.7),
            effect("taesdxl", "surrogate", 0.02 if weak else 0.6),
            effect("taesd3", "held-out", 0.01),
        ),
        survival=(
            Survival(change="jpeg75", surrogate="taesd", retained=VersusRandom(0.7, 0.6)),
            Survival(change="instagram", surrogate="taesd", retained=VersusRandom(0.6, 0.6)),
        ),
        encoding=Encoding(format="JPEG", lossless=False, perturbation_kept=0.93, max_levels=14),
        working_size=(512, 512),
        device="cpu",
        notes=("the photo has no colour profile: sRGB was taken",),
    )
    return json.loads(made.to_json())


def photo(name: str, file: str, stage: View, *, seconds: int = 14, deadline: int | None = 60) -> View:
    since = int(time.time() * 1000) - seconds * 1000
    thumbnail = picture(file, 256) if file else ""
    return {
        "id": name or "none",
        "name": name,
        "bytes": 2_431_000,
        "thumbnail": thumbnail,
        "stage": stage,
        "since": since,
        "deadline": deadline,
    }


def hold(*photos: View, holding: bool = True, name: str = "hold", **more: Any) -> View:
    return {
        "hold": name,
        "surface": "input",
        "site": "photos.example",
        "photos": list(photos),
        "holding": holding,
        **more,
    }


def running(step: int) -> View:
    return {"at": "running", "step": step, "steps": 45}


def done(*, weak: bool = False) -> View:
    before, after = picture("astronaut.jpg", 1024), picture("astronaut.jpg", 1024, 3)
    return {"at": "done", "receipt": receipt(weak=weak), "before": before, "after": after}


def failed(code: str, detail: str = "") -> View:
    return {"at": "failed", "problem": {"code": code, "detail": detail}}


LONG = "a photo with a very long name that does not fit into any line of any dialog.jpeg"


def overlay_states() -> dict[str, list[View]]:
    """Return the views that lead to each state, by its name."""
    down = failed("unreachable")
    large = failed("too-large", "the photo has 48 MB, more than the 32 MB that this server takes")
    return {
        "running": [hold(photo("beach.jpg", "woman_in_white.jpg", running(12)))],
        "several": [
            hold(
                photo("IMG_2041.jpg", "astronaut.jpg", done()),
                photo(LONG, "woman_with_hat.jpg", running(30), seconds=38),
                photo("", "woman_in_white.jpg", {"at": "queued", "position": 1}, deadline=None),
                photo("family.heic", "", {"at": "sending"}, seconds=1, deadline=None),
            )
        ],
        "failed": [hold(photo("beach.jpg", "woman_in_white.jpg", down))],
        "failed-several": [
            hold(
                *(photo(f"IMG_{number}.jpg", "woman_in_white.jpg", down) for number in range(3)),
                photo("huge.png", "china.jpg", large),
            )
        ],
        "done": [hold(photo("me.jpg", "astronaut.jpg", done()), holding=False)],
        "done-weak": [hold(photo("me.jpg", "astronaut.jpg", done(weak=True)), holding=False)],
        "done-several": [
            hold(
                photo("me.jpg", "astronaut.jpg", done()),
                photo("her.jpg", "woman_with_hat.jpg", done(weak=True)),
                photo("", "", {"at": "done", "receipt": receipt(), "before": "", "after": ""}),
                holding=False,
            )
        ],
        "notices": [
            hold(holding=False, name="1", notice="vector"),
            hold(holding=False, name="2", notice="posted-without"),
            hold(photo("me.jpg", "astronaut.jpg", {"at": "original"}), holding=False, name="3"),
            hold(photo("me.jpg", "astronaut.jpg", {"at": "withheld"}), holding=False, name="4"),
        ],
    }


SETTINGS = {
    "enabled": True,
    "off": ["intranet.example"],
    "untrusted": [],
    "recipe": "balanced",
    "deadline": None,
    "others": "tell",
    "presets": {"photos.example.org": "instagram", "x.com": None},
    "fallback": "any",
}
READY = {"address": "http://127.0.0.1:8765", "paired": True, "problem": None, "provider": "CPU (onnxruntime)"}
DOWN = {**READY, "problem": {"code": "unreachable", "detail": ""}, "provider": ""}
UNPAIRED = {**READY, "paired": False, "problem": {"code": "unpaired", "detail": ""}, "provider": ""}
CHOICES = {
    "recipes": [
        {"name": "draft", "summary": "One addition of trained tiles.", "budget": 8, "steps": 0, "deadline": None},
        {"name": "balanced", "summary": "For up to a minute.", "budget": 8, "steps": 45, "deadline": 60},
    ],
    "presets": [{"name": name, "label": name} for name in ("any", "instagram", "facebook", "x")],
}
UPLOADS = [
    {"when": 1_764_000_000_000, "site": "x.com", "surface": "input", "name": name, "outcome": outcome, "checks": checks}
    for name, outcome, checks in (
        ("IMG_2041.jpg", "protected", "12 of 14 checks"),
        ("", "withheld", ""),
        ("party.png", "original", ""),
    )
]
OVERVIEW = {
    "site": "instagram.com",
    "enabled": True,
    "enabledHere": True,
    "reachable": True,
    "server": READY,
    "uploads": UPLOADS,
    "leaks": 0,
}


def page_states() -> dict[str, tuple[str, View]]:
    """Return page and replies of the background for each state, by its name."""
    without_extension = {**OVERVIEW, "server": UNPAIRED, "uploads": [], "reachable": False}
    troubled = {**OVERVIEW, "enabledHere": False, "server": DOWN, "leaks": 2}
    settings = {"settings": SETTINGS, "change": SETTINGS}
    return {
        "popup": ("popup", {"overview": OVERVIEW, **settings}),
        "popup-first": ("popup", {"overview": without_extension, **settings}),
        "popup-off": ("popup", {"overview": troubled, **settings}),
        "popup-all-off": ("popup", {"overview": {**OVERVIEW, "enabled": False}, **settings}),
        "options": ("options", {**settings, "server": READY, "choices": CHOICES}),
        "options-unpaired": ("options", {**settings, "server": UNPAIRED}),
        "welcome": ("welcome", {"server": UNPAIRED}),
        "welcome-paired": ("welcome", {"server": READY}),
        "save": ("save", {}),
    }


ANSWER = """(answers) => {
  chrome.runtime.sendMessage = async ({ name }) => name in answers
    ? { ok: true, value: answers[name] }
    : { ok: false, problem: { code: 'refused', detail: 'This is not the pairing code.' } };
}"""
"""Replaces the background's replies in an extension page."""

STRICT = "default-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'; base-uri 'none'"
HOSTILE = b"""<!doctype html><html lang="en"><head><title>A site</title></head><body><main><h1>A site with a policy</h1>
<label>Words <input id="words"></label><dialog id="theirs" aria-label="Theirs"><button>Theirs</button></dialog></main>
</body></html>"""


@contextmanager
def strict_site() -> Iterator[str]:
    """Serve a page with the strictest policy. Yield its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-security-policy", STRICT)
            self.end_headers()
            self.wfile.write(HOSTILE)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
