"""Whole image-to-video models that are known by name: where they are, and how to get them. Light."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from anti_i2v.errors import SurrogateError

__all__ = ["put_in_place"]


def put_in_place(target: Path, fetch: Callable[[Path], None]) -> Path:
    """A folder that appears whole or not at all, in place of one that was there.

    Args:
        fetch: fills a folder that it makes; what it raises leaves everything as it was.

    Raises:
        SurrogateError: it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / target.name
            fetch(fresh)
            shutil.rmtree(fresh / ".cache", ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            fresh.replace(target)
    except OSError as problem:
        raise SurrogateError(
            f"{target} cannot be written ({problem.strerror}): check your permissions and the space that is left, or "
            "name another folder in ANTI_I2V_HOME"
        ) from None
    return target
