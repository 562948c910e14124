"""One program at a time in a run folder: `run` works in it, or `generate` writes its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.locks import free_lock, lock_holder, take_lock

_LOCK = Path(".cotdistill") / "run.lock"


@contextmanager
def working_alone(folder: Path) -> Iterator[None]:
    """Keep every other `cotdistill run` and `generate` out of a folder while the block runs.

    Raises:
        FaultsError: another one works there, or the folder cannot be written.
    """
    path = folder / _LOCK
    now = datetime.now().astimezone().strftime("%H:%M:%S")
    lock = take_lock(path, f"pid {os.getpid()} on {os.uname().nodename}, started {now}")
    if lock is None:
        who = lock_holder(path)
        pid = who.split()[1] if who.startswith("pid ") else "PID"
        wrong = f"another `cotdistill run` works here ({who or 'unknown'})"
        raise FaultsError(Fault(str(folder), wrong, "", f"wait for it, or stop it: kill {pid}"))
    try:
        yield
    finally:
        free_lock(lock)


@contextmanager
def not_while_it_runs(folder: Path) -> Iterator[None]:
    """The same for a folder in which a run may never have worked, where nothing is written.

    Raises:
        FaultsError: a `cotdistill run` works there.
    """
    if (folder / _LOCK).is_file():
        with working_alone(folder):
            yield
    else:
        yield
