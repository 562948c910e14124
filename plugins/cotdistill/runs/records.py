"""What became of each job: the record of a finished one, and of its latest attempt.

`done/<stage>/<name>.json` exists exactly while a job counts as finished. It says what the job was
made from: the digest of its settings and what each job before it made. A job whose record says
something else than the folder does now is stale. `.cotdistill/attempts/<stage>/<name>.json` is
written before a job's program starts, so that after a kill the next start knows what is in
the output folder. Both are written whole, so a kill leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cotdistill.files.atomic import write_text
from cotdistill.files.json_file import NOT_JSON
from cotdistill.runs.jobs import Job, JobId, Jobs, marker_of, settings_digest

State = Literal["running", "failed", "stopped", "finished"]
PRIVATE = ".cotdistill"
SKIPPED = "skipped"
"""The note of a record whose job was not to be done after all; it holds the reason."""
PART = "part"
"""The note of an attempt that only did what an earlier one had left: its time is a part."""
RESPONSES = "responses"
"""The note of how many responses of an evaluation an earlier attempt had left."""
RESUMED_FROM = "resumed_from"
"""The note of the checkpoint from which a training went on, `checkpoint-STEP`."""


@dataclass(frozen=True)
class JobRecord:
    """A finished job: what it was made from, a name for what it made, and how it went."""

    made_from: dict[str, str]
    made: str
    seconds: float
    finished: str
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attempt:
    """The latest attempt at a job. `run` names the `cotdistill run` that it belongs to."""

    state: State
    made_from: dict[str, str]
    process: str
    run: str
    started: str
    message: str = ""
    status: int | None = None
    log_from: int = 0
    notes: dict[str, Any] = field(default_factory=dict)


def step_of(notes: dict[str, Any]) -> int:
    """Return the step after which a training went on, 0 if it began anew.

    >>> step_of({"resumed_from": "checkpoint-20"}), step_of({})
    (20, 0)
    """
    step = str(notes.get(RESUMED_FROM, "")).rpartition("-")[2]
    return int(step) if step.isdecimal() else 0


def read_record(folder: Path, job: JobId) -> JobRecord | None:
    """Return the record of a finished job, or None; an unreadable one counts as none."""
    read = _read(folder / marker_of(job))
    with contextlib.suppress(TypeError):
        return JobRecord(**read)
    return None


def write_record(folder: Path, job: JobId, done: JobRecord) -> None:
    """Write the record that a job is finished: the last thing that a job does."""
    write_text(folder / marker_of(job), json.dumps(asdict(done), indent=1) + "\n")


def attempt_path(folder: Path, job: JobId) -> Path:
    """Return the path of the record of a job's latest attempt."""
    return folder / PRIVATE / "attempts" / job[0] / f"{job[1]}.json"


def read_attempt(folder: Path, job: JobId) -> Attempt | None:
    """Return the record of a job's latest attempt, or None."""
    read = _read(attempt_path(folder, job))
    with contextlib.suppress(TypeError):
        return Attempt(**read)
    return None


def write_attempt(folder: Path, job: JobId, attempt: Attempt) -> None:
    """Write the record of a job's latest attempt."""
    write_text(attempt_path(folder, job), json.dumps(asdict(attempt)) + "\n")


def new_make() -> str:
    """Return a name for one making of something that is too big to hash.

    >>> len(new_make()) == len(new_make()), new_make() == new_make()
    (True, False)
    """
    return secrets.token_hex(8)


def made_from(folder: Path, jobs: Jobs, job: Job) -> dict[str, str] | None:
    """Return what a job would be made from now, or None where something before it is missing."""
    parts = {"settings": settings_digest(folder, job)}
    for needed in job.needs:
        if needed not in jobs:
            continue
        done = read_record(folder, needed)
        if done is None:
            return None
        if not jobs[needed].gate:
            parts["/".join(needed)] = done.made
    return parts


def _read(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except NOT_JSON:
        return {}
    return read if isinstance(read, dict) else {}
