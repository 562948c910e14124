"""How large a training or an evaluation is, in tokens, so that one can be compared with another.

It is read from what decides it: the rows of the arm and the job's own configuration file. It is
about right between jobs of one stage and means nothing alone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.arms.rows import COLUMNS
from cotdistill.errors import FaultsError
from cotdistill.files.jsonl import read_rows
from cotdistill.files.yamls import read_yaml
from cotdistill.runs.jobs import Job, JobId

_CHARACTERS_A_TOKEN = 3.5
_AROUND = 25
"""Tokens of a template in each row; what a batch of prompts costs, in steps of generation."""

_ROWS = 2_000
"""So many rows of an arm are read; a hundred thousand say hardly more."""


@dataclass
class JobSizes:
    """The sizes of the jobs of a run folder; each arm and each file is read once."""

    folder: Path
    known: dict[JobId, float | None] = field(default_factory=dict)
    rows: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def of(self, job: Job) -> float | None:
        """Return the size of a job, None where it is not known or its rows are not there yet.

        A training is as large as the rows that it goes through. An evaluation is as large as the
        longest response of its arm, at most what may be generated: a batch of answers ends with
        the longest. A student that is not trained is taken to go on to that limit.

        Units: tokens, estimated from characters.
        """
        if job.stage not in ("train", "evaluate") or job.file is None:
            return None
        if job.id not in self.known:
            has_rows = job.stage == "train" or bool(job.needs)
            lengths = self._lengths(str(job.arm)) if has_rows else []
            if has_rows and not lengths:
                return None
            try:
                settings = read_yaml(self.folder / job.file)
            except FaultsError:
                settings = {}
            of = _of_training if job.stage == "train" else _of_evaluation
            self.known[job.id] = of(settings, lengths)
        return self.known[job.id]

    def _lengths(self, arm: str) -> list[tuple[float, float]]:
        """Return the tokens of prompt and response of an arm's rows, none where there is no file.

        Units: tokens.
        """
        path = self.folder / "data" / f"{arm}.jsonl"
        if arm not in self.rows and path.is_file():
            with contextlib.suppress(FaultsError, OSError):
                self.rows[arm] = [_length(row) for row in itertools.islice(read_rows(path), _ROWS)]
        return self.rows.get(arm, [])


def _length(row: dict[str, Any]) -> tuple[float, float]:
    sides = {side: len(str(row.get(name) or "")) for side, name in COLUMNS.items()}
    response = sides.pop("response")
    return sum(sides.values()) / _CHARACTERS_A_TOKEN, response / _CHARACTERS_A_TOKEN


def _of_evaluation(settings: dict[str, Any], lengths: list[tuple[float, float]]) -> float | None:
    limit = settings.get("gen_kwargs", {}).get("max_gen_toks") or math.inf
    size = min(max((response for _, response in lengths), default=math.inf), float(limit))
    return None if math.isinf(size) else size + _AROUND


def _of_training(settings: dict[str, Any], lengths: list[tuple[float, float]]) -> float | None:
    """Return the tokens that a training goes through; None of rows by epochs, if they are many."""
    batch = settings.get("per_device_train_batch_size", 1)
    rows = settings.get("max_steps", 0) * batch * settings.get("gradient_accumulation_steps", 1)
    if rows <= 0:
        if len(lengths) == _ROWS:
            return None
        rows = settings.get("num_train_epochs", 1) * len(lengths)
    cutoff = settings.get("cutoff_len", math.inf)
    mean = statistics.fmean(min(prompt + response, cutoff) for prompt, response in lengths)
    return float(rows * (mean + _AROUND))
