"""What LLaMA-Factory leaves in an output folder: the loss curve, the time, the tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault

_NO_TIME = 1.0


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
    def trained_nothing(self) -> bool:
        """Whether this was a second run into a used folder, which reports loss 0.0 in no time.

        LLaMA-Factory finds the last checkpoint, trains no step and overwrites the results.
        """
        return self.mean_loss == 0.0 and self.seconds < _NO_TIME


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
    return Training(
        seconds=float(totals["train_runtime"]),
        mean_loss=float(totals["train_loss"]),
        tokens=int(tokens) if tokens else None,
        curve=tuple(
            (int(entry["step"]), float(entry["loss"]))
            for entry in seen.get("log_history", [])
            if "loss" in entry and "step" in entry
        ),
        operations=float(totals["total_flos"]) if totals.get("total_flos") else None,
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(Fault(str(path), f"not readable as JSON ({error})")) from error
    if not isinstance(held, dict):
        raise DataError(Fault(str(path), "not a JSON object", "a file of LLaMA-Factory's trainer"))
    return held
