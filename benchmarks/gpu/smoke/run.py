"""The main path on one GPU in a few minutes: train, distil, evaluate, report, and what it took.

    python benchmarks/gpu/smoke/run.py [-o FOLDER]     # one GPU, no network
    python benchmarks/gpu/smoke/run.py --smallest      # on a CPU: does it work?

Every job of the study next to this file is run by `cotdistill step`, one after the other, as the
workflow would; Snakemake is not needed. Peak memory is the device's (of the processes on a CPU),
sampled twice a second. Tokens a second: a training's are the trainer's own count over its own time,
an evaluation's are the responses' over the whole job, the start of lm-eval included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.cli.tables import show_table
from cotdistill.tables import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
COTDISTILL = [sys.executable, "-m", "cotdistill"]
SMALLEST = (
    "hardware.gpus=0",
    "models.small.scratch={hidden_size: 32, layers: 1, heads: 2, intermediate_size: 64,"
    " context: 192}",
    "models.large.scratch={hidden_size: 64, layers: 2, heads: 2, intermediate_size: 128,"
    " context: 192}",
    "arms.fine.rows=320",
    "recipes.plain={global_batch: 32, per_device_batch: 32, cutoff_len: 128, learning_rate: 0.004,"
    " max_steps: 4, precision: bf16, settings: {plot_loss: false}}",
    "evaluation.limit=8",
    "evaluation.generation={max_gen_toks: 48}",
)


@dataclass
class Peak:
    """The most memory that was in use while a command ran, in MiB."""

    on_gpu: bool
    most: float = 0.0

    def watch(self, pid: int, ended: threading.Event) -> None:
        """Sample until the command has ended."""
        while not ended.wait(0.5):
            self.most = max(self.most, gpu_memory() if self.on_gpu else tree_memory(pid))


def gpu_memory() -> float:
    """Return the MiB in use on the first GPU."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def tree_memory(pid: int) -> float:
    """Return the MiB that a process and its descendants hold."""
    parents: dict[int, int] = {}
    resident: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(entry.name)] = int(fields[1])
        resident[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    total = 0.0
    for one in resident:
        above = one
        while above not in (pid, 0):
            above = parents.get(above, 0)
        total += resident[one] if above == pid else 0.0
    return total


def run(words: list[str], *, on_gpu: bool) -> tuple[float, float]:
    """Run a verb to its end; return its seconds and the peak of memory in MiB."""
    started, peak, ended = time.monotonic(), Peak(on_gpu), threading.Event()
    with subprocess.Popen([*COTDISTILL, *words], cwd=ROOT, stdout=sys.stderr) as process:
        watcher = threading.Thread(target=peak.watch, args=(process.pid, ended))
        watcher.start()
        status = process.wait()
        ended.set()
        watcher.join()
    if status:
        raise SystemExit(f"smoke: cotdistill {' '.join(words)} ended with status {status}")
    return time.monotonic() - started, peak.most


def tokens_a_second(folder: Path, stage: str, name: str, seconds: float) -> str:
    """Return a training's or an evaluation's tokens a second, an empty text for other jobs."""
    if stage == "train":
        trained = json.loads((folder / "checkpoints" / name / "train_results.json").read_text())
        tokens = _last_line(folder / "checkpoints" / name / "trainer_log.jsonl").get("total_tokens")
        return f"{tokens / trained['train_runtime']:,.0f}" if tokens else ""
    if stage == "evaluate":
        return f"{_generated(folder, name) / seconds:,.0f}"
    return ""


def _last_line(path: Path) -> dict[str, Any]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    known = [row for row in rows if "total_tokens" in row]
    found: dict[str, Any] = known[-1] if known else {}
    return found


def _generated(folder: Path, name: str) -> int:
    """Return the tokens of all responses of an evaluation, by the model's own tokenizer."""
    from tokenizers import Tokenizer

    model = next(iter(sorted(folder.glob(f"checkpoints/{name}/tokenizer.json"))))
    tokenizer = Tokenizer.from_file(str(model))
    rows = [
        json.loads(line)
        for path in sorted((folder / "scores" / name).rglob("samples_*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return sum(len(tokenizer.encode(text).ids) for row in rows for text in row["resps"][0])


def main() -> None:
    """Run every job of the study, then its report, and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu-smoke"))
    parser.add_argument("--smallest", action="store_true", help="on a CPU, within 15 minutes")
    given = parser.parse_args()
    folder, on_gpu = given.output.resolve(), not given.smallest
    if (folder / "done").exists():
        raise SystemExit(f"smoke: {folder} has finished jobs, which cannot be measured again")
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    os.environ.setdefault("PYTHONPATH", str(ROOT / "plugins"))
    if on_gpu:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    started = time.monotonic()
    settings = [word for one in SMALLEST for word in ("--set", one)] if given.smallest else []
    run(["generate", str(HERE / "study.yaml"), "-o", str(folder), *settings], on_gpu=on_gpu)
    rows = []
    for line in (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines():
        stage, name = json.loads(line)["stage"], json.loads(line)["name"]
        seconds, peak = run(["step", stage, name, "--folder", str(folder)], on_gpu=on_gpu)
        rate = tokens_a_second(folder, stage, name, seconds)
        rows.append((stage, name, f"{seconds:.1f}", f"{peak:,.0f}", rate))
    seconds, peak = run(["report", str(folder)], on_gpu=on_gpu)
    rows.append(("report", "", f"{seconds:.1f}", f"{peak:,.0f}", ""))
    rows.append(("all", "", f"{time.monotonic() - started:.1f}", "", ""))
    where = "GPU" if on_gpu else "processes"
    show_table(Table(("job", "name", "s", f"peak MiB, {where}", "tokens/s"), tuple(rows)))


if __name__ == "__main__":
    main()
