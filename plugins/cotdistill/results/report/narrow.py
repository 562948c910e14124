"""Tables of results for a terminal or a text: at most 100 columns wide where names allow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from cotdistill.results.groups import NEXT
from cotdistill.tables import Table

WIDTH = 100
_GAP = 2
_INTERVALS = (
    ("score %", "95 % interval"), ("vs ", "95 % of it"), ("vs ", "mark"),
    ("difference", "95 % interval"), ("points", "95 % interval"), ("points", "mark"),
    ("run sd", "95 % range"),
)  # fmt: skip
"""What stands in brackets, or as a mark, behind the number of another column."""
_PARTS = ("task", "recipe", "student", "first", "factor")
_ONCE = (
    "questions", "runs", "seeds", "first %", "claim about", "test", "run sd", "run df", "arms",
    "truncated %", "against", "and not",
)  # fmt: skip
"""Columns whose value is said once where all rows have the same."""
_LABELS = frozenset(
    ("task", "student", "arm", "recipe", "factor", "value", "against", "for", "and not", "first",
     "second")
)  # fmt: skip


class Part(NamedTuple):
    """A part of a table: what its rows have in common, in words, and the rows."""

    title: str
    table: Table


@dataclass(frozen=True)
class _Part:
    """A part with what its rows are of, and what else they have in common."""

    table: Table
    names: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    continued: bool = False

    @property
    def title(self) -> str:
        names, facts = ", ".join(self.names), ", ".join(self.facts)
        if self.continued:
            return f"{names}, continued" if names else "continued"
        return f"{names} ({facts})" if names and facts else names or facts


def narrow(table: Table, width: int = WIDTH) -> list[Part]:
    """Return a table in parts that are narrow enough, its notes after the last one.

    Intervals move next to their numbers first, and what all rows have in common is said once; then
    there is a part for each task, student and so on; what is too wide even then has further columns
    in a part of their own. Nothing is left out.

    >>> rows = tuple(("a-task", "a-student", arm, "31.8", "27.5-36.2") for arm in ("one", "two"))
    >>> table = Table(("task", "student", "arm", "score %", "95 % interval"), rows)
    >>> [part.title for part in narrow(table)], [part.title for part in narrow(table, 25)]
    ([''], ['a-task, a-student'])
    >>> narrow(table, 25)[0].table.rows[0]
    ('one', '31.8 (27.5-36.2)')
    """
    if not table.rows or _width(table) <= width:
        return [Part("", table)]
    parts = [_Part(_merged(table))]
    steps: list[Callable[[_Part], list[_Part]]] = [_once]
    for name in _PARTS:
        steps += [partial(_split, name=name), _once]
    steps += [_turned, partial(_pieces, width=width)]
    for step in steps:
        if max(_width(part.table) for part in parts) > width:
            parts = [one for part in parts for one in step(part)]
    *others, last = [Part(part.title, replace(part.table, notes=())) for part in parts]
    return [*others, Part(last.title, replace(last.table, notes=table.notes))]


def _width(table: Table) -> int:
    return _summed(_widths(table))


def _widths(table: Table) -> list[int]:
    return [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]


def _summed(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _merged(table: Table) -> Table:
    """Put intervals and marks into the cells of what they belong to."""
    columns = list(table.columns)
    rows = [list(row) for row in table.rows]
    for owner, name in _INTERVALS:
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


def _once(part: _Part) -> list[_Part]:
    """Say in the title what all rows have in common."""
    table = part.table
    if len(table.rows) < 2:
        return [part]
    same = {
        place: table.rows[0][place]
        for place, name in enumerate(table.columns)
        if name in _ONCE and table.rows[0][place] and len({row[place] for row in table.rows}) == 1
    }
    facts = tuple(f"{table.columns[place]} {value}" for place, value in same.items())
    keep = [place for place in range(len(table.columns)) if place not in same]
    return [replace(part, table=_columns(table, keep), facts=(*part.facts, *facts))]


def _split(part: _Part, name: str) -> list[_Part]:
    """Return a part for each value of a column that is not the only label, without the column."""
    table = part.table
    if name not in table.columns or not _LABELS & set(table.columns) - {name}:
        return [part]
    place = table.columns.index(name)
    others = [n for n in range(len(table.columns)) if n != place]
    by_value: dict[str, list[tuple[str, ...]]] = {}
    for row in table.rows:
        by_value.setdefault(row[place], []).append(row)
    found = []
    for value, rows in by_value.items():
        its = _columns(replace(table, rows=tuple(rows)), others)
        if name == "first" and "second" in its.columns:
            its = _next_to(value, its)
        filled = [n for n in range(len(its.columns)) if any(row[n] for row in its.rows)] or [0]
        title = f"against {value}" if name == "first" else value
        names = (*part.names, title) if value else part.names
        found.append(replace(part, table=_columns(its, filled), names=names))
    return found


def _next_to(first: str, table: Table) -> Table:
    """Leave out of the second names what they all have in common with the first: the student."""
    place = table.columns.index("second")
    names = [row[place].split(NEXT) for row in table.rows]
    common = first.split(NEXT)[:-1]
    while common and not all(name[: len(common)] == common for name in names):
        common.pop()
    rows = [
        (*row[:place], NEXT.join(name[len(common) :]) or row[place], *row[place + 1 :])
        for row, name in zip(table.rows, names, strict=True)
    ]
    return replace(table, rows=tuple(rows))


def _turned(part: _Part) -> list[_Part]:
    """Turn a table with more columns than rows, such as a pivot; its corner says what rows are."""
    table = part.table
    if len(table.rows) >= len(table.columns) - 1 or _LABELS & set(table.columns[1:]):
        return [part]
    head, *rows = zip(table.columns, *table.rows, strict=True)
    return [replace(part, table=Table(tuple(head), tuple(rows), table.notes))]


def _pieces(part: _Part, width: int) -> list[_Part]:
    """Return as many columns as there is room for, then the others, each with the rows' labels."""
    table, widths = part.table, _widths(part.table)
    labels = 1
    while labels < len(widths) - 1 and table.columns[labels] in _LABELS:
        labels += 1
    while labels > 1 and _summed(widths[:labels]) > width * 2 // 3:
        labels -= 1
    leading = list(range(labels))
    found: list[list[int]] = [leading]
    for place in range(labels, len(widths)):
        one = [*found[-1], place]
        if len(found[-1]) > labels and _summed([widths[n] for n in one]) > width:
            found.append([*leading, place])
        else:
            found[-1] = one
    return [
        replace(part, table=_columns(table, keep), continued=bool(number))
        for number, keep in enumerate(found)
    ]


def _columns(table: Table, keep: Sequence[int]) -> Table:
    """Return a table with some of its columns."""
    return Table(
        tuple(table.columns[place] for place in keep),
        tuple(tuple(row[place] for place in keep) for row in table.rows),
        table.notes,
    )
