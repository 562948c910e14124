"""One job of a run folder, from its lock to the record that it is finished.

A workflow rule calls this. The host's exit status is not believed: what it should have written is
checked before the job counts as done. A job can be killed at any moment and started again.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from cotdistill.errors import DataError, Fault, FaultsError, MisuseError, UserError, did_you_mean
from cotdistill.files.atomic import sha256_of
from cotdistill.files.locks import free_lock, lock_holder, take_lock
from cotdistill.hosts.hub_commits import commits_used
from cotdistill.hosts.machine.gpus import Devices, slots_folder, take_devices
from cotdistill.hosts.machine.processes import is_gone, marked, own_identity, stop
from cotdistill.hosts.machine.program import (
    StoppedError,
    program_fault,
    run_program,
    search_path,
    versions_next_to,
)
from cotdistill.hosts.slurm import on_all_nodes
from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runfolder.skipping import why_skipped
from cotdistill.runfolder.stages import stage_called
from cotdistill.runs.jobs import Job, log_of, read_jobs, stage_of
from cotdistill.runs.log_errors import lines_that_matter
from cotdistill.runs.output_folder import StartingPoint, prepare_output_folder
from cotdistill.runs.records import (
    PART,
    PRIVATE,
    RESPONSES,
    RESUMED_FROM,
    SKIPPED,
    Attempt,
    JobRecord,
    made_from,
    new_make,
    read_attempt,
    read_record,
    write_attempt,
    write_record,
)

RUN_PROCESS = "COTDISTILL_RUN_PROCESS"
RUN_ID = "COTDISTILL_RUN_ID"
GPUS = "COTDISTILL_GPUS"
THREADS = "COTDISTILL_THREADS"
JOB = "COTDISTILL_JOB"
STOPPED_STATUS = 143
_TRAINED_WITH = ("llamafactory", "transformers", "torch", "peft", "trl", "deepspeed")
"""Distributions whose versions the record of a training names."""


@dataclass(frozen=True)
class _Context:
    """What an attempt works with: the folder, the job, what it is made from, and its open log."""

    folder: Path
    job: Job
    made_from: dict[str, str]
    log: IO[bytes]
    locks: tuple[int, ...]
    is_orphaned: Callable[[], bool]


@in_recorded_bundles
def run_step(folder: Path, stage: str, name: str) -> int:
    """Do one job, unless it is done, and return the exit status: 0 done, 1 failed, 143 stopped.

    Raises:
        DataError: not a run folder, or a job before this one is not finished.
        MisuseError: there is no such job.
    """
    folder = folder.resolve()
    jobs = read_jobs(folder)
    job = jobs.get((stage_of(stage), name))
    if job is None:
        hint = did_you_mean(name, [n for s, n in jobs if s == stage])
        raise MisuseError(f"{folder}: no {stage} job '{name}'; {hint}")
    is_orphaned = _watch()
    lock = _locked(folder, job, is_orphaned)
    try:
        parts = made_from(folder, jobs, job)
        if parts is None:
            waits = [n for n in job.needs if read_record(folder, n) is None]
            missing = ", ".join(" ".join(need) for need in waits)
            raise DataError(Fault(f"{folder}: {job}", f"waits for {missing}", "", "run that first"))
        done = read_record(folder, job.id)
        if done is not None and done.made_from == parts:
            _say(f"{job}: finished before, at {done.finished}")
            return 0
        if why := why_skipped(folder, job):
            return _skip(folder, job, parts, why)
        stop(lambda: marked(JOB, _mark(folder, job)))
        log = folder / log_of(job.id)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            return _attempt(_Context(folder, job, parts, stream, (lock,), is_orphaned))
    finally:
        free_lock(lock)


def _skip(folder: Path, job: Job, parts: dict[str, str], why: str) -> int:
    """Record a job as skipped; a decision lets the next round know."""
    if job.stage == "decide":
        from cotdistill.improve.decide import pass_on

        pass_on(folder, job.name)
    made = hashlib.sha256(why.encode()).hexdigest()
    write_record(folder, job.id, JobRecord(parts, made, 0.0, _now(), {SKIPPED: why}))
    _say(f"{job}: skipped ({why})")
    return 0


def _attempt(at: _Context) -> int:
    job, started, clock = at.job, _now(), time.monotonic()
    before = read_attempt(at.folder, job.id)
    start = prepare_output_folder(at.folder, job, at.made_from, before)
    attempt = Attempt(
        state="running",
        made_from=at.made_from,
        process=own_identity(),
        run=os.environ.get(RUN_ID, ""),
        started=started,
        log_from=at.log.tell(),
        notes=_notes(start),
    )
    devices = Devices((), ())
    try:
        if not start.complete:
            devices = _devices(at)
            if devices.ids:
                attempt = replace(attempt, notes=attempt.notes | {"gpus": list(devices.ids)})
            write_attempt(at.folder, job.id, attempt)
            status = _host(at, start, devices)
            attempt = replace(attempt, status=status)
            if status != 0:
                return _failed(at, attempt, _ending(status))
        if fault := _outcome_fault(at.folder, job):
            return _failed(at, attempt, fault)
        stage = stage_called(job.stage)
        if stage is not None and job.output and not start.adopted:
            stage.tidy(at.folder / job.output)
        if job.stage == "train" and job.file and not start.complete:
            commits = commits_used(at.folder / job.file, at.folder / "dataset_info.json")
            words = _command(at.folder, job, start)
            versions = versions_next_to(words[0], _TRAINED_WITH, os.environ)
            noted = {"hub_commits": commits, "versions": versions}
            noted = {name: found for name, found in noted.items() if found}
            attempt = replace(attempt, notes=attempt.notes | noted)
    except StoppedError as stopped:
        why = str(stopped) or "the run that started it is gone"
        write_attempt(at.folder, job.id, replace(attempt, state="stopped", message=why))
        _say(f"{job}: stopped ({why})")
        return STOPPED_STATUS
    except UserError as error:
        return _failed(at, attempt, str(error))
    finally:
        devices.free()
    done = JobRecord(
        made_from=at.made_from,
        made=_made(at.folder, job),
        seconds=round(time.monotonic() - clock, 3),
        finished=_now(),
        notes=attempt.notes,
    )
    write_record(at.folder, job.id, done)
    write_attempt(at.folder, job.id, replace(attempt, state="finished"))
    return 0


def _notes(start: StartingPoint) -> dict[str, Any]:
    resumed_from = start.resume_from and start.resume_from.name
    notes: dict[str, Any] = {"start": start.note, RESUMED_FROM: resumed_from}
    notes |= {PART: start.is_part, RESPONSES: start.responses}
    return {key: value for key, value in notes.items() if value}


def _command(folder: Path, job: Job, start: StartingPoint) -> list[str]:
    """The words that start a job's program; cotdistill itself runs in this Python by default."""
    command = list(job.command)
    if not command:
        command = [*(job.own or ("cotdistill",)), "step", job.stage, job.name]
        command += ["--folder", str(folder), "--inside"]
    if command[0] == "cotdistill":
        command[:1] = [sys.executable, "-P", "-m", "cotdistill"]
    if start.resume_from is not None:
        command += [f"resume_from_checkpoint={start.resume_from}", "overwrite_output_dir=false"]
    return command


