"""The lock file of a pulled model: its revision and the SHA-256 of each file, compared at every load.

Large models are not pinned in advance. The first pull trusts the hub; every later load must find the same files.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec

from anti_i2v.errors import SurrogateError
from anti_i2v.files import write_atomic

__all__ = ["LOCK", "Lock", "check_lock", "read_lock", "write_lock"]

LOCK = "anti-i2v.lock.json"
SUFFIXES = (".safetensors", ".json", ".txt", ".model")


class Lock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lock of one model.

    Attributes:
        source: hub repository.
        revision: its commit.
        files: path -> SHA-256.
    """

    source: str
    revision: str
    files: dict[str, str]


def write_lock(folder: Path, source: str, revision: str) -> Lock:
    """Hash the files of a folder that was just pulled, and write the lock."""
    lock = Lock(source, revision, _sums(folder))
    write_atomic(folder / LOCK, msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n", overwrite=True)
    return lock


def read_lock(folder: Path) -> Lock | None:
    """Read the lock; None for a folder that was not pulled. Raises SurrogateError if it is damaged."""
    file = folder / LOCK
    try:
        return msgspec.json.decode(file.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise SurrogateError(f"{file} is damaged: pull {folder.name} again") from None


def check_lock(folder: Path) -> str:
    """Compare a folder with its lock, if there is one, and hash the whole folder with SHA-256.

    Raises:
        SurrogateError: a file was changed, removed or added since the pull.
    """
    sums = _sums(folder)
    lock = read_lock(folder)
    if lock is not None:
        known = lock.files
        if changed := sorted(name for name in known.keys() | sums.keys() if known.get(name) != sums.get(name)):
            raise SurrogateError(f"{folder / changed[0]} is not the file that was pulled: pull {folder.name} again")
    return hashlib.sha256(json.dumps(sums, sort_keys=True).encode()).hexdigest()


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix in SUFFIXES and file.name != LOCK and ".cache" not in file.relative_to(folder).parts
    )
    return {file.relative_to(folder).as_posix(): _sum(file) for file in files}


def _sum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
