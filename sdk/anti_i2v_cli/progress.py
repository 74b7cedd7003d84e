"""Progress bars for the terminal, on stderr. Where stderr is not a terminal, nothing is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from anti_i2v.optim.pgd import Step

__all__ = ["counter", "narrator", "stepper"]

MINUTE = 60


class _TimeLeft(ProgressColumn):
    """By the pace so far, and never beyond the deadline, which is when the result is delivered."""

    def __init__(self, deadline: float | None) -> None:
        super().__init__()
        self.until = None if deadline is None else time.monotonic() + deadline

    def render(self, task: Task) -> Text:
        known = [] if task.time_remaining is None else [task.time_remaining]
        if self.until is not None:
            known.append(max(0.0, self.until - time.monotonic()))
        if not known:
            return Text("")
        left = min(known)
        return Text(f"{left:.0f} s left" if left < 2 * MINUTE else f"{left / MINUTE:.0f} min left")


def _bar(deadline: float | None, quiet: bool, pace: float = 30) -> Progress:
    """`pace`: seconds over which the pace is taken."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}", markup=False),
        _TimeLeft(deadline),
        console=console,
        transient=True,
        speed_estimate_period=pace,
        # What is printed goes where it was sent: a bar on stderr must not pull the table out of a pipe.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=quiet or not console.is_terminal,
    )


@contextmanager
def stepper(deadline: float | None, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """While one photo is protected: gives the callback for each step. Before and after the steps it only spins."""
    with _bar(deadline, quiet) as bar:
        task = bar.add_task("working", total=None, detail="")

        def on_step(step: Step) -> None:
            if bar.disable:
                return  # reading the loss would wait for the device
            detail = f"step {step.index}/{step.steps}  loss {float(step.loss.mean()):.4f}"
            bar.update(task, description="protecting", total=step.steps, completed=step.index, detail=detail)
            if step.index == step.steps:
                bar.update(task, description="measuring", total=None, detail="")

        yield on_step


@contextmanager
def counter(total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """While a folder is protected: gives a function that counts one photo and prints its line on stdout."""
    with _bar(None, quiet) as bar:
        task = bar.add_task("protecting", total=total, detail=f"0/{total}")

        def count(line: str) -> None:
            if not quiet:
                bar.stop()  # it is drawn again below the line
                typer.echo(line)
                bar.start()
            bar.advance(task)
            bar.update(task, detail=f"{int(bar.tasks[0].completed)}/{total}")

        yield count


@contextmanager
def narrator(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """While a long work goes on: gives a function that is told what is being done, and how much of it is (0 to 1)."""
    # Between two steps a model may be loaded or a filter run for a minute: a short memory would forget the pace.
    with _bar(None, quiet, pace=60 * MINUTE) as bar:
        task = bar.add_task("evaluating", total=1.0, detail="")
        yield lambda what, done: bar.update(task, detail=what, completed=done)
