"""What rows show only among other rows: repeated keys, questions that lack a source, balance.

Rows come as arrays of keys. `alive` marks the rows that still count: a row that was dropped for
another reason is no reason to drop its copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.text.words import I64, U64

Mask = NDArray[np.bool_]


def repeated(keys: NDArray[Any], alive: Mask) -> Mask:
    """Mark the living rows that have an earlier living row with the same key.

    >>> repeated(np.array([7, 8, 7, 7]), np.array([False, True, True, True])).tolist()
    [False, False, False, True]
    """
    rows = np.flatnonzero(alive)
    ranked = np.argsort(keys[rows], kind="stable")
    same = np.zeros(len(rows), dtype=bool)
    same[1:] = keys[rows][ranked][1:] == keys[rows][ranked][:-1]
    marked = np.zeros(len(keys), dtype=bool)
    marked[rows[ranked[same]]] = True
    return marked


def two_golds(questions: U64, golds: U64, known: Mask) -> list[I64]:
    """Return the rows of each question that occurs with more than one gold, in row order.

    >>> two_golds(np.array([1, 1, 2, 1], dtype=np.uint64), np.array([5, 6, 5, 5], dtype=np.uint64),
    ...           np.ones(4, dtype=bool))
    [array([0, 1, 3])]
    """
    rows = np.flatnonzero(known)
    order = np.lexsort((rows, golds[rows], questions[rows]))
    question, gold = questions[rows][order], golds[rows][order]
    differs = (question[1:] == question[:-1]) & (gold[1:] != gold[:-1])
    guilty = np.unique(question[1:][differs])
    of_guilty = rows[np.isin(questions[rows], guilty)]
    groups = of_guilty[np.argsort(questions[of_guilty], kind="stable")]
    cuts = np.flatnonzero(np.diff(questions[groups].astype(np.uint64)) != 0) + 1
    return [group for group in np.split(groups, cuts) if len(group)]


def unpaired(questions: U64, sources: NDArray[np.int32], alive: Mask, wanted: int) -> Mask:
    """Mark the living rows whose question does not have a living row in all `wanted` sources.

    >>> unpaired(np.array([1, 1, 2], dtype=np.uint64), np.array([0, 1, 0], dtype=np.int32),
    ...          np.ones(3, dtype=bool), wanted=2).tolist()
    [False, False, True]
    """
    rows = np.flatnonzero(alive)
    keys, group = np.unique(questions[rows], return_inverse=True)
    pairs = np.unique(np.stack([group, sources[rows]], axis=1), axis=0)
    has = np.bincount(pairs[:, 0], minlength=len(keys))
    return _marked(rows[has[group] < wanted], len(questions))


def too_few(questions: U64, alive: Mask, least: int) -> Mask:
    """Mark the living rows whose question has fewer than `least` living rows.

    >>> too_few(np.array([1, 1, 2], dtype=np.uint64), np.ones(3, dtype=bool), 2).tolist()
    [False, False, True]
    """
    rows = np.flatnonzero(alive)
    _, group, counts = np.unique(questions[rows], return_inverse=True, return_counts=True)
    return _marked(rows[counts[group] < least], len(questions))


def over_cap(questions: U64, alive: Mask, cap: int) -> Mask:
    """Mark the living rows beyond the first `cap` of their question.

    >>> over_cap(np.array([1, 2, 1, 1], dtype=np.uint64), np.ones(4, dtype=bool), 2).tolist()
    [False, False, False, True]
    """
    rows = np.flatnonzero(alive)
    order = np.argsort(questions[rows], kind="stable")
    ranked = questions[rows][order]
    opens = np.ones(len(ranked), dtype=bool)
    opens[1:] = ranked[1:] != ranked[:-1]
    place = np.arange(len(ranked))
    nth = place - np.maximum.accumulate(np.where(opens, place, 0))
    return _marked(rows[order[nth >= cap]], len(questions))


def balance(questions: U64, alive: Mask) -> Mapping[str, Any]:
    """Return how evenly the living rows are spread over the questions.

    Units: `rows_per_question` maps a number of rows to the questions that have so many; `share` is
    what the tenth of the questions with the most rows holds of all rows.

    >>> balance(np.array([1, 1, 1, 2], dtype=np.uint64), np.ones(4, dtype=bool))
    {'questions': 2, 'rows': 4, 'rows_per_question': {'1': 1, '3': 1}, 'share_of_top_tenth': 0.75}
    """
    _, counts = np.unique(questions[alive], return_counts=True)
    sizes, how_many = np.unique(counts, return_counts=True)
    top = np.sort(counts)[::-1][: max(1, -(-len(counts) // 10))].sum() if len(counts) else 0
    return {
        "questions": len(counts),
        "rows": int(counts.sum()),
        "rows_per_question": dict(zip(map(str, sizes.tolist()), how_many.tolist(), strict=True)),
        "share_of_top_tenth": round(float(top / max(counts.sum(), 1)), 4),
    }


def _marked(rows: I64, size: int) -> Mask:
    marked = np.zeros(size, dtype=bool)
    marked[rows] = True
    return marked
