"""Locks that a kill cannot leave behind: the kernel drops an flock with its last holder.

A lock file is never deleted; what counts is whether somebody holds it. Its text says who took it
last, for messages only. A child that inherits the descriptor holds the lock too, so that a lock
taken for a job stays taken while the job's program lives, even if whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import disk_fault

_LOOKED_AGAIN_S = 0.1


@contextlib.contextmanager
def waited_lock(path: Path, holder: str) -> Iterator[None]:
    """Hold the lock of a file while the block runs; wait for whoever has it.

    Raises:
        FaultsError: the file cannot be written, or its file system has no locks.
    """
    while (descriptor := take_lock(path, holder)) is None:
        time.sleep(_LOOKED_AGAIN_S)
    try:
        yield
    finally:
        free_lock(descriptor)


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a file while the block runs; refuse where another program has it.

    Raises:
        FaultsError: another program has it, the file cannot be written, or there are no locks.
    """
    descriptor = take_lock(path, f"process {os.getpid()}")
    if descriptor is None:
        wrong = f"another program is writing it ({lock_holder(path)})"
        raise FaultsError(Fault(str(path.parent), wrong, "", "wait for it or stop it"))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)  # what is left is the same after every run
        free_lock(descriptor)


def take_lock(path: Path, holder: str) -> int | None:
    """Take the lock of a file without waiting; return its descriptor, or None if it is taken.

    The lock lasts until the descriptor, and every copy that a child inherited, is closed.

    Raises:
        FaultsError: the file cannot be written, or its file system has no locks.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FaultsError(disk_fault(path, error)) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        wrong = f"cannot be locked ({error.strerror})"
        remedy = "put the run folder on a file system with locks"
        raise FaultsError(Fault(str(path), wrong, "", remedy)) from error
    with contextlib.suppress(OSError):  # a full disk: only the message about the lock is poorer
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode("utf-8"), 0)
    return descriptor


def free_lock(descriptor: int) -> None:
    """Give a lock back, as far as this process holds it."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def lock_holder(path: Path) -> str:
    """Return what the last taker of a lock wrote into it, or an empty text."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
