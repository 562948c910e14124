"""Snakemake as a program of its own: its command line, its dead lock, its start and its end."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.bundle import bundle_folder
from cotdistill.hosts.machine.processes import PROC, die_with_parent

_PROGRAM = (sys.executable, "-P", "-m", "snakemake")


def snakemake_command(
    folder: Path,
    targets: Sequence[str],
    jobs: int,
    gpus: int | None,
    keep_going: bool,
    extra: Sequence[str] = (),
) -> list[str]:
    """Return the command line that makes `targets` in a run folder.

    Which records count was decided before (`runs/plan.py`), so Snakemake is made to look at
    missing files only: no time stamps, and no marks of files that a kill left unfinished, because
    ours appear whole or not at all. `gpus` is None on a cluster, which deals out GPUs itself.
    """
    on_cluster = gpus is None
    return [
        *_PROGRAM,
        *("--snakefile", str(folder / "Snakefile"), "--directory", str(folder)),
        *(("--jobs", str(jobs)) if on_cluster else ("--cores", str(jobs))),
        *(() if on_cluster else ("--resources", f"gpu={gpus}")),
        *("--scheduler", "greedy", "--rerun-triggers", "mtime", "--ignore-incomplete"),
        *(() if on_cluster else ("--latency-wait", "2")),
        *(("--keep-going",) if keep_going else ()),
        *extra,
        *("--", *targets),
    ]


def is_cluster(extra: Sequence[str]) -> bool:
    """Whether the arguments for Snakemake send jobs elsewhere.

    >>> is_cluster(["--executor", "slurm"]), is_cluster(["-e", "local"]), is_cluster(["--verbose"])
    (True, False, False)
    """
    for word, value in zip(extra, [*extra[1:], ""], strict=False):
        name, _, attached = word.partition("=")
        if name in ("--executor", "-e"):
            return (attached or value) != "local"
        if name in ("--profile", "--workflow-profile"):
            return True
    return False


def snakemake_fault() -> Fault | None:
    """Return what is missing for `cotdistill run`, or None."""
    if importlib.util.find_spec("snakemake") is not None:
        return None
    remedy = 'pip install "cotdistill[run]"'
    return Fault("cotdistill run", "Snakemake is not installed in this environment", "", remedy)


def with_shared_kubernetes(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which Snakemake finds our executor, where the one under it is there.

    It lies in the profile's folder and not among our packages, because Snakemake imports every
    executor that it can see, at each start.
    """
    if importlib.util.find_spec("snakemake_executor_plugin_kubernetes") is None:
        return dict(env)
    places = [env.get("PYTHONPATH", ""), str(bundle_folder("templates") / "profiles/kubernetes")]
    return {**env, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def start_snakemake(
    command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start Snakemake in a session of its own; it is killed with this process, however that dies.

    Must be called from the main thread, with whose end the kernel connects the kill.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            list(command),
            env=with_shared_kubernetes(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )


def clear_dead_lock(folder: Path) -> bool:
    """Remove the lock that a killed Snakemake left in a folder; return whether there was one.

    Raises:
        FaultsError: a living Snakemake, started by hand, works in the folder.
    """
    locks = folder / ".snakemake" / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return False
    if pid := _living_snakemake(folder):
        wrong = f"a snakemake that was started by hand (pid {pid}) is working here"
        raise FaultsError(Fault(str(folder), wrong, "", f"wait for it, or stop it: kill {pid}"))
    place = ("--snakefile", str(folder / "Snakefile"), "--directory", str(folder))
    done = subprocess.run(
        [*_PROGRAM, *place, "--cores", "1", "--unlock"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        wrong = f"snakemake --unlock failed ({reason})"
        raise FaultsError(Fault(str(folder), wrong, "", f"look at {locks}"))
    return True


def _is_of_a_cluster(words: Sequence[bytes]) -> bool:
    """Whether a Snakemake does one job for another one, as an executor starts it on a node.

    Such a job outlives the Snakemake that sent it; its own lock keeps others from its work. A
    shell that starts it has the whole command in one word.

    >>> _is_of_a_cluster([b"python", b"-m", b"snakemake", b"--mode", b"remote"])
    True
    >>> _is_of_a_cluster([b"/bin/sh", b"-c", b"srun -n1 python -m snakemake --mode 'remote' -f x"])
    True
    """
    modes = {b"remote", b"subprocess"}
    words = [word.strip(b"'\"") for word in b" ".join(words).split()]
    return any(word == b"--mode" and value in modes for word, value in itertools.pairwise(words))


def _living_snakemake(folder: Path) -> int | None:
    for entry in sorted(PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if not any(b"snakemake" in word for word in words):
                continue
            if (entry / "cwd").resolve() == folder and not _is_of_a_cluster(words):
                return int(entry.name)
    return None
