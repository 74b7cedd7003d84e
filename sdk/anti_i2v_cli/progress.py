"""Progress bars on stderr. Nothing is drawn where stderr is not a terminal."""

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

__all__ = ["folder_progress", "stage_progress", "step_progress"]

MINUTE = 60


class _TimeLeft(ProgressColumn):
    """Show the remaining time, estimated from the pace so far and limited by the deadline."""

    def __init__(self, deadline: float | None) -> None:
        super().__init__()
        self.until = None if deadline is None else time.monotonic() + deadline

    def render(self, task: Task) -> Text:
        estimates = [] if task.time_remaining is None else [task.time_remaining]
        if self.until is not None:
            estimates.append(max(0.0, self.until - time.monotonic()))
        if not estimates:
            return Text("")
        left = min(estimates)
        return Text(f"{left:.0f} s left" if left < 2 * MINUTE else f"{left / MINUTE:.0f} min left")


def _progress_bar(deadline: float | None, quiet: bool, pace_window: float = 30) -> Progress:
    """Create a bar whose pace is averaged over a window of seconds."""
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn("line"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}", markup=False),
        _TimeLeft(deadline),
        console=console,
        transient=True,
        speed_estimate_period=pace_window,
        # Output stays where the person sent it: a bar on stderr must not pull the table out of a pipe.
        redirect_stdout=False,
        redirect_stderr=False,
        disable=quiet or not console.is_terminal,
    )


@contextmanager
def step_progress(deadline: float | None, quiet: bool) -> Iterator[Callable[[Step], None]]:
    """Show a bar for one photo; yields the callback for each step. Before and after the steps it only spins."""
    with _progress_bar(deadline, quiet) as bar:
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
def folder_progress(total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show a bar for a folder; yields a function that prints one photo's line on stdout and advances the bar."""
    with _progress_bar(None, quiet) as bar:
        task = bar.add_task("protecting", total=total, detail=f"0/{total}")

        def print_line(line: str) -> None:
            if not quiet:
                bar.stop()  # it is drawn again below the line
                typer.echo(line)
                bar.start()
            bar.advance(task)
            bar.update(task, detail=f"{int(bar.tasks[0].completed)}/{total}")

        yield print_line


@contextmanager
def stage_progress(quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """Show a bar for an evaluation; yields a function of the current stage and the share that is done, 0 to 1."""
    # Loading a model or running a filter may take a minute between two reports, so the pace needs a long window.
    with _progress_bar(None, quiet, pace_window=60 * MINUTE) as bar:
        task = bar.add_task("evaluating", total=1.0, detail="")
        yield lambda stage, done: bar.update(task, detail=stage, completed=done)
