"""Whether a finished training was made with just a given training file.

LLaMA-Factory does not keep the file that it read. What it leaves is a model card with the main
hyperparameters, and times: a file that is older than the start of the training, and has not been
written since, is the one that was read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cotdistill.errors import FaultsError
from cotdistill.files.yamls import parse_yaml, read_yaml
from cotdistill.hosts.llamafactory.outputs import training_fault

_IN_CARD = {
    "learning_rate": "learning_rate",
    "per_device_train_batch_size": "train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "seed": "seed",
    "lr_scheduler_type": "lr_scheduler_type",
    "num_train_epochs": "num_epochs",
    "max_steps": "training_steps",
}
_ENTRY = re.compile(r"^- (\w+): (.*)$", re.MULTILINE)


def why_not_trained_with(output: Path, file: Path, made_from: Iterable[Path]) -> str:
    """Return why a training is not known to be one of `file`, or an empty text if it is.

    `made_from` are the rows and the model that the file names, as far as they lie here. The
    training must be whole, its card must agree with the file, and none of the files may have been
    written after it began.
    """
    if fault := training_fault(output):
        return fault.removeprefix("the trainer exited with 0 but ")
    try:
        arguments = read_yaml(file)
        card = (output / "README.md").read_text(encoding="utf-8")
        head = parse_yaml(card.split("---")[1], "model card")
        results = output / "train_results.json"
        seconds = float(json.loads(results.read_text(encoding="utf-8"))["train_runtime"])
    except (OSError, ValueError, KeyError, IndexError, TypeError, FaultsError):
        return "its model card cannot be read"
    if differing := _differing(arguments, head if isinstance(head, dict) else {}, card):
        return f"trained with another {', '.join(differing)}"
    began = results.stat().st_mtime - seconds
    for path in (file, *made_from):
        if _last_written(path) > began:
            return f"{path.name} was written after the training began"
    return ""


def _differing(arguments: Mapping[str, Any], head: Mapping[str, Any], card: str) -> list[str]:
    """Return the keys of a training file of which the card says something else."""
    listed = dict(_ENTRY.findall(card))
    found = []
    for key, name in _IN_CARD.items():
        if key not in arguments or (key == "num_train_epochs" and "max_steps" in arguments):
            continue
        expected = arguments[key]
        shown = listed.get(name, "1" if key == "gradient_accumulation_steps" else "")
        if not _equal(expected, shown):
            found.append(key)
    if head.get("base_model") != arguments.get("model_name_or_path"):
        found.append("model_name_or_path")
    if f"on the {arguments.get('dataset')} dataset" not in card:
        found.append("dataset")
    return found


def _equal(expected: Any, shown: str) -> bool:
    if isinstance(expected, int | float):
        try:
            return float(shown) == float(expected)
        except ValueError:
            return False
    return shown.rpartition(".")[2].lower() == str(expected).lower()


def _last_written(path: Path) -> float:
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return max((one.stat().st_mtime for one in files if one.exists()), default=0.0)
