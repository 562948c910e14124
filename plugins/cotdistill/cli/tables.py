"""What verbs print: tables and lines, in which nothing from data can steer the terminal."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from cotdistill.tables import Table, printable

WIDTH = 80
_GAP = 2


def show_table(table: Table) -> None:
    """Print a table on stdout: drawn on a terminal, aligned lines in a pipe.

    No cell is ever cut: on a terminal, columns that do not fit follow in a second table, with the
    columns that name the row repeated, and a last column of words is wrapped. Control and bidi
    characters are shown as escapes.
    """
    table = _printable(table)
    widths = _widths(table)
    if not sys.stdout.isatty():
        for line in _lines(table, widths, list(range(len(widths)))):
            sys.stdout.write(line + "\n")
        for note in table.notes:
            say(note)
        return
    from rich.console import Console

    console = Console()
    names = _names(table)
    while names > 1 and sum(widths[:names]) > console.width * 2 // 3:
        names -= 1  # else hardly anything fits next to them
    for number, places in enumerate(pieces(widths, names, console.width)):
        if number:
            console.print()
        head, *lines = _lines(table, widths, places)
        before_last = sum(widths[place] + _GAP for place in places[:-1])
        lines = [part for line in lines for part in _wrapped(line, before_last, console.width)]
        shown = [
            (head, "bold"),
            ("─" * min(len(head), console.width), "dim"),
            *((one, "") for one in lines),
        ]
        for line, style in shown:
            console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
    for note in table.notes:
        console.print(note, style="dim", markup=False, highlight=False)


def show_narrow(table: Table) -> None:
    """Print a table of results in parts of at most 100 columns, each below what it is about."""
    from cotdistill.results.report.narrow import narrow

    for number, part in enumerate(narrow(table)):
        if number:
            sys.stdout.write("\n")
        if part.title:
            say(f"{part.title}:")
        show_table(part.table)


def show_json(value: Any) -> None:
    """Print a value as JSON on stdout; a number that is none (NaN) is null."""
    text = json.dumps(_finite(value), ensure_ascii=False, indent=2, default=str)
    sys.stdout.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def say(line: str) -> None:
    """Print a line of results on stdout."""
    sys.stdout.write(printable(line) + "\n")


def talk(line: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(printable(line) + "\n")


def wrapped(line: str, indent: int) -> list[str]:
    """Return a line in lines of at most 80 columns; words are never broken.

    >>> for part in wrapped("  note: no GPU is visible; train where one is, or small ones " * 2, 4):
    ...     print(part)
      note: no GPU is visible; train where one is, or small ones   note: no GPU is
        visible; train where one is, or small ones
    """
    return textwrap.wrap(
        line, WIDTH, subsequent_indent=" " * indent, drop_whitespace=True,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def warn(words: str) -> None:
    """Print a warning on stderr."""
    talk(f"warning: {words}")


def _printable(table: Table) -> Table:
    def one_line(text: str) -> str:
        return printable(text).replace("\n", "\\n").replace("\t", " ")

    return Table(
        tuple(map(one_line, table.columns)),
        tuple(tuple(map(one_line, row)) for row in table.rows),
        tuple(map(one_line, table.notes)),
    )


def _lines(table: Table, widths: list[int], places: list[int]) -> list[str]:
    names = _names(table)
    right = {
        place
        for place in places
        if place >= names and all(_is_number(row[place]) for row in table.rows)
    }
    return [
        (" " * _GAP)
        .join(
            row[place].rjust(widths[place]) if place in right else row[place].ljust(widths[place])
            for place in places
        )
        .rstrip()
        for row in (table.columns, *table.rows)
    ]


def _wrapped(line: str, before_last: int, room: int) -> list[str]:
    """Return a line whose last cell goes on below itself where the line is too long.

    Words are never broken: a long name can still be copied, below its row where it must be.

    >>> _wrapped("lora  merges the adapter into its base", 6, 24)
    ['lora  merges the adapter', '      into its base']
    >>> _wrapped("a-long-one  someone/a-long-one", 12, 24)
    ['a-long-one', '    someone/a-long-one']
    """
    cell = line[before_last:]
    if len(line) <= room or room - before_last < len("a few words"):
        return [line]
    first, *others = textwrap.wrap(
        cell, room - before_last, break_long_words=False, break_on_hyphens=False
    ) or [cell]
    parts = [line[:before_last] + first, *(" " * before_last + other for other in others)]
    if max(map(len, parts)) <= room:
        return parts
    below = textwrap.wrap(cell, room - 4, break_long_words=False, break_on_hyphens=False)
    return [line[:before_last].rstrip(), *(f"    {part}" for part in below)]


def pieces(widths: list[int], names: int, room: int) -> list[list[int]]:
    """Return which columns go into which table; the first `names` stand in every one.

    >>> pieces([5, 5, 10, 10, 10], names=2, room=40)
    [[0, 1, 2, 3], [0, 1, 4]]
    """
    leading = list(range(names))
    used = sum(widths[place] + _GAP for place in leading)
    found: list[list[int]] = []
    left = 0
    for place in range(names, len(widths)):
        if not found or left < widths[place] + _GAP:
            found.append([*leading])
            left = room - used
        found[-1].append(place)
        left -= widths[place] + _GAP
    return found or [leading]


def _widths(table: Table) -> list[int]:
    return [max(map(len, cells)) for cells in zip(table.columns, *table.rows, strict=True)]


def _names(table: Table) -> int:
    """How many leading columns name the row: those in which no cell is a number."""
    count = 0
    for place in range(len(table.columns) - 1):
        if any(_is_number(row[place]) for row in table.rows) and table.columns[place] != "seed":
            break
        count += 1
    return max(1, min(count, 5))


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "+-" or not cell
