"""Errors of the server, beside those of the SDK. `problems` maps each to an HTTP status.

AntiI2VError
`-- ServerError
    |-- MalformedRequest, UnsupportedMedia, BodyTooLarge, BodyTooSlow       the request
    |-- HostRefused, OriginRefused, Unauthorised                            access
    |-- PairingRefused, PairingExhausted, TokenFileUnsafe                   pairing
    |-- JobUnknown, JobPending, KeyReused                                   jobs
    |-- QueueFull, NotReady, Stopping                                       try again later
    `-- WorkerLost, JobFailed                                               the worker
"""

from __future__ import annotations

from anti_i2v.errors import AntiI2VError

__all__ = [
    "BodyTooLarge",
    "BodyTooSlow",
    "HostRefused",
    "JobFailed",
    "JobPending",
    "JobUnknown",
    "KeyReused",
    "MalformedRequest",
    "NotReady",
    "OriginRefused",
    "PairingExhausted",
    "PairingRefused",
    "QueueFull",
    "ServerError",
    "Stopping",
    "TokenFileUnsafe",
    "Unauthorised",
    "UnsupportedMedia",
    "WorkerLost",
]


class ServerError(AntiI2VError):
    """Base class of the server's errors.

    Attributes:
        retry_after: seconds after which the same request may succeed; None where waiting does not help.
    """

    retry_after: int | None = None


class MalformedRequest(ServerError):
    """A body or parameter cannot be parsed."""


class UnsupportedMedia(ServerError):
    """The content type is not supported."""


class BodyTooLarge(ServerError):
    """The body exceeds the limit."""


class BodyTooSlow(ServerError):
    """The body did not arrive in time."""


class HostRefused(ServerError):
    """The Host header does not name this server."""


class OriginRefused(ServerError):
    """The page or extension is not paired."""


class Unauthorised(ServerError):
    """The token is missing or invalid."""


class PairingRefused(ServerError):
    """The pairing code is wrong."""


class PairingExhausted(ServerError):
    """No pairing code is open: it was used, expired, or had too many wrong tries."""


class TokenFileUnsafe(ServerError):
    """The token file is damaged, or other users can read it."""


class JobUnknown(ServerError):
    """The job does not exist, has expired, or belongs to another client."""


class JobPending(ServerError):
    """The job has no result yet."""

    retry_after = 1


class KeyReused(ServerError):
    """An idempotency key was sent again with another submission."""


class QueueFull(ServerError):
    """The queue or the memory for photos is full."""

    retry_after = 15


class NotReady(ServerError):
    """No worker is ready, or the address is in use."""

    retry_after = 30


class Stopping(ServerError):
    """The server is stopping."""

    retry_after = 10


class WorkerLost(ServerError):
    """The worker died, hung, or exceeded a limit. The job may be tried again."""


class JobFailed(ServerError):
    """The job was given up: its worker was lost twice, or an internal error occurred."""
