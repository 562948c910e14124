"""LLaMA-Factory's own log of a training: where it stands now.

`trainer_log.jsonl` lies in the training's output folder and gets a line every `logging_steps`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_TAIL = 4096


@dataclass(frozen=True)
class TrainingNow:
    """Where a training stands: steps done and in all, last loss, time left in the host's words."""

    step: int
    steps: int
    loss: float | None
    left: str

    def __str__(self) -> str:
        loss = "" if self.loss is None else f" loss {self.loss:.4g}"
        left = f" {self.left} left" if self.left else ""
        return f"step {self.step}/{self.steps}{loss}{left}"


def training_now(output: Path) -> TrainingNow | None:
    """Return where the training that writes to `output` stands, or None before its first line.

    Only the end of the log is read; a line that is still being written is passed over.
    """
    try:
        with (output / "trainer_log.jsonl").open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    step = steps = 0
    left = ""
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or "current_steps" not in row:
            continue
        if not steps:
            step, steps = int(row["current_steps"]), int(row.get("total_steps", 0))
            left = str(row.get("remaining_time", ""))
        if isinstance(row.get("loss"), int | float):
            return TrainingNow(step, steps, float(row["loss"]), left)
    return TrainingNow(step, steps, None, left) if steps else None
