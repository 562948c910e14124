"""Model folders of a few thousand weights and a handful of rows, for trainings of seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cotdistill.files.yamls import dump_yaml
from cotdistill.models.scratch import Scratch
from cotdistill.models.scratch_model import build_student

ROWS = [
    {
        "instruction": f"Add {n} and {n * 7 % 11}.",
        "output": f"{n} + {n * 7 % 11} = {n + n * 7 % 11}." + " Indeed." * (n % 5),
    }
    for n in range(48)
]
PAIRED = [
    {
        "instruction": f"Add {n} and {n * 7 % 11}.",
        "output": text.format(a=n, b=n * 7 % 11, c=n + n * 7 % 11),
        "source": source,
    }
    for n in range(16)
    for source, text in (
        ("teacher", "{a} + {b} = {c}. The answer is {c}."),
        ("mentor", "We add {b} to {a}. The answer is {c}."),
        ("mentor", "Sum: {a} + {b}. The answer is {c}."),
    )
]
"""Three rationales of each question, and who wrote them."""
TEXTS = [row["instruction"] + row["output"] for row in ROWS]


def build(folder: Path, width: int = 16, seed: int = 0, **shape: Any) -> Path:
    """Write a model folder whose tokenizer is the same for any shape."""
    settings = {"layers": 1, "heads": 2, "intermediate_size": 32, "vocab_size": 300} | shape
    build_student(Scratch(hidden_size=width, seed=seed, **settings), TEXTS, folder)
    return folder


def write_rows(folder: Path, name: str = "rows") -> None:
    """Write the rows, and `paired` ones, with their registration."""
    (folder / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (folder / "paired.json").write_text(json.dumps(PAIRED), encoding="utf-8")
    columns = {"prompt": "instruction", "response": "output"}
    registry = {
        name: {"file_name": "rows.json", "columns": columns},
        "paired": {"file_name": "paired.json", "columns": columns},
    }
    (folder / "dataset_info.json").write_text(json.dumps(registry), encoding="utf-8")


def training_file(folder: Path, name: str, changes: Mapping[str, Any]) -> Path:
    """Write a training file of LLaMA-Factory for the student and the rows of a folder."""
    arguments = {
        "model_name_or_path": str(folder / "student"), "stage": "sft", "do_train": True,
        "finetuning_type": "full", "dataset_dir": str(folder), "dataset": "rows",
        "template": "chatml", "cutoff_len": 96, "output_dir": str(folder / "out" / name),
        "logging_steps": 1, "save_strategy": "no", "report_to": "none", "use_cpu": True,
        "per_device_train_batch_size": 8, "max_steps": 4, "learning_rate": 5.0e-3, "seed": 1,
        "disable_tqdm": True, "preprocessing_num_workers": 1,
    } | dict(changes)  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(dump_yaml(arguments), encoding="utf-8")
    return path


def train_log(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return what the host logged, evaluations included."""
    path = folder / "out" / name / "trainer_state.json"
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


def losses(folder: Path, name: str, key: str = "loss") -> list[float]:
    """Return a logged number of every step that has it."""
    return [line[key] for line in train_log(folder, name) if key in line]
