"""How much memory this process has, and an end for it when that is too much."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["EXIT_OVER_MEMORY", "limit_memory", "resident_bytes"]

EXIT_OVER_MEMORY = 77
"""Exit status of a worker that passed its limit."""

HEADROOM = 1.5
"""Of the limit: where the system itself refuses, in case memory grows faster than it is looked at."""

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Resident bytes; outside Linux the most so far; 0 where the system does not tell (Windows)."""
    with suppress(OSError):
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_memory(limit: int) -> None:
    """Let the system refuse private memory beyond the limit's headroom. CUDA reserves far more than it uses: not there.

    Does nothing where the system knows no such limit.
    """
    try:
        import resource
    except ImportError:
        return
    most = int(limit * HEADROOM)
    with suppress(ValueError, OSError):  # a lower limit is set already, which is as good
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
