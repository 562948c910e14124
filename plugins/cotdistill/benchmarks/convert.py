"""Rows of a source become questions of a benchmark, each one counted.

What cannot be read is never dropped silently: in a test split one unreadable row stops the whole
work, because scores over other questions do not compare; elsewhere it is left out and counted with
its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from cotdistill.benchmarks.benchmark import Benchmark
from cotdistill.benchmarks.question import with_ids
from cotdistill.errors import DataError, Fault
from cotdistill.tables import counted

Row = dict[str, Any]
_SHOWN = 20  # faults listed of one source; the rest are counted


@dataclass(frozen=True)
class Questions:
    """What one pass over a source gave: its questions, rows read, and rows left out by reason."""

    rows: list[Row]
    read: int
    dropped: dict[str, int]


@dataclass
class _Counts:
    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


def questions_of(
    declared: Benchmark, split: str, rows: Iterable[Row], place: str, *, any_size: bool = False
) -> Questions:
    """Return the questions in the rows of one split, with ids; `place` names the source in faults.

    Raises:
        DataError: a row is in no known shape, a test row cannot be read, or the number of rows is
            not one known for that split (unless `any_size`).
    """
    counts = _Counts()
    questions = list(with_ids(declared.name, _each(declared, split, rows, place, counts)))
    if counts.faults:
        more = len(counts.faults) - _SHOWN
        shown = counts.faults[:_SHOWN]
        raise DataError([*shown, Fault(place, f"{more} more like these")] if more > 0 else shown)
    known = declared.rows.get(split, ())
    if known and counts.read not in known and not any_size:
        expected = " or ".join(map(str, known)) + " rows"
        remedy = f"if it is meant: cotdistill prepare {declared.name} ... --any-size"
        raise DataError(Fault(place, f"{counted(counts.read, 'row')} of {split}", expected, remedy))
    return Questions(questions, counts.read, dict(sorted(counts.dropped.items())))


def _each(
    declared: Benchmark, split: str, rows: Iterable[Row], place: str, counts: _Counts
) -> Iterator[Row]:
    for number, row in enumerate(rows, start=1):
        counts.read = number
        try:
            yield declared.question(row, split)
        except LookupError as error:
            shapes = " | ".join(dict.fromkeys(str(shape) for shape in declared.shapes))
            wrong = f"its columns ({error}) are in no shape known for {declared.name}"
            remedy = f"declare the shape in dataset_info/benchmarks/{declared.name}.yaml"
            counts.faults.append(Fault(f"{place}: row {number}", wrong, shapes, remedy))
            if number == 1:  # another file altogether: one line says it all
                return
        except ValueError as error:
            what, reason = _reason(error)
            if split == "test":
                counts.faults.append(Fault(f"{place}: row {number}", f"{what}: {reason}"))
            else:
                counts.dropped[f"{what} cannot be read"] += 1


def _reason(error: ValueError) -> tuple[str, str]:
    """Which part of a question cannot be read, and why."""
    problems = getattr(error, "errors", None)  # a pydantic error lists its problems
    if problems is None:
        what, _, reason = str(error).partition(": ")
        return (what, reason) if reason else ("question", what)
    first = problems()[0]
    what = ".".join(map(str, first["loc"])) or "gold"
    return what, str(first["msg"]).removeprefix("Value error, ")
