"""What LLaMA-Factory leaves in its output folder: losses, times, and whether anything was trained.

A training whose folder was used before may train nothing, exit 0 and overwrite its results with a
loss of 0.0, so such a result does not count (`nothing_trained`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object

_NO_TIME = 1.0  # seconds; no training of a step and its bookkeeping is over sooner


def nothing_trained(mean_loss: float, seconds: float) -> str:
    """Return why these totals are not those of a training, or an empty text.

    A mean loss of exactly 0.0 is no result. In no time it is LLaMA-Factory's second run into a
    used folder, which finds the last checkpoint, trains no step and overwrites the results. After
    real work it is what the Trainer logs where every loss was NaN (`logging_nan_inf_filter`), or
    where cutting left no token to learn from.

    >>> nothing_trained(0.0, 0.004), nothing_trained(0.3, 61.5)
    ('loss 0.0 in no time', '')
    >>> nothing_trained(0.0, 80.0)
    'loss 0.0 in 80 s: every loss was NaN, or no token was left to learn from'
    """
    if seconds <= 0 or (mean_loss == 0.0 and seconds < _NO_TIME):
        return f"loss {mean_loss} in no time"
    if mean_loss == 0.0:
        return (
            f"loss 0.0 in {seconds:.0f} s: every loss was NaN, or no token was left to learn from"
        )
    return ""


@dataclass(frozen=True)
class Training:
    """One finished training: seconds, tokens (None where not counted), and losses by step.

    `operations` is the trainer's own count, 6 a weight and token, recomputation left out.
    """

    seconds: float
    mean_loss: float
    tokens: int | None
    curve: tuple[tuple[int, float], ...]
    operations: float | None = None

    @property
    def last_loss(self) -> float:
        """The last logged loss, or the mean one where nothing was logged."""
        return self.curve[-1][1] if self.curve else self.mean_loss

    @property
    def trained_nothing(self) -> str:
        """Why this does not count as a training, or an empty text."""
        return nothing_trained(self.mean_loss, self.seconds)


def read_training(folder: Path) -> Training | None:
    """Return what a training left behind, or None where it has not finished.

    Raises:
        DataError: a file is there and is not what LLaMA-Factory writes.
    """
    totals: dict[str, Any] = {}
    for name in ("all_results.json", "train_results.json"):
        path = folder / name
        if path.is_file():
            totals = _object(path)
            break
    if "train_loss" not in totals or "train_runtime" not in totals:
        return None
    state = folder / "trainer_state.json"
    seen = _object(state) if state.is_file() else {}
    tokens = totals.get("num_input_tokens_seen") or seen.get("num_input_tokens_seen")
    history = seen.get("log_history") or []
    if not isinstance(history, list):
        raise DataError(Fault(f"{state}: log_history", "not a list", "a list of logged steps"))
    return Training(
        seconds=_number(totals, "train_runtime", path),
        mean_loss=_number(totals, "train_loss", path),
        tokens=int(tokens) if isinstance(tokens, int | float) and tokens else None,
        curve=tuple(
            (entry["step"], _number(entry, "loss", state))
            for entry in history
            if isinstance(entry, dict) and "loss" in entry and isinstance(entry.get("step"), int)
        ),
        operations=_number(totals, "total_flos", path) if totals.get("total_flos") else None,
    )


def _number(values: Mapping[str, Any], key: str, path: Path) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(Fault(f"{path}: {key}", f"{value!r}"[:60], "a number"))
    return float(value)


def _object(path: Path) -> dict[str, Any]:
    return read_object(path, "a file of LLaMA-Factory's trainer")


_TAIL = 4096


@dataclass(frozen=True)
class TrainingNow:
    """The progress of a training: steps done and in all, last loss, the host's own time left.

    Units: tokens a second since the start, of all devices; None where the host does not count.
    """

    step: int
    steps: int
    loss: float | None = None
    left: str = ""
    speed: float | None = None

    def __str__(self) -> str:
        loss = "" if self.loss is None else f" loss {self.loss:.4g}"
        speed = "" if self.speed is None else f" {self.speed:,.0f} tokens/s"
        left = f" {self.left} left" if self.left else ""
        return f"step {self.step}/{self.steps}{loss}{speed}{left}"


def training_now(output: Path) -> TrainingNow | None:
    """Return the progress of the training that writes to `output`; None before its first line.

    Only the end of the log is read; a line that is still being written is passed over.
    """
    try:
        with (output / "trainer_log.jsonl").open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    now: TrainingNow | None = None
    for line in reversed(lines):
        try:
            row = json.loads(line)
            if not isinstance(row, dict) or "current_steps" not in row:
                continue
            if now is None:
                speed = row.get("throughput")
                now = TrainingNow(
                    step=int(row["current_steps"]),
                    steps=int(row.get("total_steps", 0)),
                    left=str(row.get("remaining_time", "")),
                    speed=speed if isinstance(speed, int | float) else None,
                )
        except (ValueError, TypeError, OverflowError, RecursionError):
            continue
        if isinstance(row.get("loss"), int | float):
            return replace(now, loss=float(row["loss"]))
    return now if now and now.steps else None


def training_fault(output: Path) -> str:
    """Return why a training that exited with 0 does not count as done, or an empty text."""
    results = output / "train_results.json"
    try:
        read = json.loads(results.read_text(encoding="utf-8"))
        seconds = float(read["train_runtime"])
    except OSError:
        return f"the trainer exited with 0 but wrote no {results.name}"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return f"the trainer exited with 0 but {results.name} holds no train_runtime"
    loss = read.get("train_loss")
    if nothing := nothing_trained(loss if isinstance(loss, float) else math.nan, seconds):
        return (
            f"the trainer exited with 0 but trained nothing (train_runtime {seconds:g}, "
            f"train_loss {loss}): {nothing}"
        )
    if not any(weight_files(output)):
        return "the trainer exited with 0 but wrote no weights"
    return ""


def weight_files(folder: Path) -> list[Path]:
    """Return the files of weights in a folder: a model's, an adapter's, or FSDP's shards."""
    kinds = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin", "pytorch_model_fsdp_0")
    return [path for kind in kinds for path in sorted(folder.glob(kind))]
