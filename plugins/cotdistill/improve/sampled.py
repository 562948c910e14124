"""What a round sampled, question by question: read once, in the order of the samples file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.files.jsonl import read_rows
from cotdistill.teach.sampling import normal

SAMPLES, TRACES, LEDGER = "samples.jsonl", "traces.jsonl", "ledger.json"


@dataclass
class Sampled:
    """Counts of a round's samples.

    `right` has the different correct answers of each question, 0 included; `correct` all correct
    ones, copies too.
    """

    right: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    correct: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def coverage(self) -> float:
        """The share of questions with a correct answer."""
        return sum(map(bool, self.right.values())) / max(1, len(self.right))

    @property
    def histogram(self) -> dict[str, int]:
        """How many questions have so many different correct answers."""
        counts = Counter(self.right.values())
        return {str(number): counts[number] for number in sorted(counts)}

    @property
    def distinct(self) -> float | None:
        """The share of correct answers that are no copies, None where none is correct."""
        return sum(self.right.values()) / self.correct if self.correct else None

    @property
    def truncated(self) -> float:
        """The share of samples that were cut off."""
        return self.outcomes["cut_off"] / max(1, self.samples)


def sample_rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the samples of a folder that `sample` wrote."""
    yield from read_rows(folder / SAMPLES)


def trace_rows(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the traces of a folder that `sample` wrote; it may have kept none."""
    path = folder / TRACES
    if path.stat().st_size:
        yield from read_rows(path)


def count_samples(folder: Path) -> Sampled:
    """Return the counts of a folder that `sample` wrote."""
    found = Sampled()
    texts: set[bytes] = set()
    for row in sample_rows(folder):
        question = str(row["question_id"])
        found.right.setdefault(question, 0)
        found.samples += 1
        found.outcomes[str(row.get("outcome"))] += 1
        if row.get("correct") is True and not row.get("rejected"):
            found.correct += 1
            text = f"{question}\0{normal(str(row['response']))}"
            mark = hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:12]
            if mark not in texts:
                texts.add(mark)
                found.right[question] += 1
    return found
