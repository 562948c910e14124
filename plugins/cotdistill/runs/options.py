"""How a run folder is to be run on this machine, and everything that would keep it from running."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.machine.gpus import devices_here
from cotdistill.hosts.machine.program import program_fault
from cotdistill.hosts.slurm import no_slurm
from cotdistill.hosts.snakemake import is_cluster, snakemake_fault
from cotdistill.runfolder.moved import moved_fault
from cotdistill.runs.jobs import Job, Jobs
from cotdistill.runs.plan import Plan
from cotdistill.tables import counted


@dataclass(frozen=True)
class RunOptions:
    """How to run: what, on how much of this machine, and words for Snakemake itself.

    `gpus` and `jobs` are found out where they are None.
    """

    only: tuple[str, ...] = ()
    gpus: int | None = None
    jobs: int | None = None
    keep_going: bool = False
    snakemake: tuple[str, ...] = ()


def devices_to_use(options: RunOptions) -> list[str]:
    """Return the ids of the GPUs that the options allow."""
    here = devices_here()
    return here if options.gpus is None else here[: options.gpus]


def cores_here() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def jobs_at_once(options: RunOptions) -> int:
    """Return how many jobs run at once."""
    if options.jobs is not None:
        return options.jobs
    devices = len(devices_to_use(options))
    return devices + 1 if devices else min(cores_here(), 4)


def check_run(folder: Path, jobs: Jobs, plan: Plan, options: RunOptions) -> None:
    """Find everything that would fail later, before anything starts.

    Raises:
        FaultsError: all of it at once.
    """
    if faults := [*folder_faults(folder, jobs, plan), *machine_faults(jobs, plan, options)]:
        raise FaultsError(faults)


def folder_faults(folder: Path, jobs: Jobs, plan: Plan) -> list[Fault]:
    """Return what in a run folder would keep its jobs from running, on whatever machine."""
    faults = []
    if not (folder / "Snakefile").is_file():
        faults.append(Fault(str(folder / "Snakefile"), "no such file", "", "generate it again"))
    todo = [jobs[job] for job in plan.pending]
    if moved := moved_fault(folder, [(job.command, job.file) for job in todo if job.file]):
        faults.append(moved)
    for job in todo:
        if job.file and not (folder / job.file).is_file():
            faults.append(Fault(str(folder / job.file), "no such file", "", "generate it again"))
    if " " in str(folder) and (split := [job for job in todo if _uses_torchrun(job)]):
        wrong = f"the path holds a blank, at which torchrun breaks ({split[0]})"
        faults.append(Fault(str(folder), wrong, "a folder without blanks", "generate it elsewhere"))
    return faults


def machine_faults(jobs: Jobs, plan: Plan, options: RunOptions) -> list[Fault]:
    """Return what this machine lacks for the jobs: programs and GPUs; a cluster has its own."""
    faults = [fault for fault in [snakemake_fault()] if fault]
    if not is_cluster(options.snakemake):
        faults += _lacking([jobs[job] for job in plan.pending], options)
    return faults


def _lacking(todo: Sequence[Job], options: RunOptions) -> Iterator[Fault]:
    programs: dict[tuple[str, str], Job] = {}
    for job in todo:
        if command := job.command or job.own:
            programs.setdefault((job.stage, command[0]), job)
    for job in programs.values():
        if fault := program_fault(job.stage, job.command or job.own, os.environ):
            yield fault
    here = devices_here()
    if options.gpus is not None and options.gpus > len(here):
        yield Fault(
            f"--gpus {options.gpus}",
            f"{len(here)} {'is' if len(here) == 1 else 'are'} visible here",
            "",
            "ask for fewer",
        )
    if several := [job for job in todo if job.nodes > 1 and "SLURM_JOB_ID" not in os.environ]:
        first = several[0]
        yield no_slurm(first.command, first.nodes, first.env, str(first))
    devices = len(devices_to_use(options))
    if short := [job for job in todo if job.gpus > devices]:
        most = max(short, key=lambda job: job.gpus)
        verb = "is" if devices == 1 else "are"
        wrong = f"{most} needs {counted(most.gpus, 'GPU')}, and {devices} {verb} to be used here"
        remedy = "generate with --set hardware.gpus=" + str(devices)
        yield Fault("cotdistill run", wrong, "", f"{remedy}, or run on a machine that has them")


def _uses_torchrun(job: Job) -> bool:
    return job.env.get("FORCE_TORCHRUN") == "1" or (job.stage == "train" and job.gpus > 1)
