"""The jobs of a run folder: what `jobs.jsonl` says, a line a job.

A job is one stage of one run, or one that several runs wait for, such as the rows of an arm. It is
the one value that everything else follows from: the workflow's rules, what `run` does and in which
order, what `check` looks at, what `plan` prices. Stages declare their jobs in
`cotdistill.runfolder.stages`. Every job of a run reads this file first, so nothing heavy is loaded.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of_text
from cotdistill.files.jsonl import BadRow, Row, numbered_rows, row_line

JOBS = "jobs.jsonl"

JobId = tuple[str, str]
"""The stage and the name of a job, which no other job has."""


@dataclass(frozen=True)
class Command:
    """What a job starts: its words, its environment variables, and what it asks of the machine.

    Units: `minutes` and `memory_mb` are limits for a cluster; None asks for its default. `gpus`
        are those of each of the `nodes`.
    """

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    minutes: int | None = None
    memory_mb: int | None = None
    nodes: int = 1

    def as_typed(self) -> str:
        """Return the command as a person would type it in a shell.

        >>> Command(("llamafactory-cli", "train", "a b.yaml"), {"FORCE_TORCHRUN": "1"}).as_typed()
        "FORCE_TORCHRUN=1 llamafactory-cli train 'a b.yaml'"
        """
        variables = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        return " ".join([*variables, shlex.join(self.command)])


@dataclass(frozen=True)
class Asks:
    """What a job asks of a model by request; None where it is not known beforehand."""

    model: str
    requests: int | None = None
    prompt_tokens: int | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True)
class Job:
    """One thing to do: what it runs, what it makes, what it is made from, what it waits for.

    `command` is empty where cotdistill itself does the work; `own` is then the command that starts
    it in another environment, or empty. `file` is the configuration file that decides the result,
    `sha256` its hash; `declared` is a hash of what is not in it. `output` and `file` are relative
    to the run folder. A `gate` only looks at what others made and lets the jobs after it run or
    not: they wait for it, and are not made from it. `inputs` are the rows and the student that a
    training reads, as far as they lie in the folder. `asks` is what it costs where a model is
    asked; training is priced by `plan`. `unless` are records of earlier jobs that may say that this
    one is not to be done (`cotdistill.runfolder.skipping`).
    """

    stage: str
    name: str
    command: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    nodes: int = 1
    minutes: int | None = None
    memory_mb: int | None = None
    file: str | None = None
    sha256: str | None = None
    declared: str | None = None
    output: str | None = None
    arm: str | None = None
    student: str | None = None
    needs: tuple[JobId, ...] = ()
    gate: bool = False
    inputs: tuple[str, ...] = ()
    asks: Asks | None = None
    unless: tuple[str, ...] = ()

    @property
    def id(self) -> JobId:
        """The stage and the name, which no other job has."""
        return (self.stage, self.name)

    def __str__(self) -> str:
        return f"{self.stage} {self.name}"


Jobs = dict[JobId, Job]


def marker_of(job: JobId) -> str:
    """Return where the record of a finished job lies, relative to the run folder.

    >>> marker_of(("train", "tiny--long--full--s1"))
    'done/train/tiny--long--full--s1.json'
    """
    return f"done/{job[0]}/{job[1]}.json"


def hash_of_words(words: Iterable[str], root: Path) -> str:
    """Return a hash of a command that stays the same when its run folder is moved.

    >>> one = hash_of_words(["sample", "/a/q.jsonl"], Path("/a"))
    >>> one == hash_of_words(["sample", "/b/q.jsonl"], Path("/b"))
    True
    """
    return sha256_of_text("\n".join(words).replace(str(root), "."))


def in_order(jobs: Iterable[Job]) -> list[Job]:
    """Return jobs with each after those that it waits for, else in their own order.

    Raises:
        ValueError: two jobs have one name, or some wait for each other.

    >>> [job.name for job in in_order([Job("b", "b", needs=(("a", "a"),)), Job("a", "a")])]
    ['a', 'b']
    """
    given = list(jobs)
    left = {job.id: job for job in given}
    if len(left) != len(given):
        raise ValueError("two jobs have one name")
    done: Jobs = {}
    for first in given:
        waiting = [first.id]
        while waiting:
            job = left.get(waiting[-1])
            if job is None or job.id in done:
                waiting.pop()
                continue
            missing = [need for need in job.needs if need in left and need not in done]
            if not missing:
                done[job.id] = job
                waiting.pop()
            elif missing[0] in waiting:
                raise ValueError(f"jobs wait for each other: {job}, {left[missing[0]]}")
            else:
                waiting.append(missing[0])
    return list(done.values())


def jobs_text(jobs: Iterable[Job]) -> str:
    """Return jobs as `jobs.jsonl` has them: what a job does not have is not written."""
    return "".join(row_line(_row(job)) for job in jobs)


_FIELDS = tuple((one.name, one.default) for one in fields(Job))


def _row(job: Job) -> Row:
    row: Row = {}
    for name, default in _FIELDS:
        value = getattr(job, name)
        if value == default or (name == "env" and not value):
            continue
        row[name] = vars(value) if isinstance(value, Asks) else value
    return row


def read_declared_jobs(folder: Path) -> Jobs | None:
    """Return the jobs of a run folder, None where it has no such file (release 0.1 wrote none).

    Raises:
        DataError: lines of it are broken; all at once.
    """
    path = folder / JOBS
    if not path.is_file():
        return None
    jobs: Jobs = {}
    faults = []
    for number, row in numbered_rows(path):
        wrong = row.why if isinstance(row, BadRow) else _wrong_with(row)
        if not wrong and not isinstance(row, BadRow):
            job = _job(row)
            wrong = f"the job '{job}' is there twice" if job.id in jobs else ""
            jobs[job.id] = job
        if wrong:
            remedy = f"generate it again: cotdistill generate STUDY -o {folder}"
            faults.append(Fault(f"{path}:{number}", f"not a job ({wrong})", "", remedy))
    if faults:
        raise DataError(faults)
    return jobs


def _job(row: Row) -> Job:
    known = {name: row[name] for name, _ in _FIELDS if name in row}
    known["command"] = tuple(known.get("command", ()))
    known["inputs"] = tuple(known.get("inputs", ()))
    known["own"] = tuple(known.get("own", ()))
    known["unless"] = tuple(known.get("unless", ()))
    known["needs"] = tuple((stage, name) for stage, name in known.get("needs", ()))
    if "asks" in known:
        known["asks"] = Asks(**known["asks"])
    return Job(**known)


_TEXTS = ("stage", "name", "file", "sha256", "declared", "output", "arm", "student")
_NUMBERS = ("gpus", "nodes", "minutes", "memory_mb")


def _wrong_with(row: Row) -> str:
    """Return what is wrong with a line, or an empty text."""
    missing = [name for name in ("stage", "name") if name not in row]
    wrong = [f"no {', '.join(missing)}"] if missing else []
    wrong += [
        f"{name}: {_shown(row[name])} is not a name inside the folder"
        for name in _TEXTS
        if name in row and not _is_inside(row[name])
    ]
    wrong += [
        f"{name}: {_shown(row[name])} is not a whole number of 0 or more"
        for name in _NUMBERS
        if name in row and not _is_count(row[name])
    ]
    wrong += [
        f"{name}: {_shown(row[name])} is not a list of words"
        for name in ("command", "own", "inputs", "unless")
        if name in row and not _are_words(row[name])
    ]
    needs = row.get("needs", [])
    if not isinstance(needs, list) or not all(_are_words(n) and len(n) == 2 for n in needs):
        wrong.append(f"needs: {_shown(needs)} is not a list of stages and names")
    env = row.get("env", {})
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        wrong.append(f"env: {_shown(env)} is not an object of texts")
    asks = row.get("asks", {"model": ""})
    if not isinstance(asks, dict) or "model" not in asks or set(asks) - _ASKS:
        wrong.append(f"asks: {_shown(asks)} is not what a model is asked")
    return "; ".join(wrong)


_ASKS = {one.name for one in fields(Asks)}


def _is_inside(value: Any) -> bool:
    if not isinstance(value, str) or not value or value.startswith("/"):
        return False
    return ".." not in value.split("/")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(w, str) for w in value)


def _shown(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def names(jobs: Iterable[Job], stages: Sequence[str]) -> tuple[JobId, ...]:
    """Return the names of the jobs of some stages."""
    return tuple(job.id for job in jobs if job.stage in stages)
