"""Shared by the tests of surrogates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_folder` that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))
