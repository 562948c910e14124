"""Scores that are there but older than what their run folder holds now.

`cotdistill run` moves them to `stale/` before it makes others. Until then whoever reads the folder
finds the scores of an earlier study next to the names of this one, and must be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cotdistill.errors import FaultsError
from cotdistill.runfolder.job import Job, JobId
from cotdistill.runfolder.manifest import MANIFEST
from cotdistill.runfolder.moved import moved_fault
from cotdistill.runs.jobs import Jobs, marker_of, read_jobs
from cotdistill.runs.plan import make_plan

_NAMED = 3  # evaluations that a line names


def outdated_scores(folders: Sequence[Path]) -> list[str]:
    """Return a line for each run folder whose scores were made from older files than it holds.

    Only evaluations that `cotdistill run` recorded count; of those by hand nothing is known. Nor is
    of a folder that was moved or that lacks files: its scores may be all that was kept.
    """
    return [line for folder in folders if (line := _outdated(folder.resolve(), folder))]


def _outdated(root: Path, folder: Path) -> str:
    if not (root / MANIFEST).is_file():
        return ""
    try:
        jobs = read_jobs(root)
        if moved_fault(root, [(job.command, job.file) for job in jobs.values() if job.file]):
            return ""
        pending = make_plan(root, jobs).pending
    except FaultsError:
        return ""
    scored = [job for job in jobs.values() if job.stage == "evaluate"]
    found = [
        f"{job.name} ({_why(job, jobs, pending)})"
        for job in scored
        if job.id in pending and (root / marker_of(job.id)).is_file()
    ]
    if not found:
        return ""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"{len(found)} of {len(scored)} evaluations are of older files than {folder} holds now: "
        f"{', '.join(found[:_NAMED])}{more}; cotdistill run {folder} makes them again"
    )


def _why(job: Job, jobs: Jobs, pending: Mapping[JobId, str]) -> str:
    """Return the first job before this one that has a reason of its own, with it."""
    for need in job.needs:
        if need in pending and not jobs[need].gate:
            return _why(jobs[need], jobs, pending)
    return pending[job.id] if job.stage == "evaluate" else f"{job}: {pending[job.id]}"
