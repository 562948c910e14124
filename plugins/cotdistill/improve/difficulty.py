"""How hard questions are: by a key of their meta, or by the samples of the first round.

Without a key, questions are put into fifths by how many of their answers in round 1 were right. The
fifths come from the first half of each question's plain samples, so that what round 1 keeps of the
other half does not depend on the same luck.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FIFTHS = 5
_MOST_VALUES = 10


def bins_by_value(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the questions of each difficulty, the easiest first: a bin a value, or fifths.

    Numbers are ordered as numbers, texts by the numbers in them ("Level 10" after "Level 9").

    >>> bins_by_value({"a": "Level 10", "b": "Level 9", "c": "Level 9"})
    {'Level 9': ['b', 'c'], 'Level 10': ['a']}
    """
    order = sorted(values, key=lambda question: (_rank(values[question]), question))
    distinct = list(dict.fromkeys(str(values[question]) for question in order))
    if len(distinct) <= _MOST_VALUES:
        bins: dict[str, list[str]] = {value: [] for value in distinct}
        for question in order:
            bins[str(values[question])].append(question)
        return bins
    return _fifths(order)


def bins_by_samples(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return fifths of the questions by how many of their first plain samples are right.

    One sample a question tells too little: there are no fifths then.

    >>> rows = [{"question_id": q, "round": 0, "sample": n, "correct": q == "b"}
    ...     for q in "ab" for n in range(2)]
    >>> [name for name, questions in bins_by_samples(rows).items() if questions]
    ['fifth 2', 'fifth 4']
    """
    right: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    kept = []
    for row in rows:
        if row["round"] == 0:
            plain[row["question_id"]] += 1
            kept.append((row["question_id"], row["sample"], row.get("correct") is True))
    if not plain or max(plain.values()) < 2:
        return {}
    for question, number, is_right in kept:
        if number < plain[question] // 2:
            right[question] += is_right
    order = sorted(plain, key=lambda question: (-right[question], _shuffled(question)))
    return _fifths(order)


def _fifths(order: Sequence[str]) -> dict[str, list[str]]:
    count = len(order)
    edges = [round(count * number / FIFTHS) for number in range(FIFTHS + 1)]
    return {
        f"fifth {number + 1}": list(order[edges[number] : edges[number + 1]])
        for number in range(FIFTHS)
    }


def _rank(value: Any) -> tuple[int, tuple[Any, ...]]:
    if isinstance(value, int | float):
        return (0, (value,))
    parts = re.split(r"(\d+)", str(value))
    return (1, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts))


def _shuffled(question: str) -> str:
    return hashlib.sha256(question.encode(errors="surrogatepass")).hexdigest()
