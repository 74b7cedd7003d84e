"""Measure and limit the memory of the worker process."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

__all__ = ["EXIT_OVER_MEMORY", "limit_memory", "resident_bytes"]

EXIT_OVER_MEMORY = 77
"""Exit status of a worker that exceeded its limit."""

HEADROOM = 1.5
"""Hard limit as a multiple of the limit, for memory that grows faster than it is measured."""

_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return resident memory; outside Linux its peak so far; 0 where it is not available (Windows)."""
    with suppress(OSError):
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def limit_memory(limit: int) -> None:
    """Make the system refuse private memory beyond `HEADROOM` times `limit` bytes.

    Not for CUDA, which reserves far more than it uses. Does nothing where the system has no such limit.
    """
    try:
        import resource
    except ImportError:
        return
    hard_limit = int(limit * HEADROOM)
    with suppress(ValueError, OSError):  # a lower limit is already set
        resource.setrlimit(resource.RLIMIT_DATA, (hard_limit, hard_limit))
