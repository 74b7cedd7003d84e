"""Optional packages that a command needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import util

from anti_i2v.errors import SurrogateError

__all__ = ["require_packages"]


def require_packages(purpose: str, packages: Iterable[str], install: str) -> None:
    """Check that packages are installed, without importing them.

    Args:
        purpose: the subject of the error's sentence, such as "the server".
        packages: the names to import.
        install: the command that installs them.

    Raises:
        SurrogateError: a package is missing.
    """
    for package in packages:
        if util.find_spec(package) is None:
            raise SurrogateError(f"{purpose} needs {package}, which is not installed: {install}")
