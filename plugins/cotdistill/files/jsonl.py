"""Rows of data in and out: JSON Lines streamed, JSON arrays read, files written whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_whole

Row = dict[str, Any]

_HALF_A_SIGN = re.compile("[\ud800-\udfff]")
_encoded = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` would make one for every row


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a `.jsonl` file (streamed) or of a `.json` array, in file order.

    Raises:
        DataError: the file is missing, empty, not UTF-8, not JSON, or a row is not an object;
            the place names the line (JSON Lines) or the row (array), both counted from 1.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a .jsonl or .json file"))
    found = False
    rows = _array_rows(path) if path.suffix == ".json" else _lines(path)
    for row in rows:
        found = True
        yield row
    if not found:
        raise DataError(Fault(str(path), "the file is empty", "at least one row"))


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as JSON Lines, whole or not at all, and return how many there were."""
    count = 0
    with written_whole(path) as stream:
        for row in rows:
            stream.write(row_line(row))
            count += 1
    return count


def row_line(row: Row) -> str:
    r"""Return one row as a JSON line; the keys keep their order, signs are not escaped.

    >>> row_line({"question": "π?", "answer": 3})
    '{"question": "π?", "answer": 3}\n'
    """
    line = _encoded(row)
    if not line.isascii() and _HALF_A_SIGN.search(line):
        line = json.dumps(row)  # half of a surrogate pair has no UTF-8, only an escape
    return line + "\n"


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON that can be written as UTF-8, whatever text it holds.

    >>> print(json_text({"reason": "half \ud83d"}), json_text("π"))
    {"reason": "half \ud83d"} "π"
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not text.isascii() and _HALF_A_SIGN.search(text):
        text = json.dumps(value, indent=indent)
    return text


def _lines(path: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _row(line, f"{path}:{number}")
    except UnicodeDecodeError as error:
        raise DataError(_encoding_fault(path, error)) from error


def _array_rows(path: Path) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(_encoding_fault(path, error)) from error
    if not text.strip():
        return
    try:
        rows = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        wrong = f"not JSON ({getattr(error, 'msg', 'nested too deeply')})"
        raise DataError(Fault(f"{path}:{line}", wrong, "a JSON array of objects")) from error
    if not isinstance(rows, list):
        raise DataError(Fault(str(path), f"a JSON {_kind(rows)}", "a JSON array of objects"))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(Fault(f"{path}: row {number}", f"a {_kind(row)}", "an object"))
        yield row


def _row(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        wrong = f"not JSON ({getattr(error, 'msg', 'nested too deeply')})"
        raise DataError(Fault(place, wrong, "one JSON object a line")) from error
    if not isinstance(row, dict):
        raise DataError(Fault(place, f"a {_kind(row)}", "one JSON object a line"))
    return row


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _encoding_fault(path: Path, error: UnicodeDecodeError) -> Fault:
    wrong = f"not UTF-8 (byte {error.object[error.start]:#04x})"
    return Fault(str(path), wrong, "UTF-8", f"convert it: iconv -t UTF-8 {path.name}")
