"""What both clients share: queries, problems, events, answers. Nothing here speaks to a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from anti_i2v import errors
from anti_i2v.encoding import format_of, write_atomic
from anti_i2v.errors import AntiI2VError, OutputError, PhotoError
from anti_i2v.receipt import Receipt

if TYPE_CHECKING:
    import httpx

__all__ = [
    "URL",
    "Progress",
    "RemoteProtection",
    "ServerProblem",
    "Stream",
    "Unreachable",
    "bytes_of",
    "check",
    "connecting",
    "httpx_module",
    "kind_of",
    "options",
    "protection_of",
    "query_of",
]

URL = "http://127.0.0.1:8765"
CONNECT, SILENCE = 5.0, 90.0
"""Seconds until there is a connection, and between two signs of life; the server ends a stream well before."""

SDK_ERRORS: Mapping[str, type[AntiI2VError]] = {
    "/problems/photo": errors.PhotoError,
    "/problems/output": errors.OutputError,
    "/problems/recipe": errors.RecipeError,
    "/problems/surrogate": errors.SurrogateError,
    "/problems/budget": errors.BudgetError,
    "/problems/cancelled": errors.Cancelled,
}


class ServerProblem(AntiI2VError):
    """What only a server refuses: a token, a full queue, a lost worker.

    Attributes:
        status: of HTTP.
        type: which kind of problem, "/problems/NAME".
        retry_after: seconds after which the same request may succeed; None where waiting does not help.
    """

    def __init__(self, detail: str, status: int, type: str, retry_after: int | None) -> None:
        super().__init__(detail)
        self.status, self.type, self.retry_after = status, type, retry_after


class Unreachable(AntiI2VError):
    """There is no server, or the connection broke."""


@dataclass(frozen=True)
class Progress:
    """What the server said of a job.

    Attributes:
        name: "queued", "started", "step", "effect", "done", "failed" or "cancelled".
        data: "position" when queued; "step", "steps" and "loss" of a step; "beatsRandom" and "checks" of an effect.
    """

    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RemoteProtection:
    """A protected photo.

    Attributes:
        file: its bytes, in `format`, one of `anti_i2v.photo.FORMATS`.
        receipt: what it cost and what it did.
    """

    file: bytes = field(repr=False)
    format: str
    receipt: Receipt = field(repr=False)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Receipt:
        """Write the file atomically. Raises OutputError, also where the suffix is of another format."""
        path = Path(path)
        if format_of(path) != self.format:
            raise OutputError(f"the server sent {self.format}, not what {path.suffix} says: ask for that format")
        write_atomic(path, self.file, overwrite=overwrite)
        return self.receipt


def httpx_module() -> Any:
    """httpx, which an extra brings. Raises AntiI2VError without it."""
    try:
        import httpx
    except ImportError:
        raise AntiI2VError('the client needs httpx: pip install "anti-i2v-sdk[client]"') from None
    return httpx


def options(url: str, token: str | None) -> dict[str, Any]:
    """Of the httpx client."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    timeout = httpx_module().Timeout(SILENCE, connect=CONNECT)
    # Proxies of the environment are for the outer world: a photo for this machine must not pass one.
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": False}


class connecting:
    """`with connecting():` makes broken connections `Unreachable`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, httpx_module().HTTPError | httpx_module().InvalidURL):
            raise Unreachable(
                f"the server cannot be reached ({type(error).__name__}): start it with `anti-i2v serve`, check the URL"
            ) from None


class Stream:
    """Server-sent events, line by line; knows where to go on, and whether there is more to come."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.over = False
        self._fields: dict[str, str] = {}

    def take(self, line: str) -> Progress | None:
        """An event, once its last line is there."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "event" not in fields:
            return None
        self.headers = {"last-event-id": fields["id"]}
        self.over = fields["event"] in ("done", "failed", "cancelled")
        return Progress(fields["event"], msgspec.json.decode(fields["data"]))


def query_of(
    recipe: str,
    preset: str | None,
    deadline: float | None,
    seed: int,
    format: str | None,
    keep_metadata: bool,
    priority: str,
) -> dict[str, str]:
    """The query that asks for this."""
    asked = {
        "recipe": recipe,
        "preset": preset,
        "deadline": deadline,
        "seed": seed,
        "format": None if format is None else format.lower(),
        "metadata": "keep" if keep_metadata else "drop",
        "priority": priority,
    }
    return {name: str(value) for name, value in asked.items() if value is not None}


def bytes_of(source: str | Path | bytes) -> bytes:
    """A file's bytes. Raises PhotoError."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    try:
        return path.read_bytes()
    except OSError as problem:
        raise PhotoError(f"{path.name} cannot be opened ({problem.strerror}): check the path") from None


_SIGNATURES = {
    b"\x89PNG": "image/png",
    b"RIFF": "image/webp",
    b"II": "image/tiff",
    b"MM": "image/tiff",
    b"BM": "image/bmp",
}


def kind_of(photo: bytes) -> dict[str, str]:
    """The header; the server looks for itself what the photo is."""
    found = next((kind for signature, kind in _SIGNATURES.items() if photo.startswith(signature)), "image/jpeg")
    if photo[4:8] == b"ftyp":
        found = "image/avif" if photo[8:12] in (b"avif", b"avis") else "image/heic"
    return {"content-type": found}


def check(reply: httpx.Response) -> httpx.Response:
    """The answer, if it is none of failure. Raises the SDK's error of a problem, or ServerProblem."""
    if not reply.is_error:
        return reply
    try:
        problem = msgspec.json.decode(reply.content, type=dict[str, Any])
        detail, kind = str(problem["detail"]), str(problem["type"])
    except (msgspec.MsgspecError, KeyError):
        raise ServerProblem(
            f"the server answered {reply.status_code}", reply.status_code, "about:blank", None
        ) from None
    if kind in SDK_ERRORS:
        raise SDK_ERRORS[kind](detail)
    raise ServerProblem(detail, reply.status_code, kind, problem.get("retryAfter"))


def protection_of(photo: httpx.Response, receipt: httpx.Response) -> RemoteProtection:
    """Return the photo and the receipt of two responses."""
    format = photo.headers["content-type"].removeprefix("image/").upper()
    return RemoteProtection(photo.content, format, Receipt.from_json(receipt.content))
