"""How long the jobs that are left will take, from what jobs of their kind took before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

from cotdistill.runs.jobs import Job, JobId, Jobs


def seconds_left(
    jobs: Jobs,
    took: Mapping[JobId, float],
    waiting: Iterable[JobId],
    running: Mapping[JobId, float],
) -> float | None:
    """Return how long it will be until all is done, None while a stage has no finished job.

    A job is expected to take as long as the finished ones of its stage did: those of the same
    student, arm and recipe, else those of the same student, else all. As many jobs as are running
    now go on at once. What cotdistill does itself takes no time where none of it is finished.

    Units: `took` and `running` hold seconds: of finished jobs, and since the start of others.

    >>> one, two, three = (Job("train", f"tiny--long--full--s{n}", ("train",)) for n in (1, 2, 3))
    >>> jobs = {job.id: job for job in (one, two, three)}
    >>> seconds_left(jobs, {one.id: 300.0}, [three.id], {two.id: 60.0})
    540.0
    """
    means = _means((jobs[job], seconds) for job, seconds in took.items() if job in jobs)
    parts: list[float] = []
    for job in (*waiting, *running):
        expected = next((means[kind] for kind in _kinds(jobs[job]) if kind in means), None)
        if expected is not None:
            parts.append(max(0.0, expected - running.get(job, 0.0)))
        elif jobs[job].command:
            return None
    return math.fsum(parts) / max(1, len(running))


def _kinds(job: Job) -> tuple[tuple[str, ...], ...]:
    return (
        (job.stage, job.name.rpartition("--")[0]),
        (job.stage, job.name.partition("--")[0], ""),
        (job.stage,),
    )


def _means(took: Iterable[tuple[Job, float]]) -> dict[tuple[str, ...], float]:
    known: dict[tuple[str, ...], list[float]] = {}
    for job, seconds in took:
        for kind in _kinds(job):
            known.setdefault(kind, []).append(seconds)
    return {kind: statistics.fmean(seconds) for kind, seconds in known.items()}
