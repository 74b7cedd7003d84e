"""Pairing: a one-time code, shown where only the server's owner sees it, is exchanged for a token."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable

from anti_i2v_server.errors import PairingExhausted, PairingRefused
from anti_i2v_server.pairing.tokens import TokenStore

__all__ = ["CODE_SECONDS", "MAX_TRIES", "PairingService"]

CODE_SECONDS = 300.0
MAX_TRIES = 5

CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without those that are taken for another: I, L, O, 0, 1."""

CODE_LENGTH = 8


class PairingService:
    """At most one code is open at a time. `clock` counts seconds."""

    def __init__(self, tokens: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens, self._clock = tokens, clock
        self._code: str | None = None
        self._until, self._tries = 0.0, 0

    def new_code(self) -> str:
        """A new code, as people type it; an older one is void."""
        code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        self._code, self._until, self._tries = code, self._clock() + CODE_SECONDS, MAX_TRIES
        return f"{code[:4]}-{code[4:]}"

    def exchange(self, code: str, origin: str | None) -> str:
        """A token, bound to the origin, for the code that is open.

        Raises:
            PairingExhausted: none is open: used, expired, or guessed at too often.
            PairingRefused: it is another one.
        """
        if self._code is None or self._clock() >= self._until or self._tries <= 0:
            self._code = None
            raise PairingExhausted("no pairing code is open: press Enter in the server's terminal for a new one")
        self._tries -= 1
        given = "".join(code.split()).replace("-", "").upper()
        if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self._code.encode()):
            left = "no try is" if not self._tries else "1 try is" if self._tries == 1 else f"{self._tries} tries are"
            raise PairingRefused(f"this is not the code in the server's terminal: {left} left")
        self._code = None
        return self._tokens.issue(origin)