def _host(at: _Context, start: StartingPoint, devices: Devices) -> int:
    job = at.job
    command = _command(at.folder, job, start)
    env = dict(os.environ) | dict(job.env) | {JOB: _mark(at.folder, job), "PYTHONUNBUFFERED": "1"}
    env["PATH"] = search_path(env)
    if GPUS in os.environ:  # a run on this machine deals out devices; a cluster does it itself
        env["CUDA_VISIBLE_DEVICES"] = ",".join(devices.ids)
    if not devices.ids and THREADS in os.environ:
        env.setdefault("OMP_NUM_THREADS", os.environ[THREADS])
    if fault := program_fault(job.stage, command, env):
        raise FaultsError(fault)
    if job.nodes > 1:
        command, variables = on_all_nodes(command, job.nodes, env, str(job))
        env |= variables
    gpus = f", GPU {','.join(devices.ids)}" if devices.ids else ""
    head = f"=== {job}, {_now()}{gpus}{', ' + start.note if start.note else ''}\n"
    at.log.write(f"{head}=== {shlex.join(command)}\n".encode())
    at.log.flush()
    locks = (*at.locks, *devices.locks)
    return run_program(command, env, at.folder, at.log, locks, at.is_orphaned)


def _devices(at: _Context) -> Devices:
    visible = os.environ.get(GPUS, "")
    if not at.job.gpus or not visible:
        return Devices((), ())

    def keep_waiting() -> None:
        if at.is_orphaned():
            raise StoppedError

    holder = f"{at.folder}: {at.job} ({own_identity()})"
    return take_devices(at.job.gpus, visible.split(","), slots_folder(), holder, keep_waiting)


