"""The jobs of a run folder and what each waits for, read from its manifest.

A job is one stage of one run, or the preparing of one arm or scratch student, or the collecting of
all scores. This module is the only place that knows the order; the Snakefile asks it, and so do the
plan and the step. It loads nothing heavy, because every job starts with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean
from cotdistill.runfolder.manifest import Command, ManifestRun, read_manifest

Stage = Literal["prepare", "train", "export", "evaluate", "collect"]
STAGES: tuple[Stage, ...] = get_args(Stage)
COLLECT = "report"

JobId = tuple[Stage, str]


@dataclass(frozen=True)
class Job:
    """One thing to do: what it runs, what it makes, what it is made from, what it waits for.

    `command` is empty where cotdistill itself does the work; `own` is then the command that starts
    it in another environment, or empty. `file` is the configuration file that decides the result;
    `declared` is the manifest's hash of what has no file. A `gate` only looks at what others made
    and lets the jobs after it run or not: they wait for it, and are not made from it. `inputs` are
    the rows and the student that a training reads, as far as they lie in the folder.
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
    gate: bool = False
    inputs: tuple[str, ...] = ()

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
    jobs: Jobs = {}
    runs = read_manifest(folder)
    for run in runs:
        for job in _jobs_of_run(run):
            jobs.setdefault(job.id, job)
    for gate in _gates(runs):
        jobs[gate.id] = gate
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


def _gate_of(arm: str) -> JobId:
    return ("prepare", f"{arm}+lengths")  # no name of an arm or a student holds a plus


def _gates(runs: Sequence[ManifestRun]) -> Iterator[Job]:
    """Yield the check of each arm's lengths, after its rows and the students made for it."""
    of_arm: dict[str, list[ManifestRun]] = {}
    for run in runs:
        if run.sha256.lengths:
            of_arm.setdefault(run.arm, []).append(run)
    for arm, its in of_arm.items():
        data = [("prepare", Path(run.files.data).stem) for run in its if run.files.data]
        made = [("prepare", Path(run.files.student).name) for run in its if run.files.student]
        needs: dict[JobId, None] = dict.fromkeys(cast("list[JobId]", [*data, *made]))
        prepare = its[0].stages.prepare
        yield Job(
            *_gate_of(arm),
            own=prepare.command if prepare else (),
            declared=" ".join(sorted({str(run.sha256.lengths) for run in its})),
            output=f"data/{arm}.lengths.json",
            arm=arm,
            needs=tuple(needs),
            gate=True,
        )


def _jobs_of_run(run: ManifestRun) -> Iterator[Job]:
    files, outputs, stages, hashes = run.files, run.outputs, run.stages, run.sha256
    own = stages.prepare.command if stages.prepare else ()
    needs: tuple[JobId, ...] = ()
    if files.data:
        rows = Job(
            "prepare",
            Path(files.data).stem,
            own=own,
            declared=hashes.data,
            output=files.data,
            arm=run.arm,
        )
        yield rows
        needs = (rows.id,)
    if files.student:
        student = Job(
            "prepare",
            Path(files.student).name,
            own=own,
            declared=hashes.student,
            output=files.student,
            arm=run.arm,
            student=run.student,
            needs=needs,
        )
        yield student
        needs = (*needs, student.id)
    if hashes.lengths:
        needs = (*needs, _gate_of(run.arm))
    programs: tuple[tuple[Stage, Command | None, str | None, str | None], ...] = (
        ("train", stages.train, files.train, outputs.train),
        ("export", stages.export, files.export, outputs.export),
        ("evaluate", stages.evaluate, files.eval, outputs.evaluate),
    )
    inputs = tuple(name for name in (files.data, files.student) if name)
    for stage, command, file, output in programs:
        if command is None:
            continue
        yield Job(
            stage,
            run.run,
            command=command.command,
            env=dict(command.env),
            gpus=command.gpus,
            minutes=command.minutes,
            memory_mb=command.memory_mb,
            file=file,
            output=output,
            arm=run.arm,
            needs=needs,
            inputs=inputs if stage == "train" else (),
        )
        needs = ((stage, run.run),)
