"""The pooled table for a terminal or a text: at most 100 columns wide where names allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from cotdistill.tables import Table

WIDTH = 100
_GAP = 2
_SCORE, _DIFFERENCE = "score %", "vs "


class Part(NamedTuple):
    """A part of a table: what its rows have in common, in words, and the rows."""

    title: str
    table: Table


def narrow(table: Table, width: int = WIDTH) -> list[Part]:
    """Return a table of arms in parts that are narrow enough, its notes after the last one.

    Intervals move next to their numbers first; then there is a part for each task, and for each
    student.

    >>> rows = tuple(("a-task", "a-student", arm, "31.8", "27.5-36.2") for arm in ("one", "two"))
    >>> table = Table(("task", "student", "arm", "score %", "95 % interval"), rows)
    >>> [part.title for part in narrow(table)], [part.title for part in narrow(table, 25)]
    ([''], ['a-task, a-student'])
    >>> narrow(table, 25)[0].table.rows[0]
    ('one', '31.8 (27.5-36.2)')
    """
    if _width(table) <= width:
        return [Part("", table)]
    parts = [Part("", _merged(table))]
    for name in ("task", "student"):
        if max(_width(part.table) for part in parts) > width:
            parts = [one for part in parts for one in _split(part, name)]
    last = parts[-1]
    plain = [Part(part.title, replace(part.table, notes=())) for part in parts[:-1]]
    return [*plain, Part(last.title, replace(last.table, notes=table.notes))]


def _width(table: Table) -> int:
    widths = [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def _merged(table: Table) -> Table:
    """Put intervals and marks into the cells of what they belong to."""
    columns = list(table.columns)
    rows = [list(row) for row in table.rows]
    pairs = [(_SCORE, "95 % interval"), (_DIFFERENCE, "95 % of it"), (_DIFFERENCE, "mark")]
    for owner, name in pairs:
        mine = next((n for n, column in enumerate(columns) if column.startswith(owner)), None)
        if mine is None or name not in columns:
            continue
        place = columns.index(name)
        del columns[place]
        for row in rows:
            more = row.pop(place)
            if more:
                row[mine] += f" {more}" if name == "mark" else f" ({more})"
    return Table(tuple(columns), tuple(map(tuple, rows)), table.notes)


def _split(part: Part, name: str) -> list[Part]:
    """Return a part for each value of a column, without the column."""
    table = part.table
    if name not in table.columns:
        return [part]
    place = table.columns.index(name)

    def without(row: Sequence[str]) -> tuple[str, ...]:
        return (*row[:place], *row[place + 1 :])

    by_value: dict[str, list[tuple[str, ...]]] = {}
    for row in table.rows:
        by_value.setdefault(row[place], []).append(without(row))
    return [
        Part(", ".join(filter(None, [part.title, value])), _filled(without(table.columns), rows))
        for value, rows in by_value.items()
    ]


def _filled(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a table without columns in which nothing is left."""
    keep = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    return Table(
        tuple(columns[place] for place in keep),
        tuple(tuple(row[place] for place in keep) for row in rows),
    )
