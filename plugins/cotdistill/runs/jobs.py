"""The jobs of a run folder and what each waits for, read from its manifest.

A job is one stage of one run, or the preparing of one arm or scratch student, or the collecting of
all scores. This module is the only place that knows the order; the Snakefile asks it, and so do the
plan and the step. It loads nothing heavy, because every job starts with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean
from cotdistill.files.jsonl import Row, read_rows

Stage = Literal["prepare", "train", "export", "evaluate", "collect"]
STAGES: tuple[Stage, ...] = get_args(Stage)
COLLECT = "report"

JobId = tuple[Stage, str]


@dataclass(frozen=True)
class Job:
    """One thing to do: what it runs, what it makes, what it is made from, what it waits for.

    `command` is empty where the work is done by cotdistill itself, then `own` is what starts it in
    another environment, or empty. `file` is the configuration file
    that decides the result; `declared` is the manifest's hash of what has no file.
    """

    stage: Stage
    name: str
    command: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    gpus: int = 0
    minutes: int | None = None
    memory_mb: int | None = None
    file: str | None = None
    declared: str | None = None
    output: str | None = None
    arm: str | None = None
    student: str | None = None
    needs: tuple[JobId, ...] = ()

    @property
    def id(self) -> JobId:
        """The stage and the name, which no other job has."""
        return (self.stage, self.name)

    def __str__(self) -> str:
        return f"{self.stage} {self.name}"


Jobs = dict[JobId, Job]


def read_jobs(folder: Path) -> Jobs:
    """Return all jobs of a run folder, each after those it waits for.

    Raises:
        DataError: it is not a run folder, or lines of its manifest are broken; all at once.
    """
    path = folder / "manifest.jsonl"
    if not path.is_file():
        there = (
            "not a run folder (it has no manifest.jsonl)" if folder.is_dir() else "no such folder"
        )
        remedy = f"make one: cotdistill generate STUDY -o {folder}"
        raise DataError(Fault(str(folder), there, "what `cotdistill generate` writes", remedy))
    jobs: Jobs = {}
    faults: list[Fault] = []
    runs: dict[str, int] = {}
    for number, row in enumerate(read_rows(path), start=1):
        place = f"{path}:{number}"
        try:
            run = _text(row, "run")
            if runs.setdefault(run, number) != number:
                faults.append(Fault(place, f"the run '{run}' stands twice, first in {runs[run]}"))
            for job in _jobs_of_run(row, run):
                jobs.setdefault(job.id, job)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            remedy = f"generate it again: cotdistill generate STUDY -o {folder}"
            faults.append(Fault(place, f"not a run ({what})", "", remedy))
    if faults:
        raise DataError(faults)
    scored = tuple(job.id for job in jobs.values() if job.stage == "evaluate")
    collect = Job("collect", COLLECT, output="report", needs=scored)
    order = {stage: number for number, stage in enumerate(STAGES)}
    return {
        job.id: job for job in sorted([*jobs.values(), collect], key=lambda job: order[job.stage])
    }


def stage_of(word: str) -> Stage:
    """Return a word as a stage.

    Raises:
        MisuseError: there is no such stage.
    """
    for stage in STAGES:
        if stage == word:
            return stage
    raise MisuseError(f"no stage '{word}'; {did_you_mean(word, STAGES)}")


def marker_of(job: JobId) -> str:
    """Return where the record of a finished job lies, relative to the run folder.

    >>> marker_of(("train", "tiny--long--full--s1"))
    'done/train/tiny--long--full--s1.json'
    """
    return f"done/{job[0]}/{job[1]}.json"


def log_of(job: JobId) -> str:
    """Return where the log of a job lies, relative to the run folder.

    >>> log_of(("train", "tiny--long--full--s1"))
    'logs/train/tiny--long--full--s1.log'
    """
    return f"logs/{job[0]}/{job[1]}.log"


def settings_digest(folder: Path, job: Job) -> str:
    """Return a hash of the settings that decide a job's result.

    The run folder's own path and the comment at the head of a file do not count, so that a folder
    which was moved and generated again is not trained again. The command line does not count
    either: an environment that moved makes the same model.

    Raises:
        DataError: the job's configuration file cannot be read.
    """
    if job.file is None:
        return hashlib.sha256((job.declared or job.stage).encode()).hexdigest()
    path = folder / job.file
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        wrong = f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
        raise DataError(Fault(str(path), wrong, "", "generate the folder again")) from error
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    text = "\n".join(lines[first:]).replace(str(folder), ".")
    return hashlib.sha256(text.encode()).hexdigest()


def _jobs_of_run(row: Row, run: str) -> Iterator[Job]:
    files, outputs, stages, hashes = (row[k] for k in ("files", "outputs", "stages", "sha256"))
    waits: tuple[JobId, ...] = ()
    prepare = stages.get("prepare")
    own = tuple(_words(prepare["command"])) if prepare else ()
    if files.get("data"):
        name = Path(_text(files, "data")).stem
        arm = _text(row, "arm")
        yield Job("prepare", name, declared=hashes["data"], own=own, output=files["data"], arm=arm)
        waits = (("prepare", name),)
    if files.get("student"):
        yield Job(
            "prepare",
            Path(_text(files, "student")).name,
            own=own,
            declared=hashes["student"],
            output=files["student"],
            arm=_text(row, "arm"),
            student=_text(row, "student"),
            needs=waits,
        )
        waits = (*waits, ("prepare", Path(files["student"]).name))
    keys: tuple[tuple[Stage, str], ...]
    keys = (("train", "train"), ("export", "export"), ("evaluate", "eval"))
    for stage, key in keys:
        if stages.get(stage) is None:
            continue
        yield Job(
            stage,
            run,
            command=tuple(_words(stages[stage]["command"])),
            env={str(k): str(v) for k, v in stages[stage].get("env", {}).items()},
            gpus=_count(stages[stage].get("gpus", 0), "gpus"),
            minutes=_optional(stages[stage], "minutes"),
            memory_mb=_optional(stages[stage], "memory_mb"),
            file=_text(files, key),
            output=_text(outputs, stage),
            arm=row.get("arm"),
            needs=waits,
        )
        waits = ((stage, run),)


def _text(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if not isinstance(value, str) or not value or value.startswith("/") or ".." in value:
        raise ValueError(f"{key}: {json.dumps(value)} is not a name inside the folder")
    return value


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(w, str) for w in value):
        raise ValueError(f"command: {json.dumps(value)} is not a list of words")
    return value


def _count(value: Any, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{key}: {json.dumps(value)} is not a whole number")
    return value


def _optional(stage: dict[str, Any], key: str) -> int | None:
    return None if stage.get(key) is None else _count(stage[key], key)
