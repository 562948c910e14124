"""Columns of a row by name; a name may lead inside with dots: `resps.0.0`, `doc.answer`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def has_column(row: Mapping[str, Any], column: str) -> bool:
    """Return whether a row has a column, whatever it holds."""
    return _at(row, column)[0]


def value_at(row: Mapping[str, Any], column: str) -> Any:
    """Return what a column holds, or None where there is none.

    >>> value_at({"resps": [["4", "5"]]}, "resps.0.1"), value_at({"a.b": 1}, "a.b")
    ('5', 1)
    """
    return _at(row, column)[1]


def text_at(row: Mapping[str, Any], column: str) -> str | None:
    """Return a column as text, or None where it holds none (null, a list, a mapping).

    >>> text_at({"doc": {"answer": 7}}, "doc.answer"), text_at({"doc": {}}, "doc")
    ('7', None)
    """
    value = value_at(row, column)
    if value is None or isinstance(value, dict | list):
        return None
    return value if isinstance(value, str) else str(value)


def _at(row: Mapping[str, Any], column: str) -> tuple[bool, Any]:
    if column in row:
        return True, row[column]
    value: Any = row
    for part in column.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value
