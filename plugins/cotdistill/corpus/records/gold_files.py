"""Reference answers from a file of their own, by question: for documents and rows without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.question import Strength, asked_alone, question_key
from cotdistill.corpus.records.columns import has_column, text_at
from cotdistill.corpus.records.row_reader import RowReader
from cotdistill.corpus.records.shape import RefusedRowError, SourceInfo
from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.files.jsonl import BadRow, numbered_rows

_MOST_FAULTS = 20
_GOLDS = ("gold", "answer")


@dataclass(frozen=True)
class GoldColumns:
    """The columns of a file of reference answers: what it is joined by, and the answer."""

    on: str
    gold: str


def read_golds(
    path: Path, strength: Strength = "text", columns: GoldColumns | None = None
) -> dict[str, str]:
    """Return the reference answers of a file by `question_key`.

    Without `columns`, a row's question and answer are found by their usual names (`question` or
    `problem`, `gold` or `answer`), else by the row's shape, as `import-traces` knows it.

    Raises:
        DataError: a row cannot be read or lacks either, or a question has two answers; up to 20
            faults at once.
    """
    golds: dict[str, str] = {}
    faults: list[Fault] = []
    for number, row in numbered_rows(path):
        place = f"{path}: row {number}"
        try:
            pairs = [] if isinstance(row, BadRow) else list(_pairs(row, strength, columns, place))
        except DataError as error:
            faults += error.faults
            pairs = []
        if isinstance(row, BadRow):
            faults.append(Fault(place, row.why))
        for key, gold, name in pairs:
            if golds.setdefault(key, gold) != gold:
                faults.append(Fault(place, f"a second gold for {name}", "one gold each"))
        if len(faults) >= _MOST_FAULTS:
            break
    if faults:
        raise DataError(faults)
    return golds


def missing_column(place: str, column: str, row: Mapping[str, Any], option: str) -> Fault:
    """Return the fault of a row that lacks a column named by an option, or holds no text in it."""
    if has_column(row, column):
        return Fault(place, f"'{column}' holds no text", f"text in the column named by {option}")
    known = did_you_mean(column, list(row))
    return Fault(place, f"'{column}' is missing", f"a column named by {option}", known)


def _pairs(
    row: dict[str, Any], strength: Strength, columns: GoldColumns | None, place: str
) -> Iterator[tuple[str, str, str]]:
    """Yield key, reference answer, and what to call the question in a message."""
    if columns is not None:
        joined, gold = text_at(row, columns.on), text_at(row, columns.gold)
        if joined is None:
            raise DataError(missing_column(place, columns.on, row, "--on"))
        if gold is None:
            raise DataError(missing_column(place, columns.gold, row, "--gold"))
        yield question_key(joined), gold, f"{columns.on} {joined!r}"
        return
    found = list(_of_shape(row, strength)) if strength == "words" else []
    asked = asked_alone(row)
    answer = next((text for name in _GOLDS if (text := text_at(row, name)) is not None), None)
    if not found and asked and answer is not None:
        found = [(question_key(row if strength == "text" else asked, strength), answer)]
    found = found or list(_of_shape(row, strength))
    if not found:
        raise DataError(Fault(place, "a row without question and gold", "question and gold"))
    yield from ((key, gold, "one question") for key, gold in found)


def _of_shape(row: dict[str, Any], strength: Strength) -> Iterator[tuple[str, str]]:
    try:
        traces, _ = RowReader(SourceInfo()).read(row)
    except RefusedRowError:
        return
    yield from ((question_key(one.question, strength), one.gold) for one in traces if one.gold)
