"""One-time pairing codes: shown to the server's owner, exchanged for a token."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable

from anti_i2v_server.errors import PairingExhausted, PairingRefused
from anti_i2v_server.tokens import TokenStore

__all__ = ["CODE_ALPHABET", "CODE_SECONDS", "MAX_TRIES", "PairingService"]

CODE_SECONDS = 300.0
MAX_TRIES = 5

CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Without I, L, O, 0 and 1, which are easily confused."""

CODE_LENGTH = 8


class PairingService:
    """Issues codes; at most one is open at a time. `clock` returns seconds."""

    def __init__(self, tokens: TokenStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens, self._clock = tokens, clock
        self._code: str | None = None
        self._expires_at, self._tries_left = 0.0, 0

    def new_code(self) -> str:
        """Return a new code, formatted XXXX-XXXX. It voids an older one."""
        code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        self._code, self._expires_at, self._tries_left = code, self._clock() + CODE_SECONDS, MAX_TRIES
        return f"{code[:4]}-{code[4:]}"

    def exchange(self, code: str, origin: str | None) -> str:
        """Return a token bound to the origin.

        Raises:
            PairingExhausted: no code is open: it was used, expired, or had too many wrong tries.
            PairingRefused: the code is wrong.
        """
        if self._code is None or self._clock() >= self._expires_at or self._tries_left <= 0:
            self._code = None
            raise PairingExhausted("no pairing code is open: press Enter in the server's terminal for a new one")
        self._tries_left -= 1
        typed = "".join(code.split()).replace("-", "").upper()
        if not hmac.compare_digest(typed.encode("utf-8", "surrogatepass"), self._code.encode()):
            count = self._tries_left
            left = "no try is" if not count else "1 try is" if count == 1 else f"{count} tries are"
            raise PairingRefused(f"this is not the code in the server's terminal: {left} left")
        self._code = None
        return self._tokens.issue(origin)
