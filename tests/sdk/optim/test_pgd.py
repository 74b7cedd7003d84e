"""The loop that every algorithm and both engines share, on plain numbers: it knows nothing of tensors."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace

import pytest

from anti_i2v.errors import Cancelled, RecipeError
from anti_i2v.optim import pgd
from anti_i2v.optim.pgd import Step, run


class Walk:
    """Candidates are numbers; the loss is the distance to a goal; a step takes two seconds where a clock is given."""

    def __init__(self, scores_separately: bool = False, goal: float = 100.0) -> None:
        self.scores_separately, self.goal = scores_separately, goal
        self.lengths: list[float] = []
        self.scored: list[float] = []
        self.synchronized = 0
        self.now = 0.0

    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Walk:
        monkeypatch.setattr(pgd, "time", SimpleNamespace(monotonic=lambda: self.now))
        return self

    def step(self, candidate: float, taken: int, length: float) -> tuple[float, float]:
        assert taken == len(self.lengths)
        self.lengths.append(length)
        self.now += 2
        return candidate + length, abs(candidate - self.goal)

    def score(self, candidate: float) -> float:
        self.scored.append(candidate)
        return abs(candidate - self.goal)

    def keep_better(self, best: float, score: float, candidate: float, loss: float) -> tuple[float, float]:
        return (candidate, loss) if loss < score else (best, score)

    def synchronize(self) -> None:
        self.synchronized += 1


def test_steps_shorten_along_a_cosine_to_their_last_share() -> None:
    walk = Walk()
    outcome = run(walk, 0.0, steps=5, step=4.0, final_step=0.25)
    shares = [0.25 + 0.75 * 0.5 * (1 + math.cos(math.pi * turn / 4)) for turn in range(5)]
    assert walk.lengths == pytest.approx([4 * share for share in shares])
    assert (walk.lengths[0], walk.lengths[-1]) == (4, 1)
    assert outcome.candidate == pytest.approx(sum(walk.lengths))
    assert (outcome.steps, outcome.stopped) == (5, "steps")


def test_one_step_is_a_whole_one() -> None:
    walk = Walk()
    run(walk, 0.0, steps=1, step=4.0, final_step=0.25)
    assert walk.lengths == [4]


def test_a_schedule_that_the_deadline_would_cut_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk().clock(monkeypatch)
    outcome = run(walk, 0.0, steps=1000, step=4.0, final_step=0.1, deadline=13.0, step_seconds=2.0)
    assert (outcome.steps, outcome.stopped) == (6, "deadline")
    assert walk.now <= 13
    assert walk.lengths == sorted(walk.lengths, reverse=True)
    assert walk.lengths[-1] == pytest.approx(0.4)  # the last that fits is a short one, as if 6 had been asked for


def test_the_device_is_synchronized_for_only_where_there_is_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    patient, hurried = Walk(), Walk().clock(monkeypatch)
    run(patient, 0.0, steps=3, step=1.0)
    run(hurried, 0.0, steps=3, step=1.0, deadline=1000.0)
    assert (patient.synchronized, hurried.synchronized) == (0, 3)


@pytest.mark.parametrize("scores_separately", [False, True], ids=["the loss compares", "a score compares"])
@pytest.mark.parametrize("final_step", [0.0, 1.0])
def test_the_best_is_kept_when_steps_pass_the_goal(scores_separately: bool, final_step: float) -> None:
    outcome = run(
        Walk(scores_separately, goal=3.1),
        0.0,
        steps=8,
        step=1.0,
        final_step=final_step,
        score_every=int(scores_separately),
    )
    visited = [0.0]
    walk = Walk(goal=3.1)
    run(walk, 0.0, steps=8, step=1.0, final_step=final_step)
    for length in walk.lengths:
        visited.append(visited[-1] + length)
    assert outcome.candidate == min(visited, key=lambda place: abs(place - 3.1))
    assert outcome.score == abs(outcome.candidate - 3.1)


@pytest.mark.parametrize(("every", "scored"), [(0, [0, 6]), (2, [0, 2, 4, 6]), (4, [0, 4, 6]), (6, [0, 6])])
def test_candidates_are_scored_as_often_as_asked_and_never_twice(every: int, scored: list[float]) -> None:
    walk = Walk(scores_separately=True)
    run(walk, 0.0, steps=6, step=1.0, final_step=1.0, score_every=every)
    assert walk.scored == scored


def test_a_loss_of_the_steps_is_never_mistaken_for_a_score() -> None:
    """Losses of the steps are random (EOT): where candidates have a score of their own, only that compares them."""

    class Lucky(Walk):
        def step(self, candidate: float, taken: int, length: float) -> tuple[float, float]:
            return super().step(candidate, taken, length)[0], -1e9

    outcome = run(Lucky(scores_separately=True, goal=0.0), 0.0, steps=4, step=1.0)
    assert (outcome.candidate, outcome.score) == (0.0, 0.0)


def test_no_steps_give_the_start_with_its_score() -> None:
    walk = Walk()
    outcome = run(walk, 7.0, steps=0, step=1.0)
    assert (outcome.candidate, outcome.score, outcome.steps, outcome.stopped) == (7.0, 93.0, 0, "steps")
    assert walk.scored == [7.0]


def test_the_callback_hears_the_loss_of_every_step() -> None:
    told: list[Step] = []
    run(Walk(), 0.0, steps=3, step=1.0, final_step=1.0, callback=told.append)
    assert told == [Step(1, 3, 100.0), Step(2, 3, 99.0), Step(3, 3, 98.0)]


def test_cancelling_stops_before_the_next_step() -> None:
    cancel, walk = threading.Event(), Walk()

    def stop_after_two(step: Step) -> None:
        if step.index == 2:
            cancel.set()

    with pytest.raises(Cancelled, match="cancelled after 2 of 9 steps"):
        run(walk, 0.0, steps=9, step=1.0, cancel=cancel, callback=stop_after_two)
    assert len(walk.lengths) == 2


@pytest.mark.parametrize(
    ("steps", "step"), [(-1, 1.0), (2, 0.0), (2, -1.0)], ids=["fewer than none", "no length", "backwards"]
)
def test_settings_out_of_range_are_refused(steps: int, step: float) -> None:
    with pytest.raises(RecipeError, match=f"steps >= 0 and a step above 0, got {steps} and {step}"):
        run(Walk(), 0.0, steps=steps, step=step)
