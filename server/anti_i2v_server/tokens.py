"""Tokens of paired clients: 256 random bits each, stored as SHA-256 in a file that only its owner can read.

A fast hash suffices: 256 random bits cannot be guessed. The file is read again whenever it changed, so that
`anti-i2v tokens revoke` takes effect in a running server.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from anti_i2v.paths import home
from anti_i2v_server.errors import TokenFileUnsafe

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["TokenEntry", "TokenStore", "digest"]

TOKEN_BYTES = 32
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stored token.

    Attributes:
        id: names the token in `anti-i2v tokens`.
        hash: hexadecimal SHA-256 of the token.
        origin: origin of the paired page or extension; None for a client that sends no Origin.
        created: ISO 8601, UTC.
    """

    id: str
    hash: str
    origin: str | None
    created: str


class TokenStore:
    """The token file, by default `server/tokens.json` in the folder of `anti_i2v.paths`."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or home() / "server" / "tokens.json"
        self._cache: tuple[tuple[int, int, int] | None, list[TokenEntry]] = (None, [])

    def entries(self) -> list[TokenEntry]:
        """Return all entries. Raises TokenFileUnsafe."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return []
        if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
            raise TokenFileUnsafe(f"other users can read {self.path}: run  chmod 600 {self.path}")
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if version != self._cache[0]:
            try:
                self._cache = (version, msgspec.json.decode(self.path.read_bytes(), type=list[TokenEntry]))
            except msgspec.MsgspecError:
                raise TokenFileUnsafe(f"{self.path} is damaged: delete it, and pair again") from None
        return self._cache[1]

    def find(self, token: str) -> TokenEntry | None:
        """Return the entry of a token."""
        wanted = digest(token)
        return next((entry for entry in self.entries() if hmac.compare_digest(entry.hash, wanted)), None)

    def origins(self) -> set[str]:
        """Return the origins of all paired pages and extensions."""
        return {entry.origin for entry in self.entries() if entry.origin is not None}

    def issue(self, origin: str | None) -> str:
        """Create a token and return it. Only its hash is stored."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        with self._write_lock():
            self._write([*self.entries(), TokenEntry(secrets.token_hex(4), digest(token), origin, created)])
        return token

    def revoke(self, token_id: str) -> bool:
        """Delete a token. Returns False where there is none with this id."""
        with self._write_lock():
            entries = self.entries()
            kept = [entry for entry in entries if entry.id != token_id]
            if len(kept) < len(entries):
                self._write(kept)
        return len(kept) < len(entries)

    def _write_lock(self) -> FileLock:
        """Return a lock that admits one writer at a time, across threads and processes."""
        from filelock import FileLock  # an extra; `anti-i2v tokens list` works without it

        self.path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        return FileLock(self.path.parent / ".tokens.lock", mode=PRIVATE_FILE)

    def _write(self, entries: list[TokenEntry]) -> None:
        draft = self.path.with_name(f".tokens-{secrets.token_hex(8)}.tmp")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(entries), indent=2) + b"\n")
        draft.replace(self.path)


def digest(token: str) -> str:
    """Return the stored form of a token: its hexadecimal SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
