"""Tokens of paired clients: 256 bits each, kept as SHA-256 in a file that only its owner can read.

A fast hash is enough: nobody guesses 256 random bits. The file is read again whenever it changed, so that
`anti-i2v tokens revoke` takes effect in a running server.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from anti_i2v.home import home
from anti_i2v_server.errors import TokenFileUnsafe

__all__ = ["TokenEntry", "TokenStore"]

TOKEN_BYTES = 32
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token.

    Attributes:
        id: for people, to revoke it by.
        hash: SHA-256 of the token, hexadecimal.
        origin: of the extension or page that it was given to; None for a client that sends none.
        created: UTC, ISO 8601.
    """

    id: str
    hash: str
    origin: str | None
    created: str


class TokenStore:
    """The file, by default `server/tokens.json` in the home folder of `anti_i2v.home`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "server" / "tokens.json"
        self._cache: tuple[tuple[int, int, int] | None, list[TokenEntry]] = (None, [])
        self._lock = threading.Lock()

    def entries(self) -> list[TokenEntry]:
        """All of them. Raises TokenFileUnsafe."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return []
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            raise TokenFileUnsafe(f"{self.path} can be read by others: run  chmod 600 {self.path}")
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if version != self._cache[0]:
            try:
                self._cache = (version, msgspec.json.decode(self.path.read_bytes(), type=list[TokenEntry]))
            except msgspec.MsgspecError:
                raise TokenFileUnsafe(f"{self.path} is damaged: delete it, and pair again") from None
        return self._cache[1]

    def find(self, token: str) -> TokenEntry | None:
        """The entry of a token."""
        wanted = digest(token)
        return next((entry for entry in self.entries() if hmac.compare_digest(entry.hash, wanted)), None)

    def origins(self) -> set[str]:
        """Of every paired page or extension."""
        return {entry.origin for entry in self.entries() if entry.origin is not None}

    def issue(self, origin: str | None) -> str:
        """A new token. This is the only time that it exists in clear."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._write_lock():
            self._write([*self.entries(), TokenEntry(secrets.token_hex(4), digest(token), origin, created)])
        return token

    def revoke(self, token_id: str) -> bool:
        """Whether there was such a token; now there is none."""
        with self._write_lock():
            entries = self.entries()
            kept = [entry for entry in entries if entry.id != token_id]
            if len(kept) < len(entries):
                self._write(kept)
        return len(kept) < len(entries)

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """One writer at a time, also across processes where the system can lock a file."""
        self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with self._lock, (self.path.parent / ".tokens.lock").open("w") as file:
            try:
                from fcntl import LOCK_EX, flock
            except ImportError:  # Windows
                pass
            else:
                flock(file, LOCK_EX)
            yield

    def _write(self, entries: list[TokenEntry]) -> None:
        draft = self.path.with_name(f".tokens-{secrets.token_hex(8)}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
        draft.replace(self.path)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
