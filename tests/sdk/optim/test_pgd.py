"""The loop of projected gradient descent on plain numbers: it knows nothing of tensors."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace

import pytest

from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.optim import pgd
from anti_i2v.optim.pgd import Step, run


class Walk:
    """A problem whose candidates are numbers and whose loss is the distance to a goal; a step takes two seconds."""

    def __init__(self, goal: float = 100.0) -> None:
        self.goal = goal
        self.step_sizes: list[float] = []
        self.scored: list[float] = []
        self.synchronized = 0
        self.now = 0.0

    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Walk:
        monkeypatch.setattr(pgd, "time", SimpleNamespace(monotonic=lambda: self.now))
        return self

    def step(self, candidate: float, index: int, step_size: float) -> tuple[float, float]:
        assert index == len(self.step_sizes)
        self.step_sizes.append(step_size)
        self.now += 2
        return candidate + step_size, abs(candidate - self.goal)

    def score(self, candidate: float) -> float:
        self.scored.append(candidate)
        return abs(candidate - self.goal)

    def keep_better(self, best: float, score: float, candidate: float, loss: float) -> tuple[float, float]:
        return (candidate, loss) if loss < score else (best, score)

    def synchronize(self) -> None:
        self.synchronized += 1


def test_steps_shorten_along_a_cosine_to_their_last_share() -> None:
    walk = Walk()
    outcome = run(walk, 0.0, steps=5, step_size=4.0, final_step=0.25)
    shares = [0.25 + 0.75 * 0.5 * (1 + math.cos(math.pi * index / 4)) for index in range(5)]
    assert walk.step_sizes == pytest.approx([4 * share for share in shares])
    assert (walk.step_sizes[0], walk.step_sizes[-1]) == (4, 1)
    assert outcome.candidate == pytest.approx(sum(walk.step_sizes))
    assert (outcome.steps, outcome.stopped) == (5, "steps")


def test_a_single_step_has_the_full_size() -> None:
    walk = Walk()
    run(walk, 0.0, steps=1, step_size=4.0, final_step=0.25)
    assert walk.step_sizes == [4]


def test_a_schedule_that_the_deadline_would_cut_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk().clock(monkeypatch)
    outcome = run(walk, 0.0, steps=1000, step_size=4.0, final_step=0.1, deadline=13.0, step_seconds=2.0)
    assert (outcome.steps, outcome.stopped) == (6, "deadline")
    assert walk.now <= 13
    assert walk.step_sizes == sorted(walk.step_sizes, reverse=True)
    assert walk.step_sizes[-1] == pytest.approx(0.4)  # the last that fits is a short one, as if 6 had been asked for


@pytest.mark.parametrize(
    ("deadline", "step_seconds", "steps"),
    [(7.0, 0.0, 3), (7.0, 2.0, 3), (6.0, 0.0, 3), (1.9, 2.0, 0), (-1.0, 0.0, 0), (100.0, 2.0, 8)],
    ids=["a fourth would be late", "known cost", "just fits", "the first would be late", "long past", "plenty"],
)
def test_no_step_begins_that_would_pass_the_deadline(
    monkeypatch: pytest.MonkeyPatch, deadline: float, step_seconds: float, steps: int
) -> None:
    walk = Walk().clock(monkeypatch)
    outcome = run(walk, 0.0, steps=8, step_size=1.0, deadline=deadline, step_seconds=step_seconds)
    assert outcome.steps == steps
    assert outcome.stopped == ("steps" if steps == 8 else "deadline")
    assert walk.now <= max(deadline, 0)
    assert outcome.score == 100 - outcome.candidate
    assert (outcome.candidate > 0) == (steps > 0)


def test_the_device_is_synchronized_only_where_there_is_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    patient, hurried = Walk(), Walk().clock(monkeypatch)
    run(patient, 0.0, steps=3, step_size=1.0)
    run(hurried, 0.0, steps=3, step_size=1.0, deadline=1000.0)
    assert (patient.synchronized, hurried.synchronized) == (0, 3)


@pytest.mark.parametrize("final_step", [0.0, 1.0])
def test_the_best_is_kept_when_steps_pass_the_goal(final_step: float) -> None:
    outcome = run(Walk(goal=3.1), 0.0, steps=8, step_size=1.0, final_step=final_step, score_every=1)
    visited = [0.0]
    walk = Walk(goal=3.1)
    run(walk, 0.0, steps=8, step_size=1.0, final_step=final_step)
    for length in walk.step_sizes:
        visited.append(visited[-1] + length)
    assert outcome.candidate == min(visited, key=lambda place: abs(place - 3.1))
    assert outcome.score == abs(outcome.candidate - 3.1)


@pytest.mark.parametrize(("every", "scored"), [(0, [0, 6]), (2, [0, 2, 4, 6]), (4, [0, 4, 6]), (6, [0, 6])])
def test_candidates_are_scored_as_often_as_asked_and_never_twice(every: int, scored: list[float]) -> None:
    walk = Walk()
    run(walk, 0.0, steps=6, step_size=1.0, final_step=1.0, score_every=every)
    assert walk.scored == scored


def test_a_loss_of_the_steps_is_never_mistaken_for_a_score() -> None:
    """Losses of the steps are random (EOT): only scores compare candidates."""

    class Lucky(Walk):
        def step(self, candidate: float, index: int, step_size: float) -> tuple[float, float]:
            return super().step(candidate, index, step_size)[0], -1e9

    outcome = run(Lucky(goal=0.0), 0.0, steps=4, step_size=1.0)
    assert (outcome.candidate, outcome.score) == (0.0, 0.0)


def test_no_steps_give_the_start_with_its_score() -> None:
    walk = Walk()
    outcome = run(walk, 7.0, steps=0, step_size=1.0)
    assert (outcome.candidate, outcome.score, outcome.steps, outcome.stopped) == (7.0, 93.0, 0, "steps")
    assert walk.scored == [7.0]


def test_the_callback_gets_the_loss_of_every_step() -> None:
    reported: list[Step] = []
    run(Walk(), 0.0, steps=3, step_size=1.0, final_step=1.0, callback=reported.append)
    assert reported == [Step(1, 3, 100.0), Step(2, 3, 99.0), Step(3, 3, 98.0)]


def test_cancelling_stops_before_the_next_step() -> None:
    cancel, walk = threading.Event(), Walk()

    def stop_after_two(step: Step) -> None:
        if step.index == 2:
            cancel.set()

    with pytest.raises(Cancelled, match="cancelled after 2 of 9 steps"):
        run(walk, 0.0, steps=9, step_size=1.0, cancel=cancel, callback=stop_after_two)
    assert len(walk.step_sizes) == 2


@pytest.mark.parametrize(
    ("steps", "step"), [(-1, 1.0), (2, 0.0), (2, -1.0)], ids=["negative steps", "no step size", "negative step size"]
)
def test_settings_out_of_range_are_refused(steps: int, step: float) -> None:
    with pytest.raises(RecipeError, match=f"at least 0 and the step size above 0, got {steps} and {step}"):
        run(Walk(), 0.0, steps=steps, step_size=step)
