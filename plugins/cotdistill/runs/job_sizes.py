"""How large a training or an evaluation is, in tokens, so that one can be compared with another.

It is read from what decides it: the rows of the arm and the job's own configuration file. It is
about right between jobs of one stage and means nothing alone.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
from collections.abc import Sequence
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
    """The sizes of the jobs of a run folder; a file is read again only after it has changed."""

    folder: Path
    known: dict[tuple[JobId, int], float | None] = field(default_factory=dict)
    rows: dict[tuple[str, int], list[tuple[float, float]]] = field(default_factory=dict)

    def of(self, job: Job) -> float | None:
        """Return the size of a job, None where it is not known or its rows are not there yet.

        A training is as large as the rows that it goes through. An evaluation is as large as the
        longest response of a batch, for a batch of answers ends with the longest, if they are as
        long as those of the arm and at most what may be generated. A student that is not trained
        is taken to go on to that limit.

        Units: tokens, estimated from characters.
        """
        if job.stage not in ("train", "evaluate") or job.file is None:
            return None
        has_rows = job.stage == "train" or bool(job.needs)
        made = _made(self.folder / "data" / f"{job.arm}.jsonl") if has_rows else 0
        if made is None:
            return None
        if (job.id, made) not in self.known:
            lengths = self._lengths(str(job.arm), made) if has_rows else []
            self.known[job.id, made] = self._size(job, lengths) if lengths or not has_rows else None
        return self.known[job.id, made]

    def _size(self, job: Job, lengths: list[tuple[float, float]]) -> float | None:
        try:
            settings = read_yaml(self.folder / str(job.file))
        except FaultsError:
            return None
        if not isinstance(settings, dict):
            return None
        try:
            return (_of_training if job.stage == "train" else _of_evaluation)(settings, lengths)
        except TypeError:  # a value that is no number: its host refuses it, an estimate does not
            return None

    def _lengths(self, arm: str, made: int) -> list[tuple[float, float]]:
        """Return the tokens of prompt and response of an arm's rows, none if it cannot be read.

        Units: tokens.
        """
        if (arm, made) not in self.rows:
            path = self.folder / "data" / f"{arm}.jsonl"
            found = self.rows[arm, made] = []
            with contextlib.suppress(FaultsError, OSError):
                found += [_length(row) for row in itertools.islice(read_rows(path), _ROWS)]
        return self.rows[arm, made]


def _made(path: Path) -> int | None:
    """Return when a file was made, in nanoseconds; None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _number(settings: dict[str, Any], name: str, otherwise: float) -> float:
    """Return a setting, or what stands for one that is missing or null.

    Raises:
        TypeError: it is no number.
    """
    value = settings.get(name)
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}")
    return float(value)


def _length(row: dict[str, Any]) -> tuple[float, float]:
    sides = {side: len(str(row.get(name) or "")) for side, name in COLUMNS.items()}
    response = sides.pop("response")
    return sum(sides.values()) / _CHARACTERS_A_TOKEN, response / _CHARACTERS_A_TOKEN


def _of_evaluation(settings: dict[str, Any], lengths: list[tuple[float, float]]) -> float | None:
    generation = settings.get("gen_kwargs") or {}
    if not isinstance(generation, dict):
        return None
    limit = _number(generation, "max_gen_toks", math.inf)
    responses = [min(response, limit) for _, response in lengths] or [limit]
    batch = settings.get("batch_size")  # a number, or "auto"
    size = longest_of(responses, batch) if isinstance(batch, int) else max(responses)
    return None if math.isinf(size) else size + _AROUND


def longest_of(values: Sequence[float], count: int) -> float:
    """Return how large the largest of so many values is on average, each drawn from all of them.

    >>> longest_of([1.0, 3.0], 1), longest_of([1.0, 3.0], 2), longest_of([1.0, 3.0], 100)
    (2.0, 2.5, 3.0)
    """
    total = len(values)
    shares = [(place / total) ** max(1, count) for place in range(total + 1)]
    ordered = zip(sorted(values), itertools.pairwise(shares), strict=True)
    return math.fsum(value * (upto - below) for value, (below, upto) in ordered)


def _of_training(settings: dict[str, Any], lengths: list[tuple[float, float]]) -> float | None:
    """Return the tokens that a training goes through; None of rows by epochs, if they are many."""
    batch = _number(settings, "per_device_train_batch_size", 1)
    rows = _number(settings, "max_steps", 0) * batch
    rows *= _number(settings, "gradient_accumulation_steps", 1)
    if rows <= 0:
        if len(lengths) == _ROWS:
            return None
        rows = _number(settings, "num_train_epochs", 1) * len(lengths)
    cutoff = _number(settings, "cutoff_len", math.inf)
    mean = statistics.fmean(min(prompt + response, cutoff) for prompt, response in lengths)
    return rows * (mean + _AROUND)
