"""Atomic file writes."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from anti_i2v.errors import OutputError

__all__ = ["check_target", "write_atomic"]


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Check that a file may be written at a path, to fail before any work.

    Raises:
        OutputError: the path exists without `overwrite`, is a folder, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist: create it first, or choose another")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: add a file name to it")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def write_atomic(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a file completely or not at all, with the default permissions of a new file.

    Raises:
        OutputError: the path exists without `overwrite`, its folder is missing, or the system refuses the write.
    """
    check_target(path, overwrite=overwrite)  # a file created since then makes `_claim` fail
    temporary = path.parent / f".anti-i2v-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, path)
        else:
            _claim(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    finally:
        with suppress(OSError):  # it is gone after a replacement; if it cannot be removed, the write is still done
            temporary.unlink()


def _claim(temporary: Path, path: Path) -> None:
    """Rename a temporary file atomically, unless the name is taken.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links (FAT, some network drives): reserve the name, then replace the file
        path.open("xb").close()
        try:
            os.replace(temporary, path)
        except OSError:
            path.unlink()
            raise


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} exists: choose another name or pass --overwrite")
