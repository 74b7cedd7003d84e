"""The folder of downloaded weights, and the paths of weights inside it."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

__all__ = ["FACE_WEIGHTS", "LPIPS_WEIGHTS", "find_weights", "home"]

LPIPS_WEIGHTS = "perceptual/lpips_alex.safetensors"
FACE_WEIGHTS = "face"
"""The folder of the face detector and the face embedding."""


def home() -> Path:
    """Return the folder of weights: $ANTI_I2V_HOME if set, else in the user's data folder. It may not exist yet."""
    named = os.environ.get("ANTI_I2V_HOME")
    if named:
        return Path(named).expanduser()
    return user_data_path("anti-i2v", appauthor=False)


def find_weights(relative: str) -> Path | None:
    """Return a file or folder inside `home()` by its path with forward slashes, or None if it does not exist."""
    path = home() / relative
    return path if path.exists() else None
