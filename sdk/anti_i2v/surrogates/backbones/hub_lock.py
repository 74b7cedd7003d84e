"""What was pulled: the revision and a SHA-256 a file, written beside a model and compared whenever it is loaded.

Nobody can pin beforehand what he has never downloaded: the first pull is taken on trust in the hub, and all later
loads have to find the very same files.
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
    """Of one model.

    Attributes:
        source: hub repository.
        revision: its commit.
        files: path -> SHA-256.
    """

    source: str
    revision: str
    files: dict[str, str]


def write_lock(folder: Path, source: str, revision: str) -> Lock:
    """Sum up a folder that was just pulled."""
    lock = Lock(source, revision, _sums(folder))
    write_atomic(folder / LOCK, msgspec.json.format(msgspec.json.encode(lock), indent=2) + b"\n", overwrite=True)
    return lock


def read_lock(folder: Path) -> Lock | None:
    """None for a folder that was not pulled. Raises SurrogateError for a damaged one."""
    file = folder / LOCK
    try:
        return msgspec.json.decode(file.read_bytes(), type=Lock)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError:
        raise SurrogateError(f"{file} is damaged: pull {folder.name} again") from None


def check_lock(folder: Path) -> str:
    """One SHA-256 that stands for the whole folder.

    Raises:
        SurrogateError: a file is not the one that was pulled, is missing, or is new.
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
