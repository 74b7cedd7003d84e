"""What goes out: a protected photo with its receipt, a job as JSON, events."""

from __future__ import annotations

import json
import math
import secrets
from typing import Any

import msgspec
from litestar import Response

from anti_i2v.receipt import Pair, Receipt
from anti_i2v_server.jobs.job import Event, Job, Result, effect_summary
from anti_i2v_server.problems import Problem, problem_of
from anti_i2v_server.security_middleware import RECEIPT_HEADER

__all__ = ["IMAGE_TYPES", "MULTIPART", "JobStatus", "compact_receipt", "event_frame", "photo_response"]

IMAGE_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "HEIF": "image/heif",
}
MULTIPART = "multipart/mixed"


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A job as clients see it.

    Attributes:
        state: queued, running, done, failed or cancelled.
        position: in the queue, 0 for the next; only while it waits.
        step, steps: how many steps were taken, of how many; only when steps are.
        problem: why it failed.
    """

    id: str
    state: str
    recipe: str
    preset: str | None = None
    position: int | None = None
    attempts: int = 0
    step: int = 0
    steps: int | None = None
    problem: Problem | None = None

    @classmethod
    def of(cls, job: Job) -> JobStatus:
        """How a job stands."""
        return cls(
            id=job.id,
            state=job.state.value,
            recipe=job.options.recipe,
            preset=job.options.preset,
            position=job.position,
            attempts=job.attempts,
            step=job.step,
            steps=job.steps,
            problem=None if job.error is None else problem_of(job.error),
        )


def photo_response(result: Result, accept: str) -> Response[bytes]:
    """The photo with its receipt: short in a header, or whole beside it where multipart/mixed is accepted."""
    media_type = IMAGE_TYPES[result.format]
    if MULTIPART not in accept.lower():
        return Response(result.file, media_type=media_type, headers={RECEIPT_HEADER: compact_receipt(result.receipt)})
    boundary = secrets.token_hex(16)
    parts = (("application/json", result.receipt.to_json()), (media_type, result.file))
    body = b"".join(
        b"--%b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b\r\n"
        % (boundary.encode(), kind.encode(), len(part), part)
        for kind, part in parts
    )
    return Response(body + b"--%b--\r\n" % boundary.encode(), media_type=f'{MULTIPART}; boundary="{boundary}"')


def compact_receipt(receipt: Receipt) -> str:
    """The receipt on one line of ASCII, for a header: what it cost, what it did, what is left under each change."""
    seen = receipt.imperceptibility
    short: dict[str, Any] = {
        "recipe": receipt.recipe,
        "preset": receipt.preset,
        "seed": receipt.seed,
        "budgetAsked": receipt.budget_asked,
        "budgetSpent": receipt.budget_spent,
        "steps": receipt.steps,
        "stepsAsked": receipt.steps_asked,
        "stopped": receipt.stopped,
        "psnr": seen.psnr,
        "ssim": seen.ssim,
        "de2000Mean": seen.de2000_mean,
        "relief": seen.relief,
        **{key: value for key, value in effect_summary(receipt).items() if key != "psnr"},
        "shift": {effect.surrogate: _protected_and_random(effect.shift) for effect in receipt.effects},
        "left": {survival.change: _protected_and_random(survival.left) for survival in receipt.survival},
    }
    return json.dumps(_rounded(short), separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _protected_and_random(pair: Pair) -> list[float]:
    return [pair.protected, pair.random]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def event_frame(event: Event) -> bytes:
    """A server-sent event."""
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (
        event.number,
        event.name.encode(),
        msgspec.json.encode(_rounded(event.data)),
    )
