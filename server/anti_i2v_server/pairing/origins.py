"""Origins of browser extensions, which may pair."""

from __future__ import annotations

import re

__all__ = ["EXTENSION_ORIGIN"]

EXTENSION_ORIGIN = re.compile(r"(chrome|moz|safari-web)-extension://[\w-]+")
