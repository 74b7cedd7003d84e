"""JSON of a job."""

from __future__ import annotations

import msgspec

from anti_i2v_server.jobs.job import Job
from anti_i2v_server.problems import Problem, problem_of

__all__ = ["JobStatus"]


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status of a job.

    Attributes:
        state: queued, running, done, failed or cancelled.
        position: place in the queue, 0 is next; only while queued.
        step, steps: steps taken, and their total; only where the recipe takes steps.
        problem: why the job failed.
    """

    id: str
    state: str
    recipe: str
    preset: str | None = None
    position: int | None = None
    attempts: int = 0
    step: int = 0
    steps: int | None = None
    problem: Problem | None = None

    @classmethod
    def of(cls, job: Job) -> JobStatus:
        """Return the status of a job."""
        return cls(
            id=job.id,
            state=job.state.value,
            recipe=job.options.recipe,
            preset=job.options.preset,
            position=job.position,
            attempts=job.attempts,
            step=job.step,
            steps=job.steps,
            problem=None if job.error is None else problem_of(job.error),
        )
