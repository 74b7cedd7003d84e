"""What the server refuses or fails at, beside the errors of the SDK. `problems` says which HTTP status each one is.

AntiI2VError
`-- ServerError
    |-- MalformedRequest, UnsupportedMedia, BodyTooLarge, BodyTooSlow       the request itself
    |-- HostRefused, OriginRefused, Unauthorised                            who asks, and how
    |-- PairingRefused, PairingExhausted, TokenFileUnsafe                   pairing
    |-- JobUnknown, JobPending, KeyReused                                   asked about a job
    |-- QueueFull, NotReady, Stopping                                       come back later
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
    """The root of what the server adds.

    Attributes:
        retry_after: seconds after which the same request may succeed; None where waiting does not help.
    """

    retry_after: int | None = None


class MalformedRequest(ServerError):
    """A body or a parameter that cannot be read."""


class UnsupportedMedia(ServerError):
    """A body of a type that is not read here."""


class BodyTooLarge(ServerError):
    """A body above the limit."""


class BodyTooSlow(ServerError):
    """A body that did not arrive in time."""


class HostRefused(ServerError):
    """A Host header that is not this server's."""


class OriginRefused(ServerError):
    """A page or an extension that was not paired."""


class Unauthorised(ServerError):
    """No token, or one that is not valid here."""


class PairingRefused(ServerError):
    """A wrong pairing code."""


class PairingExhausted(ServerError):
    """No pairing code is open: it was used, has expired, or was guessed at too often."""


class TokenFileUnsafe(ServerError):
    """The file of the tokens can be read by others, or is not one."""


class JobUnknown(ServerError):
    """No such job, or it has expired, or it is somebody else's."""


class JobPending(ServerError):
    """The job has no result yet."""

    retry_after = 1


class KeyReused(ServerError):
    """A key of a submission that was used for another one."""


class QueueFull(ServerError):
    """As much is waiting as may."""

    retry_after = 15


class NotReady(ServerError):
    """No worker can be started."""

    retry_after = 30


class Stopping(ServerError):
    """The server is about to stop."""

    retry_after = 10


class WorkerLost(ServerError):
    """The worker died, was not heard of, or passed a limit while it had the job. The job may be tried again."""


class JobFailed(ServerError):
    """The job was given up: its worker was lost twice, or it ran into a fault of ours."""
