"""The jobs of a run folder and what each waits for.

`jobs.jsonl` has them, each after those that it waits for; where release 0.1 wrote none, they follow
from the manifest. The collecting of all scores comes last. The Snakefile asks this module, and so
do the plan and the step. It loads nothing heavy, because every job starts with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from cotdistill.distill.paths import distillation_path
from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean
from cotdistill.runfolder.job import (
    Command,
    Job,
    JobId,
    Jobs,
    in_order,
    marker_of,
    names,
    read_declared_jobs,
)
from cotdistill.runfolder.manifest import ManifestRun, no_jobs_fault, read_manifest
from cotdistill.runfolder.stages import STAGES as ALL_STAGES
from cotdistill.runfolder.stages import stage_called

__all__ = ["STAGES", "Job", "JobId", "Jobs", "log_of", "marker_of", "read_jobs", "stage_of"]

STAGES = tuple(stage.name for stage in ALL_STAGES)
COLLECT = "report"


def read_jobs(folder: Path) -> Jobs:
    """Return all jobs of a run folder, each after those it waits for.

    Raises:
        DataError: it is not a run folder, or lines of its files are broken; all at once.
    """
    declared = read_declared_jobs(folder)
    runs = read_manifest(folder, for_results=declared is not None)
    if declared is None and (missing := no_jobs_fault(folder, runs)):
        raise DataError(missing)
    jobs = _jobs_of_manifest(runs) if declared is None else _known(declared, folder)
    scored = names(jobs.values(), ("evaluate", "judge"))
    collect = Job("collect", COLLECT, output="report", needs=scored)
    return {**jobs, collect.id: collect}


def _known(jobs: Jobs, folder: Path) -> Jobs:
    """Return declared jobs in order.

    Raises:
        DataError: a stage is not known, or a job waits for one that is not there.
    """
    faults = []
    for job in jobs.values():
        if stage_called(job.stage) is None:
            faults.append(Fault(f"{folder}: {job}", "no such stage", "", "upgrade cotdistill"))
        faults += [
            Fault(f"{folder}: {job}", f"waits for {' '.join(need)}, which is no job")
            for need in job.needs
            if need not in jobs
        ]
    if faults:
        raise DataError(faults)
    try:
        return {job.id: job for job in in_order(jobs.values())}
    except ValueError as error:
        raise DataError(Fault(str(folder), str(error), "", "generate it again")) from error


def _jobs_of_manifest(runs: tuple[ManifestRun, ...]) -> Jobs:
    jobs: Jobs = {}
    for run in runs:
        for job in _jobs_of_run(run):
            jobs.setdefault(job.id, job)
    for gate in _gates(runs):
        jobs[gate.id] = gate
    order = {stage: number for number, stage in enumerate(STAGES)}
    return {job.id: job for job in sorted(jobs.values(), key=lambda job: order[job.stage])}


def stage_of(word: str) -> str:
    """Return a word as a stage.

    Raises:
        MisuseError: there is no such stage.
    """
    if stage_called(word) is None:
        raise MisuseError(f"no stage '{word}'; {did_you_mean(word, STAGES)}")
    return word


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
    block = distillation_path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if job.stage == "train" and block.is_file():
            lines += block.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        wrong = f"cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"
        raise DataError(Fault(str(path), wrong, "", "generate the folder again")) from error
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), 0)
    text = "\n".join(lines[first:]).replace(str(folder), ".") + (job.declared or "")
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
        needs: dict[JobId, None] = dict.fromkeys([*data, *made])
        stages = its[0].stages
        prepare = stages.prepare if stages else None
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
    assert stages is not None
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
    programs: tuple[tuple[str, Command | None, str | None, str | None], ...] = (
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
