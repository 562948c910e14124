"""Run a command and measure all of its processes: CPU seconds, wall seconds, peak memory."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What a command cost; `peak_mib` is the largest sum of its processes' resident memory."""

    cpu_s: float
    wall_s: float
    peak_mib: float


def measured(command: Sequence[str], environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end and return its cost; its failure is an error.

    CPU time is what the system charges for the command's waited-for children, or, where a command
    leaves its workers to another process, the sum of what each member of the family was last seen
    to have used (looked at five times a second).
    """
    before = os.times()
    started = time.monotonic()
    seen: dict[int, float] = {}
    child = subprocess.Popen(command, env={**os.environ, **(environment or {})})
    peak = 0
    while child.poll() is None:
        family = _family(child.pid)
        peak = max(peak, sum(map(_pss_kib, family)))
        seen.update((pid, max(_cpu_s(pid), seen.get(pid, 0.0))) for pid in family)
        time.sleep(0.2)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return Cost(max(cpu, sum(seen.values())), time.monotonic() - started, peak / 1024)


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pss_kib(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        return 0
    return 0
