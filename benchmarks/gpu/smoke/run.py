"""The main path on one GPU in a few minutes: train, distil, evaluate, report, and what it took.

    python benchmarks/gpu/smoke/run.py [-o FOLDER] [--minutes 8]     # one GPU, no network
    python benchmarks/gpu/smoke/run.py --smallest                    # on a CPU: does it work?

Every job of the study next to this file is run by `cotdistill step`, one after the other, as the
workflow would; Snakemake is not needed. A line is printed as soon as its job has ended; what has
not ended when the time is over is stopped, and the exit status is 1.

Peak memory, sampled twice a second, is what the card has in use more than at the start, what torch
keeps for later included; on a CPU it is that of the processes. Tokens a second: a training's are
the trainer's own count over its own time, an evaluation's are the responses' over the whole job,
the start of lm-eval included.
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
DEVICE = (
    "import sys, torch; torch.cuda.is_available() or sys.exit('torch finds no GPU'); "
    "torch.cuda.is_bf16_supported(including_emulation=False) or sys.exit('it has no bfloat16'); "
    "print(f'{torch.cuda.get_device_name()}, torch {torch.__version__}')"
)


@dataclass(frozen=True)
class Card:
    """The GPU that is measured: how nvidia-smi calls it, its names, and what was in use before."""

    id: str
    about: str
    before: float

    @property
    def in_use(self) -> float:
        """The MiB in use more than at the start."""
        return memory_used(self.id) - self.before


@dataclass
class Peak:
    """The most memory that was in use while a command ran, in MiB."""

    card: Card | None
    most: float = 0.0

    def watch(self, pid: int, ended: threading.Event) -> None:
        """Sample until the command has ended."""
        while not ended.wait(0.5):
            self.most = max(self.most, self.card.in_use if self.card else tree_memory(pid))


def first_card() -> Card:
    """Return the first visible GPU, which all jobs are to use.

    Raises:
        SystemExit: there is none that torch can use with bfloat16, or nvidia-smi does not tell its
            memory, as of a part of a card (MIG).
    """
    one = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    os.environ["CUDA_VISIBLE_DEVICES"] = one
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the numbers of nvidia-smi
    tried = subprocess.run([sys.executable, "-c", DEVICE], capture_output=True, text=True)
    if tried.returncode:
        raise SystemExit(f"smoke: {(tried.stderr.splitlines() or ['torch cannot start'])[-1]}")
    try:
        driver, before = asked(one, "driver_version"), memory_used(one)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"smoke: nvidia-smi tells no memory of GPU {one}: {error}") from error
    return Card(one, f"{tried.stdout.strip()}, driver {driver}", before)


def memory_used(card: str) -> float:
    """Return the MiB in use on a GPU."""
    return float(asked(card, "memory.used"))


def asked(card: str, what: str) -> str:
    """Return what nvidia-smi knows of a GPU."""
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader,nounits", "-i", card]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


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


class TimeOverError(Exception):
    """The time for everything was over before a job had ended."""


def run(words: list[str], card: Card | None, until: float) -> tuple[float, float]:
    """Run a verb to its end; return its seconds and the peak of memory in MiB.

    Raises:
        SystemExit: it failed.
        TimeOverError: it had not ended in time.
    """
    started, peak, ended = time.monotonic(), Peak(card), threading.Event()
    with subprocess.Popen([*COTDISTILL, *words], cwd=ROOT, stdout=sys.stderr) as process:
        watcher = threading.Thread(target=peak.watch, args=(process.pid, ended))
        watcher.start()
        try:
            status = process.wait(timeout=max(0.0, until - started))
        except subprocess.TimeoutExpired:
            process.terminate()  # `step` stops the program that it has started
            raise TimeOverError from None
        finally:
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
    """Run every job of the study, then its report, and print a line of a table after each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/gpu-smoke"))
    parser.add_argument("--smallest", action="store_true", help="on a CPU, within 15 minutes")
    parser.add_argument("--minutes", type=float, help="for everything [default: 8, smallest: 60]")
    given = parser.parse_args()
    folder = given.output.resolve()
    if (folder / "done").exists():
        raise SystemExit(f"smoke: {folder} has finished jobs: remove it, or say -o FOLDER")
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    os.environ.setdefault("PYTHONPATH", str(ROOT / "plugins"))
    card = None if given.smallest else first_card()
    started = time.monotonic()
    until = started + 60 * (given.minutes or (60 if given.smallest else 8))
    print(f"{card.about if card else 'CPU'}\n")
    print(f"| job | name | s | peak MiB, {'card' if card else 'processes'} | tokens/s |")
    print("|---|---|---|---|---|", flush=True)
    settings = [word for one in SMALLEST for word in ("--set", one)] if given.smallest else []
    try:
        run(["generate", str(HERE / "study.yaml"), "-o", str(folder), *settings], card, until)
        for line in (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines():
            stage, name = json.loads(line)["stage"], json.loads(line)["name"]
            seconds, peak = run(["step", stage, name, "--folder", str(folder)], card, until)
            rate = tokens_a_second(folder, stage, name, seconds)
            print(f"| {stage} | {name} | {seconds:.1f} | {peak:,.0f} | {rate} |", flush=True)
        seconds, peak = run(["report", str(folder)], card, until)
        print(f"| report | | {seconds:.1f} | {peak:,.0f} | |")
    except TimeOverError:
        raise SystemExit("smoke: the time is over; what is missing did not end") from None
    finally:
        print(f"| all | | {time.monotonic() - started:.1f} | | |")


if __name__ == "__main__":
    main()
