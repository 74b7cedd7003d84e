"""Responses of a job: the protected photo with its short receipt, and server-sent events."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Response
from litestar.response import ServerSentEvent, ServerSentEventMessage

from anti_i2v.receipts.fields import VersusRandom
from anti_i2v.receipts.receipt import Receipt
from anti_i2v_server.jobs.job import Event, Result, effect_summary
from anti_i2v_server.media_types import IMAGE_TYPES
from anti_i2v_server.security_middleware import RECEIPT_HEADER, SECURITY_HEADERS

__all__ = ["event_stream", "photo_response"]

RETRY_MS = 1000
"""Milliseconds after which a client reconnects when a stream was lost or reached its longest duration."""


def photo_response(result: Result) -> Response[bytes]:
    """Return the protected file, with a short receipt in a header."""
    headers = {RECEIPT_HEADER: _short_receipt(result.receipt)}
    return Response(result.file, media_type=IMAGE_TYPES[result.format], headers=headers)


def _short_receipt(receipt: Receipt) -> str:
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
        "relief": seen.smooth_area_rms,
        **{key: value for key, value in effect_summary(receipt).items() if key != "psnr"},
        "shift": {effect.surrogate: _protected_and_random(effect.shift) for effect in receipt.effects},
        "left": {survival.change: _protected_and_random(survival.retained) for survival in receipt.survival},
    }
    return json.dumps(_rounded(short), separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _protected_and_random(pair: VersusRandom) -> list[float]:
    return [pair.protected, pair.random]


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def event_stream(events: AsyncIterator[Event]) -> ServerSentEvent:
    """Return events as they happen."""
    # ServerSentEvent would set "no-cache", which allows storing.
    return ServerSentEvent(_messages(events), headers={"Cache-Control": SECURITY_HEADERS["cache-control"]})


async def _messages(events: AsyncIterator[Event]) -> AsyncIterator[ServerSentEventMessage]:
    yield ServerSentEventMessage(data=None, retry=RETRY_MS, sep="\n")
    async for event in events:
        data = msgspec.json.encode(_rounded(event.data))
        yield ServerSentEventMessage(data=data, event=event.name, id=event.number, sep="\n")