def _outcome_fault(folder: Path, job: Job) -> str:
    """Return why a host's exit status 0 is not believed, or an empty text; fixes exports."""
    stage = stage_called(job.stage)
    assert stage is not None
    output = folder / (job.output or "")
    if not stage.remakes and not stage.is_local and not output.exists():
        return f"nothing was written to {job.output}"
    return stage.fault(output)


def _made(folder: Path, job: Job) -> str:
    """Name what a job made: by its bytes where it is small and the same each time, else anew."""
    output = folder / (job.output or "")
    stage = stage_called(job.stage)
    if stage is None or stage.remakes or stage.is_local:
        return new_make()
    files = sorted(output.rglob("[!.]*")) if output.is_dir() else [output]  # a lock is nothing made
    digests = [f"{f.relative_to(folder)} {sha256_of(f)}" for f in files if f.is_file()]
    return digests[0].split()[-1] if len(digests) == 1 else _digest(digests)


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _failed(at: _Context, attempt: Attempt, message: str) -> int:
    at.log.flush()
    log = at.folder / log_of(at.job.id)
    lines = lines_that_matter(log, attempt.log_from) if attempt.status else []
    text = "\n".join([message, *(line for line in lines if not line.startswith("=== "))])
    write_attempt(at.folder, at.job.id, replace(attempt, state="failed", message=text))
    at.log.write(f"=== failed: {message}\n".encode())
    _say(f"{at.job}: failed: {message}; see {log}")
    return 1


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    hint = ", as the kernel does when memory runs out" if status == -9 else ""
    return f"killed by signal {-status}{hint}"


def _locked(folder: Path, job: Job, is_orphaned: Callable[[], bool]) -> int:
    """Wait for the job's lock: whoever holds it works in the same output folder."""
    path = folder / PRIVATE / "locks" / f"{job.stage}--{job.name}.lock"
    announced = False
    while (lock := take_lock(path, own_identity())) is None:
        if is_orphaned():
            raise FaultsError(Fault(str(job), "the run that started it is gone"))
        if not announced:
            _say(f"{job}: waiting for {lock_holder(path) or 'another process'}, which works on it")
            announced = True
        stop(lambda: _leftovers(folder, job))
        time.sleep(0.5)
    return lock


def _leftovers(folder: Path, job: Job) -> list[int]:
    """Return the programs of this job on this machine whose own step is gone."""
    before = read_attempt(folder, job.id)
    if before is None or not is_gone(before.process):
        return []
    return marked(JOB, _mark(folder, job))


def _watch() -> Callable[[], bool]:
    """Return whether the one that this step works for has died since."""
    parent, run = os.getppid(), os.environ.get(RUN_PROCESS, "")

    def is_orphaned() -> bool:
        return os.getppid() != parent or bool(run and is_gone(run))

    return is_orphaned


def _mark(folder: Path, job: Job) -> str:
    return f"{folder}::{job.stage}/{job.name}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
