"""Pixels to a file: the codecs, what metadata may travel along, and a write that is whole or not at all.

Every file is written as sRGB without a colour profile, which is what untagged means everywhere. Metadata is dropped;
with `keep_metadata` an allow-list of EXIF tags stays: what made the photo (camera, lens, exposure, date) and whose it
is (artist, copyright). Never kept: GPS, maker notes, serial numbers, the owner's name, unique ids, time zones,
free-text comments, XMP, IPTC, and embedded previews, which would show the unprotected photo.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from anti_i2v.errors import OutputError

__all__ = ["check_target", "write_atomic"]


def check_target(path: Path, *, overwrite: bool = False) -> None:
    """Whether a file may be written at a path, before any work for it is done.

    Raises:
        OutputError: the path exists and `overwrite` is off, it is a folder, or its folder is missing.
    """
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} does not exist: create it first, or choose another")
    if path.is_dir():
        raise OutputError(f"{path} is a folder: add a file name to it")
    if not overwrite and os.path.lexists(path):
        raise _exists(path)


def write_atomic(path: Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write a file that appears whole or not at all, with the permissions of any new file (the umask decides).

    Raises:
        OutputError: the path exists and `overwrite` is off, its folder is missing, or the system refuses the write.
    """
    check_target(path, overwrite=overwrite)  # the link below settles races
    draft = path.parent / f".anti-i2v-{secrets.token_hex(8)}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            os.replace(draft, path)
        else:
            _claim(draft, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}): choose another place") from None
    finally:
        with suppress(OSError):  # the replaced draft is gone already; one that cannot be removed hides no better error
            draft.unlink()


def _claim(draft: Path, path: Path) -> None:
    """Give the draft its name unless something has that name already, with no moment in between.

    Raises:
        FileExistsError: somebody else was first.
    """
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here (FAT, some network drives): reserve the name, then fill it
        path.open("xb").close()
        try:
            os.replace(draft, path)
        except OSError:
            path.unlink()
            raise


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path} exists: choose another name or pass --overwrite")
