"""Small traces that the tests of the corpus share; every text in it was written for them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def trace_dict(number: int, **changes: Any) -> dict[str, Any]:
    """Return one good trace about `number` pens, with some of its values changed."""
    double = 2 * number
    row: dict[str, Any] = {
        "id": f"pens-{number}",
        "dataset": "pens",
        "split": "train",
        "question": f"Ida has {number} pens and buys as many again. How many pens has she then?",
        "gold": str(double),
        "rationale": f"She had {number} pens.\n{number} + {number} = {double}.\n"
        f"The answer is {double}",
        "kind": "number",
        "provenance": {"teacher": "tutor", "level": 1, "finish_reason": "stop"},
    }
    return {**row, **changes}


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    lines = path.read_text(encoding="utf-8").split("\n")  # texts may hold other line ends
    return [json.loads(line) for line in lines if line]
