"""Map errors to HTTP: RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from litestar.exceptions import HTTPException

from anti_i2v.errors import (
    AntiI2VError,
    BudgetError,
    Cancelled,
    OutputError,
    PhotoError,
    RecipeError,
    SurrogateError,
)
from anti_i2v_server import errors
from anti_i2v_server.media_types import PROBLEM_JSON

__all__ = ["PROBLEMS", "Problem", "encode_problem", "problem_of"]

PROBLEMS: dict[type[Exception], tuple[int, str, str]] = {
    PhotoError: (422, "photo", "This photo cannot be protected"),
    OutputError: (422, "output", "The result cannot be written in this format"),
    RecipeError: (422, "recipe", "Unknown recipe, preset or setting"),
    SurrogateError: (503, "surrogate", "A model of this server is missing or unusable"),
    BudgetError: (500, "budget", "The result would have exceeded its budget"),
    Cancelled: (409, "cancelled", "The job was cancelled"),
    errors.MalformedRequest: (400, "malformed", "The request is malformed"),
    errors.Unauthorised: (401, "unauthorised", "A valid token is required"),
    errors.OriginRefused: (403, "origin", "This origin is not paired"),
    errors.PairingRefused: (403, "pairing", "Wrong pairing code"),
    errors.JobUnknown: (404, "job", "Job not found"),
    errors.BodyTooSlow: (408, "slow", "The body did not arrive in time"),
    errors.JobPending: (409, "pending", "The job is not done yet"),
    errors.BodyTooLarge: (413, "size", "The body is too large"),
    errors.UnsupportedMedia: (415, "media", "Unsupported content type"),
    errors.HostRefused: (421, "host", "Wrong host name"),
    errors.KeyReused: (422, "key", "This idempotency key belongs to another submission"),
    errors.PairingExhausted: (429, "exhausted", "No pairing code is open"),
    errors.JobFailed: (500, "failed", "The photo could not be protected"),
    errors.WorkerLost: (500, "failed", "The photo could not be protected"),
    errors.TokenFileUnsafe: (500, "tokens", "The token file cannot be used"),
    errors.QueueFull: (503, "full", "The server is busy"),
    errors.NotReady: (503, "not-ready", "The server is not ready"),
    errors.Stopping: (503, "stopping", "The server is stopping"),
    AntiI2VError: (500, "failed", "The photo could not be protected"),
}
"""Error -> (status, last part of the problem type, title). The most specific class wins."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Problem details, RFC 9457.

    Attributes:
        type: "/problems/NAME", one name for each kind of problem.
        detail: what went wrong and what to do, in one line.
        retry_after: seconds after which the same request may succeed.
    """

    type: str
    title: str
    status: int
    detail: str
    retry_after: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without `retryAfter` where it is None."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in fields.items() if value is not None}


def problem_of(error: Exception) -> Problem:
    """Return the problem for an error. The text of an unexpected one is withheld: it may quote the request."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            status, name, title = PROBLEMS[kind]
            retry_after = error.retry_after if isinstance(error, errors.ServerError) else None
            return Problem(
                type=f"/problems/{name}", title=title, status=status, detail=str(error), retry_after=retry_after
            )
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _problem_of_http_exception(error)
    return Problem(
        type="about:blank", title="Unexpected error", status=500, detail="see the server's log, and report it"
    )


def _problem_of_http_exception(error: HTTPException) -> Problem:
    name = {400: "malformed", 404: "route", 405: "method", 413: "size"}.get(error.status_code)
    extra = error.extra if isinstance(error.extra, list) else []
    named = [f"{item['key']}: {item['message']}" for item in extra if isinstance(item, dict) and "key" in item]
    return Problem(
        type="about:blank" if name is None else f"/problems/{name}",
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail="; ".join(named) or error.detail,
    )


def encode_problem(problem: Problem) -> tuple[bytes, dict[str, str]]:
    """Return the response's body and headers."""
    headers = {"content-type": PROBLEM_JSON}
    if problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    if problem.status == 401:
        headers["www-authenticate"] = "Bearer"
    return msgspec.json.encode(problem.to_dict()), headers
