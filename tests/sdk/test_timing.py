"""The stopwatch and the pacer, on a clock of their own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from anti_i2v import timing
from anti_i2v.timing import Pacer, Stopwatch


class Clock:
    """Seconds that only a test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timing, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def test_each_stage_has_the_seconds_since_the_last_lap(clock: Clock) -> None:
    stopwatch = Stopwatch()
    clock.now += 2
    stopwatch.lap("read")
    clock.now += 3.5
    stopwatch.lap("protect")
    assert stopwatch.seconds == {"read": 2, "protect": 3.5}


def test_a_pause_counts_neither_for_a_stage_nor_for_the_limit(clock: Clock) -> None:
    stopwatch = Stopwatch(limit=10)
    clock.now += 1
    stopwatch.lap("read")
    clock.now += 50
    stopwatch.pause()
    assert stopwatch.deadline() == clock.now + 9
    clock.now += 2
    stopwatch.lap("protect")
    assert stopwatch.seconds == {"read": 1, "protect": 2}


def test_a_deadline_is_a_share_of_the_remaining_time(clock: Clock) -> None:
    stopwatch = Stopwatch(limit=10)
    clock.now += 2
    stopwatch.lap("read")
    assert stopwatch.deadline(0.5) == clock.now + 4
    assert Stopwatch().deadline() is None


def test_work_starts_only_if_the_longest_piece_so_far_would_fit(clock: Clock) -> None:
    skipped: list[str] = []
    done = []
    for piece in Pacer(clock.now + 6).each(["one", "two", "three", "four"], skipped, str.upper):
        clock.now += 2.5
        done.append(piece)
    assert done == ["one", "two"]
    assert skipped == ["THREE", "FOUR"]
