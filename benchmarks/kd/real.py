"""A real model as its own teacher, and as the teacher of a copy with half of its layers.

    python -P benchmarks/kd/real.py DATA [--rows 200] [--steps 24] [--folder DIR]

DATA is the folder of 2hojae/mentor-kd's files, of which `svamp_teacher_chains.json` is read: SVAMP
questions with GPT-3.5's rationales. `python tools/models.py float32` builds SmolLM2-135M-Instruct
with float32 weights: most CPUs are slow with bfloat16. Its signals are captured once for these rows
(k = 32). Then two students train from them, through LLaMA-Factory on one core: the model itself,
whose divergence from its teacher is what storing rounds away, and the copy, whose loss should fall
and whose agreement with the teacher should rise. Everything printed is measured here; about ten CPU
minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from training import train_file

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / ".venv" / "models" / "SmolLM2-135M-Instruct-float32"


def main() -> int:
    """Capture, train both students, print their curves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--folder", default="", help="keep everything here; a capture is continued")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the host tells of every file that it reads
    if not MODEL.is_dir():
        sys.stderr.write(f"{MODEL} is not there; type: .venv/bin/python tools/models.py float32\n")
        return 1
    with contextlib.ExitStack() as stack:
        folder = Path(options.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        write_rows(options.data / "svamp_teacher_chains.json", options.rows, folder)
        if not (folder / "half" / "config.json").is_file():
            halve(folder / "half")
        signals = {"signals": str(folder / "signals")}
        kd = {"teacher": signals, "weight": 0.5}
        itself = training_file(folder, "itself", MODEL, {"max_steps": 2, "kd": kd})
        more = {"max_steps": options.steps, "learning_rate": 3.0e-4, "kd": kd}
        half = training_file(folder, "copy", folder / "half", more)
        began = time.process_time()
        captured(itself, folder / "signals")
        print(f"capture: {time.process_time() - began:.0f} CPU s", flush=True)
        for file in (itself, half):
            began = time.process_time()
            train_file(file)
            print(f"\n{file.stem}: {time.process_time() - began:.0f} CPU s", flush=True)
            show(folder / "out" / file.stem / "kd_log.jsonl")
    return 0


def write_rows(path: Path, count: int, folder: Path) -> None:
    """Write the first rationale of the first questions as a training set."""
    rows: dict[str, dict[str, str]] = {}
    for chain in json.loads(path.read_text(encoding="utf-8")):
        question = chain["input"].strip()
        answer = f"{chain['chain'].strip()} The answer is {chain['answer']}."
        rows.setdefault(question, {"instruction": question, "output": answer})
    some = list(rows.values())[:count]
    (folder / "svamp.json").write_text(json.dumps(some), encoding="utf-8")
    columns = {"prompt": "instruction", "response": "output"}
    registry = {"svamp": {"file_name": "svamp.json", "columns": columns}}
    (folder / "dataset_info.json").write_text(json.dumps(registry), encoding="utf-8")


def halve(out: Path) -> None:
    """Write the model with every second of its layers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    kept = torch.nn.ModuleList(list(model.model.layers)[::2])
    for number, layer in enumerate(kept):
        layer.self_attn.layer_idx = number
    model.model.layers, model.config.num_hidden_layers = kept, len(kept)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(out)


def training_file(folder: Path, name: str, model: Path, changes: dict[str, Any]) -> Path:
    """Write a training file of LLaMA-Factory with a `kd:` block."""
    from cotdistill.files.yamls import dump_yaml

    arguments = {
        "model_name_or_path": str(model), "stage": "sft", "do_train": True,
        "finetuning_type": "full", "dataset_dir": str(folder), "dataset": "svamp",
        "template": "smollm2", "cutoff_len": 256, "output_dir": str(folder / "out" / name),
        "overwrite_output_dir": True, "logging_steps": 1, "save_strategy": "no",
        "report_to": "none", "use_cpu": True, "per_device_train_batch_size": 8,
        "learning_rate": 1.0e-5, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2,
        "seed": 1, "disable_tqdm": True, "preprocessing_num_workers": 1,
        "disable_gradient_checkpointing": True,
    } | changes  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(dump_yaml(arguments), encoding="utf-8")
    return path


def captured(file: Path, folder: Path) -> None:
    """Store the teacher's signals for a training file's rows, as the command does."""
    from cotdistill.cli.main import main as cotdistill

    words = ["capture", str(file), "--teacher", str(MODEL), "-o", str(folder)]
    if cotdistill([*words, "--part-tokens", "5000"]):
        raise SystemExit(1)


def show(log: Path) -> None:
    """Print loss and agreement of each step."""
    print(f"{'step':>6}{'CE':>9}{'KD':>9}{'same likeliest':>16}{'KD of gradient':>16}")
    for text in log.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        print(
            f"{line['step']:>6}{line['ce']:>9.4f}{line['kd']:>9.4f}"
            f"{line['kd_agreement']:>16.1%}{line['kd_share']:>16.3f}"
        )


if __name__ == "__main__":
    sys.exit(main())
