"""Where downloaded weights live: one folder, named by ANTI_I2V_HOME or by the system's custom."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

__all__ = ["find_weights", "home"]


def home() -> Path:
    """The folder of weights: $ANTI_I2V_HOME where set, else the user's data folder. It may not exist yet."""
    named = os.environ.get("ANTI_I2V_HOME")
    if named:
        return Path(named).expanduser()
    return user_data_path("anti-i2v", appauthor=False)


def find_weights(relative: str) -> Path | None:
    """A file or folder inside `home()`, by its path with forward slashes; None where it is absent."""
    path = home() / relative
    return path if path.exists() else None
