"""Run all of a run folder: decide what is to do, start Snakemake, watch it, clear up behind it.

There is one way to stop and it is the way a kill goes: Snakemake is killed, the jobs' programs
notice that they work for nobody, and the next start looks at what is there. So a kill -9 at any
moment needs no care of its own.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cotdistill.benchmarks.needed import bring_questions
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.machine.processes import marked, own_identity, stop
from cotdistill.hosts.snakemake import (
    clear_dead_lock,
    is_cluster,
    snakemake_command,
    start_snakemake,
)
from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runfolder.run_lock import working_alone
from cotdistill.runs.jobs import Job, JobId, Jobs, log_of, marker_of, read_jobs
from cotdistill.runs.log_errors import lines_that_matter
from cotdistill.runs.options import (
    RunOptions,
    check_run,
    cores_here,
    devices_to_use,
    folder_faults,
    jobs_at_once,
    machine_faults,
)
from cotdistill.runs.output_folder import foreseen
from cotdistill.runs.plan import Plan, has_own_folder, make_plan, retire
from cotdistill.runs.records import made_from
from cotdistill.runs.step import GPUS, RUN_ID, RUN_PROCESS, THREADS
from cotdistill.runs.watch import Event, Watch

FOLDER_MARK = "COTDISTILL_FOLDER"
LOG = "logs/snakemake.log"
_MOST_ROUNDS = 5


@dataclass(frozen=True)
class Failure:
    """A job that failed: its name, its log, and the lines that say why."""

    job: str
    log: Path
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.job} failed; its log: {self.log}", *("    " + x for x in self.lines)]
        )


@dataclass(frozen=True)
class Ran:
    """What a run did: jobs done now, jobs done before, failed, and never came to run."""

    done: tuple[JobId, ...]
    before: tuple[JobId, ...]
    failures: tuple[Failure, ...]
    left: tuple[JobId, ...]
    seconds: float
    moved: tuple[str, ...] = field(default=())


Tell = Callable[[list[Event], str], None]


@in_recorded_bundles
def planned(folder: Path, options: RunOptions) -> Plan:
    """Return what `run` would do, and why; changes nothing and needs no lock.

    What this machine lacks (GPUs, programs) is named in the plan, for it may be run on another.

    Raises:
        FaultsError: everything in the folder that would keep it from starting.
    """
    folder = folder.resolve()
    jobs = read_jobs(folder)
    plan = make_plan(folder, jobs, options.only)
    if faults := folder_faults(folder, jobs, plan):
        raise FaultsError(faults)
    return replace(
        plan,
        obstacles=tuple(machine_faults(jobs, plan, options)),
        moves=tuple(_moves(folder, jobs, plan)),
    )


def _moves(folder: Path, jobs: Jobs, plan: Plan) -> Iterator[str]:
    """Yield what a run would do first with the results that are there already."""
    for job in plan.outdated:
        output = jobs[job].output
        if output and has_own_folder(jobs[job]) and (folder / output).exists():
            why = plan.pending.get(job, "what it was made from is made again")
            yield f"would move {output} to stale/: {why}"
    for job in plan.pending:
        if job not in plan.outdated:
            found = foreseen(folder, jobs[job], made_from(folder, jobs, jobs[job]))
            if found:
                yield found


@in_recorded_bundles
def run(folder: Path, options: RunOptions, tell: Tell) -> Ran:
    """Run what is to do in a run folder and return what became of it.

    `tell` gets what happened and a line on overall progress, about twice a second.

    Raises:
        FaultsError: it cannot start, another run works in the folder, or Snakemake broke.
        KeyboardInterrupt: it was asked to stop; everything it started is gone.
    """
    clock = time.monotonic()
    typed, folder = folder, folder.resolve()
    jobs = read_jobs(folder)
    plan = make_plan(folder, jobs, options.only)
    check_run(folder, jobs, plan, options)
    with working_alone(folder):
        _stop_leftovers(folder)
        clear_dead_lock(folder)
        if brought := bring_questions(*_asked(folder, jobs, plan)):
            tell([Event("fetched", words=_fetched(brought, typed))], "")
        watch = Watch(folder, jobs, secrets.token_hex(6))
        done_before = plan.finished
        moved: list[str] = []
        plan = make_plan(folder, jobs, options.only)  # leftovers may have finished meanwhile
        for _ in range(_MOST_ROUNDS if plan.pending else 0):
            # What is prepared again may come out the same, so what follows is judged afterwards
            moved += retire(folder, jobs, plan.outdated)
            done = len(watch.finished)
            _one_round(folder, plan, options, watch, tell)
            plan = make_plan(folder, jobs, options.only)
            if not plan.pending or watch.failed or len(watch.finished) == done:
                break
    failures = tuple(
        _failure(folder, jobs[job], attempt.message) for job, attempt in watch.failed.items()
    )
    return Ran(
        done=tuple(watch.finished),
        before=tuple(job for job in done_before if job not in watch.finished),
        failures=failures,
        left=tuple(job for job in plan.pending if job not in watch.failed),
        seconds=time.monotonic() - clock,
        moved=tuple(moved),
    )


def _asked(folder: Path, jobs: Jobs, plan: Plan) -> tuple[list[str], list[Path]]:
    """Return the tasks that are still to be asked, and the folders to look for them in."""
    tasks: dict[str, None] = {}
    folders: dict[Path, None] = {}
    for job in (jobs[job] for job in plan.pending if job[0] == "evaluate"):
        config = read_yaml(folder / job.file) if job.file else {}
        include = config.get("include_path", [])
        tasks |= dict.fromkeys(config.get("tasks", []))
        folders |= {
            Path(path): None for path in ([include] if isinstance(include, str) else include)
        }
    return list(tasks), list(folders)


def _fetched(benchmarks: Sequence[str], folder: Path) -> str:
    """Say which test questions are new here, so that nobody has compared them with training rows.

    >>> _fetched(["gsm8k"], Path("runs/mine"))
    'the test questions of gsm8k; cotdistill check runs/mine looks for them in the training rows'
    """
    named = ", ".join(benchmarks)
    return (
        f"the test questions of {named}; cotdistill check {folder} looks for them in the training "
        "rows"
    )


def _one_round(folder: Path, plan: Plan, options: RunOptions, watch: Watch, tell: Tell) -> None:
    everything = len(plan.targets) == len(watch.jobs)
    targets = ["all"] if everything else [marker_of(job) for job in plan.targets]
    gpus = None if is_cluster(options.snakemake) else len(devices_to_use(options))
    command = snakemake_command(
        folder, targets, jobs_at_once(options), gpus, options.keep_going, options.snakemake
    )
    watch.expect(plan.pending)
    log = folder / LOG
    log_from = log.stat().st_size if log.exists() else 0
    env = _environment(folder, watch.run, options)
    with _stoppable():
        snakemake = start_snakemake(command, env, folder, log)
        try:
            while snakemake.poll() is None:
                tell(watch.look(), watch.line())
                _wait(snakemake)
        finally:
            if snakemake.poll() is None:
                snakemake.kill()
                snakemake.wait()
            if not is_cluster(options.snakemake):
                _stop_leftovers(folder)
            tell(watch.look(), watch.line())
    if snakemake.returncode != 0 and not watch.failed:
        raise FaultsError(_snakemake_broke(folder, snakemake.returncode, log, log_from))


def _wait(snakemake: subprocess.Popen[bytes]) -> None:
    try:
        snakemake.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return


def _environment(folder: Path, run_id: str, options: RunOptions) -> Mapping[str, str]:
    env = dict(os.environ) | {RUN_ID: run_id}
    if is_cluster(options.snakemake):
        return env
    jobs = jobs_at_once(options)
    env |= {FOLDER_MARK: str(folder), RUN_PROCESS: own_identity()}
    env[THREADS] = str(
        max(1, cores_here() // jobs)
    )  # two programs that share cores starve each other
    env[GPUS] = ",".join(devices_to_use(options))
    return env


def _stop_leftovers(folder: Path) -> None:
    """Stop what an earlier run of this folder started and a kill left behind; nothing else."""
    stop(lambda: marked(FOLDER_MARK, str(folder)))


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this run as Ctrl-C does."""

    def interrupt(_number: int, _frame: types.FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(folder: Path, job: Job, message: str) -> Failure:
    return Failure(str(job), folder / log_of(job.id), tuple(message.splitlines()))


def _snakemake_broke(folder: Path, status: int, log: Path, log_from: int) -> Fault:
    if status < 0:
        wrong = f"Snakemake was killed by signal {-status}"
        return Fault(str(folder), wrong, "", "run the same command again to resume")
    reason = " | ".join(lines_that_matter(log, log_from))
    return Fault(str(log), f"Snakemake ended with status {status}: {reason}", "", "")
