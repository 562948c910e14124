"""Run one host program to its end, and never let it outlive the job that started it.

The program gets a process group of its own, holds the job's locks, and is killed by the kernel when
its starter dies. The starter watches those it works for: when they are gone, it stops the program.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.machine.processes import die_with_parent, stop_group

_EXTRAS = {
    "llamafactory-cli": "train",
    "accelerate": "train",
    "torchrun": "train",
    "deepspeed": "deepspeed",
    "lm-eval": "eval",
    "lm_eval": "eval",
    "snakemake": "run",
}


class StoppedError(Exception):
    """The program was stopped because the one it worked for is gone or asked for it."""


def search_path(env: Mapping[str, str]) -> str:
    """Return PATH with this interpreter's folder at its end, so that hosts next to it are found."""
    return os.pathsep.join(filter(None, (env.get("PATH", ""), str(Path(sys.executable).parent))))


def program_fault(stage: str, command: Sequence[str], env: Mapping[str, str]) -> Fault | None:
    """Return what is wrong with the first word of a stage's command, or None if it can be started.

    >>> print(program_fault("evaluate", ["/nowhere/bin/lm-eval", "run"], {}).wrong)
    no such environment (/nowhere/bin)
    """
    program = command[0]
    if shutil.which(program, path=search_path(env)):
        return None
    name = Path(program).name
    if os.sep in program:
        folder = Path(program).parent
        wrong = "no such program" if folder.is_dir() else f"no such environment ({folder})"
        remedy = "make it, or correct the study's environments and generate again"
        if name == "cotdistill" and (folder / "python").exists():
            wrong = "cotdistill is not installed in this environment"
            extra = "[eval]" if stage == "evaluate" else ""
            remedy = f"{folder / 'python'} -m pip install 'cotdistill{extra}'"
        return Fault(f"the {stage} stage: {program}", wrong, "", remedy)
    if name in _EXTRAS:
        remedy = f'pip install "cotdistill[{_EXTRAS[name]}]"'
        return Fault(f"the {stage} stage", f"the command '{program}' is not installed", "", remedy)
    remedy = f"install it, or correct environments.{stage} and generate again"
    return Fault(f"the {stage} stage", f"no command '{program}' on PATH", "", remedy)


def versions_next_to(program: str, names: Sequence[str], env: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of distributions in the environment that a program is installed in.

    None of them where the program is not in a virtual environment's `bin`.

    >>> versions_next_to("/nowhere/bin/lm-eval", ["lm_eval"], {})
    {}
    """
    found = shutil.which(program, path=search_path(env))
    if found is None:
        return {}
    versions = {}
    for site in sorted(Path(found).parent.parent.glob("lib/python3*/site-packages")):
        for name in names:
            for info in sorted(site.glob(f"{name}-[0-9]*.dist-info")):
                versions[name] = info.name.removeprefix(f"{name}-").removesuffix(".dist-info")
    return versions


def run_program(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    log: IO[bytes],
    locks: Sequence[int],
    is_orphaned: Callable[[], bool],
) -> int:
    """Run a program in `folder` with its output in `log`; return its status as subprocess does.

    Raises:
        StoppedError: it was stopped before its end: `is_orphaned` said so, or a signal came.
        FaultsError: it cannot be started.
    """
    asked: list[int] = []

    def remember(number: int, _frame: types.FrameType | None) -> None:
        asked.append(number)

    before = {s: signal.signal(s, remember) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        child = subprocess.Popen(
            [shutil.which(command[0], path=search_path(env)) or command[0], *command[1:]],
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(locks),
            start_new_session=True,
            preexec_fn=die_with_parent(os.getpid()),
        )
        try:
            pause = 0.002
            while not _ended(child.pid):
                if asked or is_orphaned():
                    raise StoppedError(signal.Signals(asked[0]).name if asked else "")
                time.sleep(pause)
                pause = min(0.1, pause * 1.5)
        finally:
            stop_group(child.pid)  # data loaders and the like that the program left behind
            status = child.wait()
    except (OSError, subprocess.SubprocessError) as error:
        raise FaultsError(Fault(command[0], f"cannot be started ({error})")) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _ended(pid: int) -> bool:
    """Whether a child has ended; it stays a zombie, so that its number is not used again."""
    look_only = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, pid, look_only) is not None
