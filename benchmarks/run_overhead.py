"""What `cotdistill run` costs per job, next to Snakemake alone on as many trivial jobs.

    python benchmarks/run_overhead.py [RUNS]

Every run is a training and an evaluation that write a few small files at once; one job collects.
Snakemake alone runs as many rules that do `touch`. CPU seconds are user + system of the whole
process tree, so they hardly depend on what else the machine does.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cotdistill.runfolder.stages import snakefile_text

TRAIN = """import json, os, sys
os.makedirs(sys.argv[1])
json.dump({"train_runtime": 2.0, "train_loss": 0.5}, open(sys.argv[1] + "/train_results.json", "w"))
open(sys.argv[1] + "/model.safetensors", "w").write("x")
"""
SCORE = """import json, os, sys
os.makedirs(sys.argv[1])
stamp = "2026-01-01T00-00-00.000001"
results = {"results": {"t": {"acc,none": 0.5}}}
json.dump(results, open(f"{sys.argv[1]}/results_{stamp}.json", "w"))
row = {"doc": {"question": "q"}, "doc_id": 0, "resps": [["1"]], "filtered_resps": ["1"],
       "filter": "none", "target": "1", "arguments": {"gen_args_0": {"arg_0": "q"}}, "acc": 0.5,
           "metrics": ["acc"]}
open(f"{sys.argv[1]}/samples_t_{stamp}.jsonl", "w").write(json.dumps(row) + "\\n")
"""
STUDY = """name: tiny
students: [{name: tiny, model: some/model, template: qwen}]
arms: {a: {dataset: gsm8k_train}}
recipes: {full: {max_steps: 4}}
evaluation: {tasks: [somebody_elses_task]}
"""
ALONE = """
rule all:
    input: [f"done/score/{{n}}" for n in range({runs})], "done/report"
rule train:
    output: "done/train/{{n}}"
    shell: "touch {{output}}"
rule score:
    input: "done/train/{{n}}"
    output: "done/score/{{n}}"
    shell: "touch {{output}}"
rule report:
    input: [f"done/score/{{n}}" for n in range({runs})]
    output: "done/report"
    shell: "touch {{output}}"
"""


def main(runs: int) -> None:
    """Print the table."""
    jobs = 2 * runs + 1
    rows = []
    with tempfile.TemporaryDirectory() as place:
        alone = Path(place, "alone")
        alone.mkdir()
        (alone / "Snakefile").write_text(ALONE.format(runs=runs))
        snakemake = [sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy"]
        rows.append(("snakemake alone", measure([*snakemake, "--quiet", "all"], alone)))
        ours = Path(place, "ours")
        write_folder(ours, runs)
        command = [sys.executable, "-m", "cotdistill", "run", str(ours), "--jobs", "2"]
        rows.append(("cotdistill run", measure(command, ours)))
        rows.append(("cotdistill run, nothing to do", measure(command, ours)))
        rows.append(("cotdistill run --dry-run", measure([*command, "--dry-run"], ours)))
    print(f"{jobs} jobs, 2 at once, {os.cpu_count()} cores")
    print(f"{'':32}{'wall s':>8}{'CPU s':>8}{'CPU ms a job':>14}")
    for name, (wall, cpu) in rows:
        print(f"{name:32}{wall:8.1f}{cpu:8.1f}{1000 * cpu / jobs:14.0f}")


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Return wall and CPU seconds of a command with all its children."""
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, cwd=folder, check=True, **quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.monotonic() - clock, cpu


def write_folder(folder: Path, runs: int, name: str = "run") -> None:
    """Write a run folder whose jobs do next to nothing; runs are NAME0, NAME1, ..."""
    (folder / "train").mkdir(parents=True)
    (folder / "eval").mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "score.py").write_text(SCORE)
    lines = []
    for number in range(runs):
        run = f"{name}{number}"
        (folder / f"train/{run}.yaml").write_text(f"seed: {number}\n")
        (folder / f"eval/{run}.yaml").write_text(f"seed: {number}\n")
        python = [sys.executable, "-S", "-E"]
        train = {"command": [*python, "train.py", f"checkpoints/{run}"], "env": {}, "gpus": 0}
        score = {"command": [*python, "score.py", f"scores/{run}"], "env": {}, "gpus": 0}
        files = {"train": f"train/{run}.yaml", "eval": f"eval/{run}.yaml"}
        outputs = {"train": f"checkpoints/{run}", "evaluate": f"scores/{run}"}
        lines.append(
            {"run": run, "student": "s", "arm": "a", "recipe": "r", "seed": number}
            | {"files": files | {"export": None, "data": None, "student": None}}
            | {"outputs": outputs | {"export": None}}
            | {"stages": {"train": train, "export": None, "evaluate": score}}
            | {"sha256": {"train": "0", "export": None, "eval": "0", "data": None, "student": None}}
        )
    manifest = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest.jsonl").write_text(manifest)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "Snakefile").write_text(snakefile_text("overhead"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
