"""Time limits: a stopwatch for the stages of a protection, and work that starts only if it fits before a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["Pacer", "Stopwatch"]

Item = TypeVar("Item")

FIRST_PIECE = 1.0
"""Expected seconds of a first piece of work; later ones are expected to take as long as the longest so far."""


class Stopwatch:
    """Measures the seconds of each stage.

    Args:
        limit: seconds for all stages together; None: no limit.

    Attributes:
        seconds: stage -> seconds, to the millisecond.
    """

    def __init__(self, limit: float | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._limit = limit
        self._start = self._last = time.monotonic()

    def pause(self) -> None:
        """Do not count the time since the last lap, such as waiting for another photo."""
        now = time.monotonic()
        self._start, self._last = self._start + now - self._last, now

    def lap(self, stage: str) -> None:
        """Count the time since the last lap for a stage."""
        now = time.monotonic()
        self.seconds[stage], self._last = round(now - self._last, 3), now

    def deadline(self, share: float = 1.0) -> float | None:
        """Return the `time.monotonic()` at which a share of the remaining time is used up; None without a limit."""
        return None if self._limit is None else self._last + share * (self._start + self._limit - self._last)


class Pacer:
    """Starts pieces of work while they are expected to fit before a deadline.

    Args:
        deadline: in seconds of `time.monotonic()`; None: no deadline.
    """

    def __init__(self, deadline: float | None) -> None:
        self._deadline, self._longest = deadline, FIRST_PIECE

    def each(self, items: Iterable[Item], skipped: list[str], describe: Callable[[Item], str]) -> Iterator[Item]:
        """Yield the items to work on; those that would not fit are added to `skipped` by their descriptions."""
        for item in items:
            start = time.monotonic()
            if self._deadline is not None and start + self._longest > self._deadline:
                skipped.append(describe(item))
                continue
            yield item
            self._longest = max(self._longest, time.monotonic() - start)
