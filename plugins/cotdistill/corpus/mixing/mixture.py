"""Which rows of which source make up a mixed training set: exact, seeded, nested.

Every source has one fixed order under a seed, and a mixture takes a beginning of it. So a source
that is given more rows keeps the rows it had: the long traces of a 0.2 mix are among those of the
0.4 mix with the same seed. The order is arithmetic on 64-bit integers written here, not a library's
random stream, and so stays the same from release to release.

    mixture               weights by rows
    mixture_of_tokens     weights by tokens
    matched_mixture       the same questions in every mixture: each question comes from one source
    length_matched_mixture  the same lengths in every mixture: sources are paired by length first
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cotdistill.errors import DataError, Fault
from cotdistill.tables import counted

Draw = dict[str, list[int]]
Key = TypeVar("Key", str, int)


def apportion(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Split a whole number by weights, exactly, by the largest remainder.

    Ties: the source named first is rounded up.
    Source: Hamilton's method.

    Raises:
        DataError: there are no weights, one is negative or not finite, all are 0, or the total
            is negative.

    >>> apportion({"long": 0.2, "short": 0.8}, 5383)
    {'long': 1077, 'short': 4306}
    """
    faults = [
        Fault(f"mix.{source}", f"weight {weight!r}", "a number of 0 or more")
        for source, weight in weights.items()
        if not math.isfinite(weight) or weight < 0
    ]
    if total < 0:
        faults.append(Fault("mix", f"{counted(total, 'row')} asked", "0 or more"))
    if not faults and not any(weights.values()):
        faults.append(Fault("mix", "no source has a weight above 0", "at least one"))
    if faults:
        raise DataError(faults)
    exact = {source: Fraction(str(weight)) for source, weight in weights.items()}
    whole = sum(exact.values())
    shares = {source: weight * total / whole for source, weight in exact.items()}
    counts = {source: math.floor(share) for source, share in shares.items()}
    by_remainder = sorted(shares, key=lambda source: counts[source] - shares[source])
    for source in by_remainder[: total - sum(counts.values())]:
        counts[source] += 1
    return counts


