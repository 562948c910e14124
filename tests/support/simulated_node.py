"""A simulated node with GPUs: the real workflow and scheduler, jobs that take a clock's time."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.hosts.snakemake import snakemake_command
from cotdistill.runfolder.stages import snakefile_text

PLUGIN = Path(__file__).resolve().parent / "simulated"
SIZES = (1, 1, 1, 2, 2, 3, 4, 5, 8)


@dataclass(frozen=True)
class Simulated:
    """What a simulated node did: its log, its jobs, and the CPU seconds of its scheduler."""

    log: list[dict[str, Any]]
    jobs: int
    gpus: int
    cpu_seconds: float
    bound: float

    @property
    def makespan(self) -> int:
        """When the last job ended."""
        return max(row["now"] for row in self.log if row["what"] == "end")

    def doubly_used(self) -> list[str]:
        """Return every device that a job was given while another one had it."""
        holder_of: dict[str, str] = {}
        found = []
        for row in self.log:
            for device in row.get("gpus", ()):
                if row["what"] == "start" and device in holder_of:
                    found.append(f"GPU {device}: {holder_of[device]} and {row['job']}")
                if row["what"] == "start":
                    holder_of[device] = row["job"]
                else:
                    holder_of.pop(device, None)
        return found

    def idle_while_work_fits(self) -> list[dict[str, Any]]:
        """Return every moment at which the scheduler waited although a ready job would fit."""
        waits = [row for row in self.log if row["what"] == "waits"]
        return [row for row in waits if any(size <= row["free"] for size in row["ready"])]


def simulate(folder: Path, runs: int, gpus: int, seed: int = 1) -> Simulated:
    """Run a folder of trainings of mixed size, each with an evaluation on one GPU."""
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    rows, area = [], 0
    for number in range(runs):
        size, minutes, scoring = (
            chance.choice(SIZES),
            chance.randint(20, 300),
            chance.randint(5, 40),
        )
        rows.append(_line(f"run{number}", size, minutes, scoring))
        area += size * minutes + scoring
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "Snakefile").write_text(snakefile_text("simulated"))
    log = folder / "log.jsonl"
    words = ("--executor", "simulated", "--quiet", "all")
    command = snakemake_command(folder, ["all"], gpus + 1, gpus, False, words)
    paths = [str(PLUGIN), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "SIMULATED_LOG": str(log),
        "SIMULATED_GPUS": ",".join(map(str, range(gpus))),
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return Simulated(events, 2 * runs + 1, gpus, cpu, area / gpus)


def _line(name: str, gpus: int, minutes: int, scoring: int) -> dict[str, Any]:
    train = {"command": ["true"], "env": {}, "gpus": gpus, "minutes": minutes}
    score = {"command": ["true"], "env": {}, "gpus": 1, "minutes": scoring}
    none = {"export": None, "data": None, "student": None}
    return {
        "run": name, "student": "s", "arm": "a", "recipe": "r", "seed": 1,
        "files": none | {"train": f"train/{name}.yaml", "eval": f"eval/{name}.yaml"},
        "outputs": {"train": f"checkpoints/{name}", "export": None, "evaluate": f"scores/{name}"},
        "stages": {"train": train, "export": None, "evaluate": score},
        "sha256": {"train": "t", "export": None, "eval": "e", "data": None, "student": None},
    }  # fmt: skip
