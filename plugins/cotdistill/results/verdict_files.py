"""The verdicts that `rescore` and `judge` leave beside samples: where they are, what they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.lm_eval.samples import SampleFile

Source = Literal["run", "rescored", "judged"]


def made_file(file: SampleFile, source: Source) -> Path | None:
    """Return the newest file of verdicts that `rescore` or `judge` made from a samples file."""
    named = re.compile(
        re.escape(f"verdicts_{file.task}_{file.stamp or 'run'}.{source}") + r"(?:-(\d+))?\.jsonl"
    )
    found = [
        (int(match[1] or 1), path)
        for path in file.path.parent.glob("verdicts_*.jsonl")
        if (match := named.fullmatch(path.name))
    ]
    return max(found)[1] if found else None


def made_scores(file: SampleFile, source: Source) -> dict[str, float]:
    """Return the scores by question key that `rescore` or `judge` made; ungraded ones are absent.

    Raises:
        DataError: it was never made for this file.
    """
    path = made_file(file, source)
    if path is None:
        verb = {"rescored": "rescore", "judged": "judge", "run": "eval"}[source]
        wrong = f"no {source} verdicts beside it"
        raise DataError(Fault(str(file.path), wrong, "", f"make them: cotdistill {verb}"))
    return {row["key"]: row["score"] for row in read_rows(path) if row.get("score") is not None}
