"""CPU seconds of starting and of generating 1,000 runs, next to the hosts and Hydra, in one run.

    make bench-startup

Every command is run several times, in turns, so that a busy moment hits all alike; the table shows
the least CPU time (user + system, children included) of each. Hydra composes as many configurations
with as many keys from its config groups, in one process, and writes each as YAML.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BIN = Path(sys.executable).parent
ROUNDS = 3
STUDENTS = [f"Qwen/Qwen2.5-{size}B-Instruct" for size in ("0.5", "1.5", "3", "7", "14")]
ARMS = 20
RECIPES = 2
SEEDS = 5


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Return user + system seconds of a command that must succeed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def write_study(folder: Path) -> Path:
    """Write a study of 1,000 runs whose arms are registered hub datasets."""
    recipe = {"epochs": 2, "global_batch": 16, "per_device_batch": 2}
    study = {
        "name": "thousand",
        "students": STUDENTS,
        "arms": {f"arm{number}": {"dataset": "gsm8k"} for number in range(ARMS)},
        "recipes": {"full": recipe, "lora": {**recipe, "template": "lora"}},
        "seeds": list(range(SEEDS)),
        "evaluation": {"tasks": ["cot_gsm8k"], "backend": "vllm"},
        "hardware": {"gpus": 8},
    }
    path = folder / "thousand.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    return path


def main() -> None:
    """Time every command in turns and print one table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = write_study(folder)
        out = folder / "out"
        hydra = ROOT / ".venv-bench" / "startup" / "bin" / "python"
        commands: dict[str, list[str]] = {
            "cotdistill --help": [str(BIN / "cotdistill"), "--help"],
            "lm_eval --help": [str(BIN / "lm_eval"), "--help"],
            "llamafactory-cli version": [str(BIN / "llamafactory-cli"), "version"],
            "cotdistill generate, 1,000 runs": [
                str(BIN / "cotdistill"), "generate", str(study), "-o", str(out),
            ],
            "the same again, nothing changed": [
                str(BIN / "cotdistill"), "generate", str(study), "-o", str(out),
            ],
        }  # fmt: skip
        if hydra.exists():
            script = HERE / "compose_with_hydra.py"
            commands["Hydra composes 1,000 configurations"] = [
                str(hydra), str(script), str(folder / "hydra"),
            ]  # fmt: skip
        else:
            sys.stderr.write("without .venv-bench/startup Hydra is left out: make bench-startup\n")
        least = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for made in (out, folder / "hydra"):
                shutil.rmtree(made, ignore_errors=True)
            for what, command in commands.items():
                least[what] = min(least[what], cpu_seconds(command, folder))
    width = max(map(len, least))
    print(f"{'command':<{width}}  CPU s")
    for what, seconds in least.items():
        print(f"{what:<{width}}  {seconds:5.2f}")


if __name__ == "__main__":
    main()