def draw_order(size: int, seed: int, name: str) -> NDArray[np.int64]:
    """Return the order in which a source's rows are taken: a permutation of 0 .. size-1.

    It depends on the seed, the source's name and its size only.

    >>> draw_order(5, seed=42, name="long").tolist()
    [2, 0, 3, 1, 4]
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    start = np.uint64(int.from_bytes(digest[:8], "little"))
    with np.errstate(over="ignore"):  # splitmix64 (Steele, Lea and Flood 2014) counts modulo 2^64
        mixed = start + np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return np.argsort(mixed, kind="stable").astype(np.int64)


def mixture(
    sizes: Mapping[str, int],
    weights: Mapping[str, float],
    rows: int,
    seed: int,
    *,
    replace: bool = False,
) -> Draw:
    """Choose `rows` rows by weight; each source's row numbers (from 0) in the order drawn.

    With `replace`, a source that is too small is gone through again from its start, so its rows are
    used equally often, give or take one; without it, what cannot be met is refused.

    Raises:
        DataError: a source has no weight or no size, or has too few rows; the message says the
            most rows that these weights allow.

    >>> mixture({"long": 10, "short": 10}, {"long": 0.2, "short": 0.8}, rows=5, seed=1)
    {'long': [2], 'short': [9, 7, 0, 2]}
    """
    _same_sources(sizes, weights, "rows")
    counts = apportion(weights, rows)
    if not replace:
        short = {source: count for source, count in counts.items() if count > sizes[source]}
        if short:
            raise DataError(_too_few(short, sizes, _most_rows(sizes, weights, rows), "rows"))
    empty = [source for source, count in counts.items() if count and not sizes[source]]
    if empty:
        raise DataError([Fault(f"mix.{source}", "has no rows") for source in empty])
    drawn = {}
    for source, count in counts.items():
        order = draw_order(sizes[source], seed, source)
        drawn[source] = np.resize(order, count).tolist() if count else []
    return drawn


def mixture_of_tokens(
    tokens: Mapping[str, Sequence[int]], weights: Mapping[str, float], budget: int, seed: int
) -> Draw:
    """Choose rows so that each source fills its share of a token budget and never exceeds it.

    A source's rows are taken in order up to the last that still fits, so each source falls short
    of its share by less than its next row.

    Shapes: tokens [sources][rows].

    Raises:
        DataError: as `mixture`; the message says the largest budget.

    >>> mixture_of_tokens({"a": [3, 3, 3, 3], "b": [5, 5]}, {"a": 1, "b": 1}, budget=13, seed=0)
    {'a': [2, 1], 'b': [1]}
    """
    _same_sources(tokens, weights, "tokens")
    totals = {source: sum(counts) for source, counts in tokens.items()}
    shares = apportion(weights, budget)
    short = {source: share for source, share in shares.items() if share > totals[source]}
    if short:
        raise DataError(_too_few(short, totals, _most_rows(totals, weights, budget), "tokens"))
    drawn = {}
    for source, share in shares.items():
        order = draw_order(len(tokens[source]), seed, source).tolist()
        filled = list(accumulate(tokens[source][row] for row in order))
        drawn[source] = order[: bisect_right(filled, share)]
    return drawn


def matched_mixture(
    questions: Mapping[str, Sequence[Key]],
    weights: Mapping[str, float],
    rows: int,
    seed: int,
) -> Draw:
    """Choose the same `rows` questions whatever the weights, each from exactly one source.

    Only questions that every source has are used, at a source's first row for it. The first
    source named takes the first questions, the last one the last: growing a source's weight
    keeps the questions it had when it stands first or last.

    Shapes: questions [sources][rows]: what identifies the question of each row.

    Raises:
        DataError: fewer questions are shared by all sources than rows asked.

    >>> matched_mixture({"long": "abcd", "short": "dcba"}, {"long": 1, "short": 3}, 4, seed=3)
    {'long': [2], 'short': [3, 0, 2]}
    """
    _same_sources(questions, weights, "rows")
    first: dict[str, dict[Key, int]] = {}
    for source, keys in questions.items():
        first[source] = {}
        for row, key in enumerate(keys):
            first[source].setdefault(key, row)
    shared = sorted(set.intersection(*(set(rows_of) for rows_of in first.values())))
    if rows > len(shared):
        raise DataError(
            Fault(
                "mix",
                f"{rows} matched rows asked, {counted(len(shared), 'question')} in every source",
                f"at most {counted(len(shared), 'row')}",
            )
        )
    counts = apportion(weights, rows)
    chosen = iter(shared[place] for place in draw_order(len(shared), seed, "questions")[:rows])
    return {
        source: [first[source][next(chosen)] for _ in range(count)]
        for source, count in counts.items()
    }


def length_matched_mixture(
    lengths: Mapping[str, Sequence[int]],
    weights: Mapping[str, float],
    rows: int,
    seed: int,
    *,
    steps_per_doubling: int = 8,
) -> Draw:
    """Choose rows so that the lengths are spread alike in every mixture, whatever the weights.

    Rows of all sources are paired within bands of length (each 1/8 of a doubling wide, 9 %), and
    each pair gives one row from one source. Sources that differ in length therefore differ in
    what they say and not in how much; the tails that only one source has are left out.

    Shapes: lengths [sources][rows], in tokens or characters.

    Raises:
        DataError: fewer pairs exist than rows asked.

    >>> length_matched_mixture({"a": [10, 90, 50], "b": [52, 11, 9]}, {"a": 1, "b": 0}, 1, seed=0)
    {'a': [2], 'b': []}
    """
    keys: dict[str, list[str]] = {}
    for source, of_rows in lengths.items():
        seen: dict[int, int] = {}
        by_row = [""] * len(of_rows)
        for row in draw_order(len(of_rows), seed, source).tolist():
            band = math.floor(math.log2(max(of_rows[row], 1)) * steps_per_doubling)
            seen[band] = seen.get(band, 0) + 1
            by_row[row] = f"{band:06d}-{seen[band]:09d}"
        keys[source] = by_row
    return matched_mixture(keys, weights, rows, seed)


def interleaved(drawn: Mapping[str, Sequence[int]], seed: int) -> list[tuple[str, int]]:
    """Put the rows of a draw in one seeded order: pairs of source and row number.

    >>> interleaved({"long": [7], "short": [3, 4]}, seed=1)
    [('long', 7), ('short', 4), ('short', 3)]
    """
    rows = [(source, row) for source, taken in drawn.items() for row in taken]
    return [rows[place] for place in draw_order(len(rows), seed, "order")]


def _most_rows(sizes: Mapping[str, int], weights: Mapping[str, float], asked: int) -> int:
    """Return the most rows below `asked` that these weights can be given exactly."""
    whole = sum(Fraction(str(weight)) for weight in weights.values())
    bounds = [
        (sizes[source] + 1) * whole / Fraction(str(weight))
        for source, weight in weights.items()
        if weight
    ]
    most = min(asked, *map(math.ceil, bounds))
    while any(count > sizes[source] for source, count in apportion(weights, most).items()):
        most -= 1
    return most


def _too_few(
    short: Mapping[str, int], there: Mapping[str, int], most: int, unit: str
) -> list[Fault]:
    return [
        Fault(
            f"mix.{source}",
            f"{count} {unit} asked, {there[source]} there",
            f"at most {most} {unit} in all at these weights",
        )
        for source, count in short.items()
    ]


def _same_sources(sizes: Mapping[str, object], weights: Mapping[str, float], unit: str) -> None:
    faults = [
        Fault(f"mix.{source}", "has a weight but is no source", f"a source with its {unit}")
        for source in weights
        if source not in sizes
    ] + [
        Fault(f"mix.{source}", "is a source without a weight", "a number of 0 or more")
        for source in sizes
        if source not in weights
    ]
    if faults:
        raise DataError(faults)
