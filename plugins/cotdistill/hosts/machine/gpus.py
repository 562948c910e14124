"""Who may use which GPU: one locked file per device; the job and its program hold the lock.

The locks lie in a folder of this user on this machine, not in the run folder, so two studies that
run at once do not meet on one device. A killed job's devices are free the moment its program is
gone, because the program holds the lock too (`files/locks.py`).
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotdistill.files.locks import free_lock, take_lock


@dataclass(frozen=True)
class Devices:
    """GPUs that a job holds: their ids for CUDA_VISIBLE_DEVICES, and the locks that keep them."""

    ids: tuple[str, ...]
    locks: tuple[int, ...]

    def free(self) -> None:
        """Give the devices back, as far as this process holds them."""
        for lock in self.locks:
            free_lock(lock)


def devices_here() -> list[str]:
    """Return the ids of the GPUs that this process may use, without importing torch.

    CUDA_VISIBLE_DEVICES narrows and orders them, as it does for the hosts.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        ids = [part.strip() for part in visible.split(",")]
        stop = next((i for i, part in enumerate(ids) if part in ("", "-1", "NoDevFiles")), len(ids))
        return ids[:stop]
    nodes = (re.fullmatch(r"nvidia(\d+)", entry.name) for entry in Path("/dev").glob("nvidia*"))
    return [str(number) for number in sorted(int(node[1]) for node in nodes if node)]


def slots_folder() -> Path:
    """Return this user's folder of device locks on this machine."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    root = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    return root / f"cotdistill-{os.getuid()}" / "gpus"


def take_devices(
    count: int,
    devices: Sequence[str],
    folder: Path,
    holder: str,
    keep_waiting: Callable[[], None] = lambda: None,
) -> Devices:
    """Take `count` of the devices, all or none, and wait until that many are free.

    `keep_waiting` is called about twice a second while it waits; it stops the wait by raising.
    """
    while True:
        taken: list[tuple[str, int]] = []
        for device in devices:
            if len(taken) == count:
                break
            name = re.sub(r"[^A-Za-z0-9.-]", "_", device)
            lock = take_lock(folder / f"{name}.lock", holder)
            if lock is not None:
                taken.append((device, lock))
        if len(taken) == count:
            return Devices(tuple(i for i, _ in taken), tuple(lock for _, lock in taken))
        for _, lock in taken:  # holding some while waiting for more would lock two jobs up
            free_lock(lock)
        keep_waiting()
        time.sleep(0.4 + (os.getpid() % 97) / 500)  # unequal, or two jobs could mirror each other
