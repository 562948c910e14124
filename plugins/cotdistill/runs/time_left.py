"""How long the jobs that are left will take, from what jobs of their kind took before."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from cotdistill.runs.jobs import Job, JobId, Jobs

_NOTHING: Mapping[JobId, float] = MappingProxyType({})


def seconds_left(
    jobs: Jobs,
    took: Mapping[JobId, float],
    waiting: Iterable[JobId],
    running: Mapping[JobId, float],
    sizes: Mapping[JobId, float] = _NOTHING,
    at_least: Mapping[JobId, float] = _NOTHING,
    shares: Mapping[JobId, float] = _NOTHING,
) -> float | None:
    """Return how long it will be until all is done, None while a stage has no finished job.

    A job is expected to take as long as the finished ones of its stage did: those of the same
    student, arm and recipe, else those of the same student, else all; the last two in proportion
    to their sizes, where these are known. One that runs takes at least what its own progress bar
    says, and one that was resumed the share of that time that was left. As many jobs as are running
    now go on at once. What cotdistill does itself takes no time where none of it is finished.

    Units: `took`, `running` and `at_least` hold seconds: of finished jobs, since the start of
    others, and until they end; `sizes` any unit that is the same within a stage.

    >>> one, two, three = (Job("train", f"tiny--long--full--s{n}", ("train",)) for n in (1, 2, 3))
    >>> jobs = {job.id: job for job in (one, two, three)}
    >>> seconds_left(jobs, {one.id: 300.0}, [three.id], {two.id: 60.0})
    540.0
    >>> other = Job("train", "tiny--short--full--s1", ("train",))
    >>> jobs = {job.id: job for job in (one, other)}
    >>> seconds_left(jobs, {one.id: 300.0}, [other.id], {}, {one.id: 9000, other.id: 6000})
    200.0
    >>> seconds_left(jobs, {one.id: 300.0}, [], {one.id: 9, other.id: 9}, {}, {one.id: 3600.0})
    3600.0
    >>> seconds_left(jobs, {one.id: 300.0}, [], {other.id: 60.0}, shares={other.id: 0.5})
    90.0
    """
    finished = _by_kind(jobs[job] for job in took if job in jobs)
    parts: list[float] = []
    for job in (*waiting, *running):
        expected = _expected(jobs[job], finished, took, sizes)
        if expected is not None:
            left = expected * shares.get(job, 1.0) - running.get(job, 0.0)
            parts.append(max(0.0, left, at_least.get(job, 0.0)))
        elif jobs[job].command:
            return None
    longest = max((at_least.get(job, 0.0) for job in running), default=0.0)
    return max(longest, math.fsum(parts) / max(1, len(running)))


def _expected(
    job: Job,
    finished: Mapping[tuple[str, ...], list[JobId]],
    took: Mapping[JobId, float],
    sizes: Mapping[JobId, float],
) -> float | None:
    """Return the seconds that a job is expected to take, by the closest kind that has finished."""
    for kind, is_scaled in _kinds(job).items():
        if others := finished.get(kind):
            seconds = math.fsum(took[one] for one in others)
            known = [sizes[one] for one in others if sizes.get(one)]
            if is_scaled and sizes.get(job.id) and len(known) == len(others):
                return seconds * sizes[job.id] / math.fsum(known)
            return statistics.fmean(took[one] for one in others)
    return None


def _kinds(job: Job) -> dict[tuple[str, ...], bool]:
    """Return the kinds that a job is of, closest first, and whether sizes differ within each."""
    return {
        (job.stage, "same", job.name.rpartition("--")[0]): False,  # but for the random seed
        (job.stage, "student", job.name.partition("--")[0]): True,
        (job.stage,): True,
    }


def _by_kind(finished: Iterable[Job]) -> dict[tuple[str, ...], list[JobId]]:
    known: dict[tuple[str, ...], list[JobId]] = {}
    for job in finished:
        for kind in _kinds(job):
            known.setdefault(kind, []).append(job.id)
    return known
