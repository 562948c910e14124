"""The machine's processes: which are ours, which still live, and how to stop them all.

A process is named by its number *and* its start time, because numbers are used again. What a run
starts carries marks in its environment, and the environment is inherited by every descendant: by
the ranks that torchrun starts, by data loaders, by whatever outlives a killed parent. So leftovers
are found by their mark and nothing else is ever stopped. Linux only (`/proc`); elsewhere nothing is
found, and the locks alone keep two trainers apart.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROC = Path("/proc")
GRACE = 3.0
"""Seconds between asking a process to end and ending it."""


def started_at(pid: int) -> str | None:
    """Return the start time of a living process (clock ticks since boot), or None.

    A zombie counts as dead: it holds nothing.

    >>> started_at(os.getpid()) is None, started_at(2**22 + 1)
    (False, None)
    """
    try:
        after_name = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2]
    except OSError:
        return None
    fields = after_name.split()
    return None if not fields or fields[0] in "ZX" else fields[19]


@functools.cache
def machine() -> str:
    """Return what tells this boot of this machine from every other."""
    with contextlib.suppress(OSError):
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    return os.uname().nodename


def own_identity() -> str:
    """Return a text that names this very process: machine, number and start time."""
    return f"{machine()}:{os.getpid()}:{started_at(os.getpid())}"


def is_gone(identity: str) -> bool:
    """Whether a process of this machine has ended; one of another machine counts as living.

    >>> is_gone(own_identity()), is_gone(f"{machine()}:{os.getpid()}:1"), is_gone("elsewhere:1:1")
    (False, True, False)
    """
    where, pid, started = identity.rsplit(":", 2)
    return where == machine() and started_at(int(pid)) != started


def marked(name: str, value: str) -> list[int]:
    """Return the processes whose environment holds NAME=VALUE, without this one's ancestors."""
    wanted = b"\0" + f"{name}={value}".encode("utf-8", "surrogateescape") + b"\0"
    spared = _ancestors()
    found = []
    for entry in _numbers():
        if entry in spared:
            continue
        with contextlib.suppress(OSError):
            environment = (PROC / str(entry) / "environ").read_bytes()
            if wanted in b"\0" + environment + b"\0":
                found.append(entry)
    return [pid for pid in found if started_at(pid) is not None]


def stop(find: Callable[[], Iterable[int]], grace: float = GRACE) -> list[int]:
    """Stop all processes that `find` names, again and again until it names none.

    First they are asked to end; after `grace` seconds they are killed. Returns those it met.
    """
    met: dict[int, None] = {}
    deadline = time.monotonic() + grace
    asked: set[int] = set()
    while pids := list(find()):
        out_of_time = time.monotonic() >= deadline
        for pid in pids:
            met[pid] = None
            if out_of_time or pid not in asked:
                asked.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if out_of_time else signal.SIGTERM)
        time.sleep(0.02)
    return list(met)


def stop_group(group: int, grace: float = GRACE) -> None:
    """Stop a process group that this process started."""
    stop(functools.partial(_members, group), grace)


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a child runs before its program starts, so that it is killed with `parent`."""
    import ctypes

    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    set_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h

    def before_program() -> None:
        if prctl is not None:
            prctl(set_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return before_program


def _numbers() -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(PROC) if name.isdigit())  # noqa: PTH208
    except OSError:
        return []


def _ancestors() -> set[int]:
    spared = {os.getpid()}
    pid = os.getppid()
    while pid > 0 and pid not in spared:
        spared.add(pid)
        pid = _stat(pid, 1)
    return spared


def _stat(pid: int, field: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        after_name = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2]
        return int(after_name.split()[field])
    return 0


def _members(group: int) -> list[int]:
    pids = _numbers()
    if not pids:  # no /proc: ask the kernel for the group as a whole
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        return []
    return [pid for pid in pids if _stat(pid, 2) == group and started_at(pid) is not None]
