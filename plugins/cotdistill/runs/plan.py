"""What a run of the folder would do, and why: by what each job was made from, never by the clock.

Time stamps change when a folder is copied; digests do not. So Snakemake only learns which records
are missing, and this decides which of them no longer count.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import Fault, MisuseError, did_you_mean
from cotdistill.files.stale import move_to_stale
from cotdistill.runfolder.stages import STAGES as ALL_STAGES
from cotdistill.runs.jobs import STAGES, Job, JobId, Jobs, marker_of
from cotdistill.runs.records import SKIPPED, made_from, read_attempt, read_record

REMAKES = tuple(stage.name for stage in ALL_STAGES if stage.remakes)
"""Stages whose result is another one each time, so that what follows must be made again too."""


@dataclass(frozen=True)
class Plan:
    """What is to run, each with its reason; what stays; whose results no longer hold.

    `targets` are the wanted jobs and all that are pending: Snakemake does not ask for a job whose
    record is gone if those that wait for it are done. `obstacles` are what would keep this machine,
    but not another one, from running it; `moves` say what would become of results that are there
    already.
    """

    pending: dict[JobId, str]
    finished: tuple[JobId, ...]
    outdated: tuple[JobId, ...]
    targets: tuple[JobId, ...]
    obstacles: tuple[Fault, ...] = ()
    moves: tuple[str, ...] = ()


def make_plan(folder: Path, jobs: Jobs, only: Sequence[str] = ()) -> Plan:
    """Return what would run now; reads the folder and changes nothing.

    `only` holds stage names and patterns of run names (as in a shell, in upper or lower case); a
    job is wanted if it matches a stage, where stages are named, and a pattern, where patterns are.
    What a wanted job waits for is run as well.

    Raises:
        MisuseError: a pattern matches nothing.
        DataError: a configuration file is missing.
    """
    wanted = _wanted(jobs, only)
    chosen = _with_needs(jobs, wanted)
    reasons = _reasons(folder, jobs)
    pending = {job: reasons[job] for job in jobs if job in chosen and job in reasons}
    while added := _gone_but_needed(folder, jobs, pending):
        pending |= added
        later = {j: _after(jobs[j], pending) for j in jobs if j in chosen and j not in pending}
        pending |= {job: reason for job, reason in later.items() if reason}
    pending = {job: pending[job] for job in jobs if job in pending}
    return Plan(
        pending=pending,
        finished=tuple(job for job in jobs if job in chosen and job not in pending),
        outdated=tuple(_outdated(folder, jobs, pending)),
        targets=tuple(job for job in jobs if job in pending or job in wanted),
    )


def retire(folder: Path, jobs: Jobs, outdated: Sequence[JobId]) -> list[str]:
    """Move the results that no longer hold to `stale/`, and return where to."""
    moved = []
    for job in outdated:
        move_to_stale(folder, marker_of(job))
        output = jobs[job].output
        if output and has_own_folder(jobs[job]) and (place := move_to_stale(folder, output)):
            moved.append(place)
    return moved


def has_own_folder(job: Job) -> bool:
    """Whether a job starts in a clean output folder; rows and the report are rewritten in place."""
    return job.stage in REMAKES or job.student is not None


def _wanted(jobs: Jobs, only: Sequence[str]) -> list[JobId]:
    stages = [word.lower() for word in only if word.lower() in STAGES]
    patterns = [word for word in only if word.lower() not in STAGES]
    names = list(dict.fromkeys(name for _, name in jobs))
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            known = did_you_mean(pattern, [*STAGES, *names])
            raise MisuseError(f"--only {pattern}: matches no stage and no run; {known}")
    return [
        (stage, name)
        for stage, name in jobs
        if (not stages or stage in stages)
        and (not patterns or any(_matches(name, pattern) for pattern in patterns))
    ]


def _matches(name: str, pattern: str) -> bool:
    """Whether a name matches a shell's pattern; the names of runs never differ by case alone."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def _with_needs(jobs: Jobs, targets: Sequence[JobId]) -> set[JobId]:
    chosen: set[JobId] = set()
    left = list(targets)
    while left:
        job = left.pop()
        if job in jobs and job not in chosen:
            chosen.add(job)
            left += jobs[job].needs
    return chosen


def _reasons(folder: Path, jobs: Jobs) -> dict[JobId, str]:
    """Return every job that would have to run, in order, with its reason."""
    reasons: dict[JobId, str] = {}
    for job in jobs.values():
        reason = _reason(folder, jobs, job, reasons)
        if reason:
            reasons[job.id] = reason
    return reasons


def _reason(folder: Path, jobs: Jobs, job: Job, pending: dict[JobId, str]) -> str:
    done = read_record(folder, job.id)
    if done is None:
        attempt = read_attempt(folder, job.id)
        before = {"running": "was interrupted", "stopped": "was interrupted", "failed": "failed"}
        return "not run yet" if attempt is None else before.get(attempt.state, "its record is gone")
    now = made_from(folder, jobs, job) or {}
    for part, value in done.made_from.items():
        if part in now and now[part] != value:
            made_again = f"{part.replace('/', ' ')} was made again"
            return f"{_settings_of(job)} changed" if part == "settings" else made_again
    if now and set(now) != set(done.made_from):
        return "it waits for other jobs than it did"
    return _after(job, pending)


def _settings_of(job: Job) -> str:
    """Return what `settings_digest` reads of a job, in words."""
    if job.file is None:
        return "its declaration"
    return f"{job.file}, or a file or the questions of its tasks," if job.declared else job.file


def _after(job: Job, pending: dict[JobId, str]) -> str:
    for need in job.needs:
        if need in pending and (need[0] in REMAKES or job.stage == "collect"):
            return f"after {' '.join(need)}"
    return ""


def _gone_but_needed(folder: Path, jobs: Jobs, pending: dict[JobId, str]) -> dict[JobId, str]:
    """Return finished jobs whose output was deleted although a job that will run reads it."""
    found: dict[JobId, str] = {}
    for job in pending:
        for need in jobs[job].needs:
            if job[0] == "collect" or need not in jobs or need in pending:
                continue
            output = jobs[need].output
            done = read_record(folder, need)
            if done is not None and SKIPPED in done.notes:
                continue
            if output and not (folder / output).exists():
                found[need] = f"{output} is gone and {' '.join(job)} reads it"
    return found


def _outdated(folder: Path, jobs: Jobs, pending: dict[JobId, str]) -> list[JobId]:
    """Return finished jobs whose results do not hold any more, wanted now or not."""
    lost = {job for job in pending if (folder / marker_of(job)).exists()}
    remade = {job for job in pending if job[0] in REMAKES}
    for job in jobs.values():  # in order, so one pass reaches everything behind
        if any(need in remade for need in job.needs) and job.stage in REMAKES:
            remade.add(job.id)
            if (folder / marker_of(job.id)).exists():
                lost.add(job.id)
    return [job for job in jobs if job in lost]
