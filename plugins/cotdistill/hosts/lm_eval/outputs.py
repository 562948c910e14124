"""What lm-eval leaves in its output folder: its exit status 0 does not prove that files exist."""

from __future__ import annotations

import json
from pathlib import Path

from cotdistill.files.json_file import NOT_JSON


def evaluation_fault(output: Path) -> str:
    """Return why an evaluation that exited with 0 does not count as done, or an empty text."""
    results = sorted(output.rglob("results_*.json"))
    if not results:
        return "lm_eval exited with 0 but wrote no results_*.json"
    try:
        read = json.loads(results[-1].read_text(encoding="utf-8"))
    except NOT_JSON:
        return f"lm_eval exited with 0 but {results[-1].name} is not whole"
    if not (isinstance(read, dict) and read.get("results")):
        return f"lm_eval exited with 0 but {results[-1].name} holds no results"
    samples = sorted(output.rglob("samples_*.jsonl"))
    if not samples:
        return "lm_eval exited with 0 but wrote no samples_*.jsonl"
    if empty := [path.name for path in samples if path.stat().st_size == 0]:
        return f"lm_eval exited with 0 but {empty[0]} is empty"
    return ""
