"""What a job costs to schedule: Snakemake alone, cotdistill, submitit; here and on SLURM.

    python benchmarks/slurm/overhead.py SUBMITIT_PYTHON [RUNS] [SLURM_RUNS]

Jobs write a file and end. CPU seconds are user + system of everything that was started, SLURM's
daemons and its steps included; each row on SLURM has a cluster of two nodes on loopback of its own
(tests/support/loopback_slurm.py), which an empty row prices. `--slurm` rows need root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")]

from run_overhead import ALONE, write_folder  # noqa: E402

from loopback_slurm import loopback_slurm, why_not  # noqa: E402

SUBMITIT = """
import sys, time, submitit

def touch(path):
    open(path, "w").close()

kind, count = sys.argv[1], int(sys.argv[2])
executor = submitit.AutoExecutor(folder="log", cluster=kind)
executor.update_parameters(timeout_min=5, mem_gb=0.2)
if kind == "slurm":
    executor.update_parameters(slurm_partition="loop", slurm_array_parallelism=4)
    jobs = executor.map_array(touch, [f"{n}.done" for n in range(count)])
else:
    executor.update_parameters(timeout_min=5)
    jobs, waiting = [], list(range(count))
    while waiting:  # two at once, as the others
        time.sleep(0.05)  # asking all the time whether jobs are done would be counted as their cost
        jobs = [job for job in jobs if not job.done()]
        while waiting and len(jobs) < 2:
            jobs.append(executor.submit(touch, f"{waiting.pop()}.done"))
for job in jobs:
    job.result()
"""
SLURM = [
    *("--executor", "slurm", "--jobs", "4", "--slurm-no-account", "--latency-wait", "20"),
    *("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "2"),
    *("--default-resources", "slurm_partition=loop", "mem_mb=200", "runtime=5"),
]


def main(submitit: str, runs: int, slurm_runs: int) -> None:
    """Print the table."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # orphans come here, so that their time is counted
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':34}{'jobs':>6}{'wall s':>8}{'CPU s':>8}{'CPU ms a job':>14}")
    with tempfile.TemporaryDirectory() as place:
        for name, jobs, command in commands(Path(place) / "here", submitit, runs, []):
            row(name, jobs, *measured(command))
        if reason := why_not():
            print(f"no SLURM: {reason}")
            return
        row("an empty SLURM for 5 s", 0, *measured(lambda: on_slurm(lambda: time.sleep(5))))
        for name, jobs, command in commands(Path(place) / "slurm", submitit, slurm_runs, SLURM):
            row(f"SLURM: {name}", jobs, *measured(lambda it=command: on_slurm(it)))


def commands(
    folder: Path, submitit: str, runs: int, executor: list[str]
) -> Iterator[tuple[str, int, Callable[[], None]]]:
    """Yield each peer with its number of jobs and what starts it."""
    alone = folder / "alone"
    alone.mkdir(parents=True)
    (alone / "Snakefile").write_text(ALONE.format(runs=runs))
    here = ["--cores", "2"]
    snakemake = [sys.executable, "-m", "snakemake", "--scheduler", "greedy", *(executor or here)]
    yield "Snakemake alone", 2 * runs + 1, lambda: call([*snakemake, "--", "all"], alone)
    ours = folder / "ours"
    write_folder(ours, runs)
    words = ["--", *executor] if executor else []
    run = [sys.executable, "-m", "cotdistill", "run", str(ours), "--jobs", "2", *words]
    yield "cotdistill run", 2 * runs + 1, lambda: call(run, ours)
    theirs = folder / "theirs"
    theirs.mkdir()
    (theirs / "jobs.py").write_text(SUBMITIT)
    kind = "slurm" if executor else "local"
    tried = [submitit, "jobs.py", kind, str(2 * runs)]
    yield "submitit", 2 * runs, lambda: call(tried, theirs)


def call(command: list[str], folder: Path) -> None:
    """Run a command and stop with what it said where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def on_slurm(what: Callable[[], None]) -> None:
    """Do something while a cluster is up."""
    with tempfile.TemporaryDirectory() as folder, loopback_slurm(Path(folder)):
        what()


def measured(what: Callable[[], None]) -> tuple[float, float]:
    """Return wall and CPU seconds of something and of all that it started."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    what()
    took = time.monotonic() - clock
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def row(name: str, jobs: int, wall: float, cpu: float) -> None:
    """Print one line of the table."""
    each = f"{1000 * cpu / jobs:14.0f}" if jobs else ""
    print(f"{name:34}{jobs:6}{wall:8.1f}{cpu:8.1f}{each}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0], *(int(word) for word in [*given[1:], "40", "6"][:2]))
