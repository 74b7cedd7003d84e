"""JSON of the pairing routes."""

from __future__ import annotations

import msgspec

__all__ = ["CodeReply", "PairReply", "PairRequest"]


class PairRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code from the server's terminal."""

    code: str


class PairReply(msgspec.Struct, frozen=True):
    """A token that is valid only with this origin."""

    token: str
    origin: str | None


class CodeReply(msgspec.Struct, frozen=True, rename="camel"):
    """A code for pairing another client, valid for `expiresIn` seconds."""

    code: str
    expires_in: int
