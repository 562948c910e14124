"""A table as text cells, so that a terminal, a file and a page can each draw it."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Control characters move the cursor or colour a terminal; bidirectional ones reorder what is read.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_MARKDOWN = re.compile(r"[\\`*\[\]<>|]|&(?=#?\w+;)|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[#+-](?=\s)")


@dataclass(frozen=True)
class Table:
    """The column names, the cells as text, and lines to be read below."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def printable(text: str) -> str:
    r"""Return text that cannot steer a terminal: control and bidi characters become escapes.

    Tabs and line ends stay.

    >>> printable("a\x1b[2Jb\u202ec\n")
    'a\\x1b[2Jb\\u202ec\n'
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def escaped_markdown(text: str) -> str:
    r"""Return text that Markdown shows as it is, on one line, and never takes for HTML.

    >>> escaped_markdown("cot_gsm8k *a*|<img onerror=x>")
    'cot_gsm8k \\*a\\*\\|&lt;img onerror=x&gt;'
    """
    entities = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
    line = " ".join(printable(text).split())
    return _MARKDOWN.sub(lambda found: entities.get(found[0], f"\\{found[0]}"), line)


def counted(count: int, what: str, several: str = "") -> str:
    """Return a number of things in words, with the plural where it is not the singular and an s.

    >>> counted(1, "run"), counted(1200, "run"), counted(2, "reply", "replies")
    ('1 run', '1,200 runs', '2 replies')
    """
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def duration(seconds: float) -> str:
    """Return a time in the unit that people would say it in.

    >>> duration(59), duration(2520), duration(9000)
    ('59 s', '42 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
