"""A table as text cells, so that a terminal, a file and a page can each draw it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """The column names, the cells as text, and lines to be read below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def markdown_of(table: Table) -> str:
    """Return a table as Markdown, without its notes.

    >>> print(markdown_of(Table(("name", "rows"), (("gsm8k", "7,473"),))))
    | name | rows |
    | --- | --- |
    | gsm8k | 7,473 |
    """
    lines = [table.columns, ("---",) * len(table.columns), *table.rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
