"""CPU seconds of a training step: fine-tuning, an online teacher, stored signals, ASFT.

    python -P benchmarks/kd/steps.py [--repeats 3] [--width 256] [--rows 256]

All trainings go through LLaMA-Factory on one core with random models: a student of 4 layers, a
teacher of 8 and half as wide again, one tokenizer. A step costs what a training of 24 steps takes
more than one of 4, divided by 20, in CPU seconds; the median of the repeats, which take turns.
Tokens are those of the rows, prompt and answer, without padding. ASFT is LLaMA-Factory's own loss
with a reference model (another loss, over full logits).
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from training import quiet, train_file

FEW, MANY = 4, 24
BATCH = 8


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, default=256, help="of the student")
    parser.add_argument("--rows", type=int, default=MANY * BATCH)
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the host tells of every file that it reads
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.rows, options.width)
        teacher = str(folder / "teacher")
        kd = {"weight": 0.5, "temperature": 2.0}
        kinds: dict[str, dict[str, Any]] = {
            "fine-tuning": {},
            "online teacher": {"kd": kd | {"teacher": teacher}},
            "stored, k = 32": {"kd": kd | {"teacher": {"signals": str(folder / "signals")}}},
            "ASFT, online": {"use_asft_loss": True, "ref_model": teacher},
        }
        with quiet():
            capture(folder, kinds["online teacher"])
            tokens = tokens_of_a_step(folder)
        train_file(write_file(folder, {}, FEW))  # what is loaded once is not measured
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        for _ in range(options.repeats):
            for kind, changes in kinds.items():
                seconds[kind].append(step(folder, changes))
        plain = statistics.median(seconds["fine-tuning"])
        print(f"student {options.width} wide, {tokens:,.0f} tokens a step, {options.repeats} runs")
        print(f"{'':20}{'CPU s a step':>13}{'tokens / CPU s':>16}{'of fine-tuning':>16}")
        for kind, found in seconds.items():
            middle = statistics.median(found)
            print(f"{kind:<20}{middle:>13.3f}{tokens / middle:>16,.0f}{plain / middle:>15.2f}x")
    return 0


def prepare(folder: Path, rows: int, width: int) -> None:
    """Write puzzles, and two random models with one tokenizer."""
    from cotdistill.benchmarks.puzzles import draw_puzzles
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    puzzles = list(draw_puzzles("ball", 6, rows, 1, "train"))
    given = [{"instruction": one.question, "output": one.rationale} for one in puzzles]
    (folder / "rows.json").write_text(json.dumps(given), encoding="utf-8")
    columns = {"prompt": "instruction", "response": "output"}
    registry = {"rows": {"file_name": "rows.json", "columns": columns}}
    (folder / "dataset_info.json").write_text(json.dumps(registry), encoding="utf-8")
    texts = [f"{one.question}\n{one.rationale}" for one in puzzles]
    for name, wide, layers in (("student", width, 4), ("teacher", width * 3 // 2, 8)):
        shape = Scratch(
            hidden_size=wide, layers=layers, heads=4, intermediate_size=2 * wide, context=256,
            seed=layers, vocab_size=4096,
        )  # fmt: skip
        build_student(shape, texts, folder / name)
        widen(folder / name, 4096)


def widen(model: Path, rows: int) -> None:
    """Give a model's head so many rows: its tokenizer finds few tokens in puzzles."""
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model)
    loaded.resize_token_embeddings(rows)
    loaded.save_pretrained(model)


def write_file(folder: Path, changes: dict[str, Any], steps: int) -> Path:
    """Write a training file."""
    from cotdistill.files.yamls import dump_yaml

    arguments = {
        "model_name_or_path": str(folder / "student"), "stage": "sft", "do_train": True,
        "finetuning_type": "full", "dataset_dir": str(folder), "dataset": "rows",
        "template": "chatml", "cutoff_len": 256, "output_dir": str(folder / "out"),
        "overwrite_output_dir": True, "logging_steps": 10, "save_strategy": "no",
        "report_to": "none", "use_cpu": True, "per_device_train_batch_size": BATCH,
        "max_steps": steps, "learning_rate": 1.0e-3, "seed": 1, "disable_tqdm": True,
        "preprocessing_num_workers": 1, "disable_gradient_checkpointing": True,
    } | changes  # fmt: skip
    path = folder / "train.yaml"
    path.write_text(dump_yaml(arguments), encoding="utf-8")
    return path


def capture(folder: Path, changes: dict[str, Any]) -> None:
    """Store the teacher's signals."""
    from cotdistill.cli.main import main as cotdistill

    file = write_file(folder, changes, MANY)
    if cotdistill(["capture", str(file), "-o", str(folder / "signals"), "--temperature", "2"]):
        raise SystemExit(1)


def tokens_of_a_step(folder: Path) -> float:
    """Return how many tokens the rows of a step have on average."""
    from cotdistill.distill.trainer.host_rows import host_rows
    from cotdistill.files.yamls import read_yaml

    rows = host_rows(read_yaml(write_file(folder, {}, MANY))).rows
    return BATCH * statistics.mean(len(row["input_ids"]) for row in rows)


def step(folder: Path, changes: dict[str, Any]) -> float:
    """Return the CPU seconds of one step."""
    taken = []
    for steps in (FEW, MANY):
        path = write_file(folder, changes, steps)
        began = time.process_time()
        train_file(path)
        taken.append(time.process_time() - began)
    return (taken[1] - taken[0]) / (MANY - FEW)


if __name__ == "__main__":
    sys.exit(main())
