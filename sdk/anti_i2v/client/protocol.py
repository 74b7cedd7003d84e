"""Code that both clients share: requests, errors, events and results. It opens no connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from anti_i2v import errors
from anti_i2v.errors import AntiI2VError, OutputError, PhotoError
from anti_i2v.files import write_atomic
from anti_i2v.images.formats import FORMATS, format_of, sniff_format
from anti_i2v.receipts.receipt import Receipt

if TYPE_CHECKING:
    import httpx

__all__ = [
    "DEFAULT_URL",
    "EventStream",
    "Progress",
    "RemoteProtection",
    "ServerProblem",
    "Unreachable",
    "connection_errors",
    "httpx_options",
    "import_httpx",
    "job_query",
    "parse_protection",
    "photo_headers",
    "raise_for_problem",
    "read_photo",
]

DEFAULT_URL = "http://127.0.0.1:8765"
CONNECT_TIMEOUT = 5.0
"""Seconds until there is a connection."""

READ_TIMEOUT = 90.0
"""Seconds between two packets; the server ends an event stream well before."""

SDK_ERRORS: Mapping[str, type[AntiI2VError]] = {
    "/problems/photo": errors.PhotoError,
    "/problems/output": errors.OutputError,
    "/problems/recipe": errors.RecipeError,
    "/problems/surrogate": errors.SurrogateError,
    "/problems/budget": errors.BudgetError,
    "/problems/cancelled": errors.Cancelled,
}
"""Problem type -> error that the SDK raises for it."""


class ServerProblem(AntiI2VError):
    """A refusal that only a server gives: a wrong token, a full queue, a lost worker.

    Attributes:
        status: HTTP status.
        type: type of the problem, "/problems/NAME".
        retry_after: seconds after which the same request may succeed; None if waiting does not help.
    """

    def __init__(self, detail: str, status: int, type: str, retry_after: int | None) -> None:
        super().__init__(detail)
        self.status, self.type, self.retry_after = status, type, retry_after


class Unreachable(AntiI2VError):
    """No server answers, or the connection broke."""


@dataclass(frozen=True)
class Progress:
    """An event of a job.

    Attributes:
        name: "queued", "started", "step", "effect", "done", "failed" or "cancelled".
        data: "position" of a queued job; "step", "steps" and "loss" of a step; "beatsRandom" and "checks" of an effect.
    """

    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class RemoteProtection:
    """A protected photo.

    Attributes:
        file: its bytes, in `format`, a key of `anti_i2v.images.formats.FORMATS`.
        receipt: the settings used and the effects measured.
    """

    file: bytes = field(repr=False)
    format: str
    receipt: Receipt = field(repr=False)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Receipt:
        """Write the file atomically. Raises OutputError, also if the suffix is of another format."""
        path = Path(path)
        if format_of(path) != self.format:
            raise OutputError(f"the server sent {self.format}, not {path.suffix}: request that format with `format`")
        write_atomic(path, self.file, overwrite=overwrite)
        return self.receipt


def import_httpx() -> Any:
    """Import httpx, which an extra installs. Raises AntiI2VError without it."""
    try:
        import httpx
    except ImportError:
        raise AntiI2VError('the client needs httpx: pip install "anti-i2v-sdk[client]"') from None
    return httpx


def httpx_options(url: str, token: str | None) -> dict[str, Any]:
    """Return the options of the httpx client."""
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    timeout = import_httpx().Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    # Without the proxies of the environment: a photo for this machine must not pass through one.
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": False}


@contextmanager
def connection_errors() -> Iterator[None]:
    """Raise `Unreachable` instead of httpx's errors."""
    httpx = import_httpx()
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(
            f"the server cannot be reached ({type(error).__name__}): start it with `anti-i2v serve`, check the URL"
        ) from None


class EventStream:
    """Parses server-sent events line by line.

    Attributes:
        headers: headers of the request that continues the stream.
        finished: whether the job's last event was seen.
    """

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.finished = False
        self._fields: dict[str, str] = {}

    def feed(self, line: str) -> Progress | None:
        """Add a line; return the event that it completes."""
        if line:
            name, _, value = line.partition(":")
            self._fields[name] = value.removeprefix(" ")
            return None
        fields, self._fields = self._fields, {}
        if "event" not in fields:
            return None
        self.headers = {"last-event-id": fields["id"]}
        self.finished = fields["event"] in ("done", "failed", "cancelled")
        return Progress(fields["event"], msgspec.json.decode(fields["data"]))


def job_query(
    recipe: str,
    preset: str | None,
    deadline: float | None,
    seed: int,
    format: str | None,
    keep_metadata: bool,
    priority: str,
) -> dict[str, str]:
    """Return the query parameters of a job."""
    query = {
        "recipe": recipe,
        "preset": preset,
        "deadline": deadline,
        "seed": seed,
        "format": None if format is None else format.lower(),
        "metadata": "keep" if keep_metadata else "drop",
        "priority": priority,
    }
    return {name: str(value) for name, value in query.items() if value is not None}


def read_photo(source: str | Path | bytes) -> bytes:
    """Return a file's bytes. Raises PhotoError."""
    if isinstance(source, bytes):
        return source
    path = Path(source)
    try:
        return path.read_bytes()
    except OSError as problem:
        raise PhotoError(f"{path.name} cannot be opened ({problem.strerror}): check the path") from None


def photo_headers(photo: bytes) -> dict[str, str]:
    """Return the content type; the server itself checks what the photo is."""
    format = FORMATS.get(sniff_format(photo) or "JPEG", FORMATS["JPEG"])
    return {"content-type": format.media_type}


def raise_for_problem(reply: httpx.Response) -> httpx.Response:
    """Return a successful answer. Raises the SDK's error for a problem, or ServerProblem."""
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


def parse_protection(result: httpx.Response, receipt: httpx.Response) -> RemoteProtection:
    """Combine the answers of a job's result and receipt."""
    media_type = result.headers["content-type"].partition(";")[0]
    name = next(name for name, format in FORMATS.items() if media_type in format.media_types)
    return RemoteProtection(result.content, name, Receipt.from_json(receipt.content))
