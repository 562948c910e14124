"""Rows of data in and out: JSON Lines streamed, JSON arrays and Parquet read, files written whole.

There is one reader with two manners. `read_rows` is strict: the first broken row stops it.
`numbered_rows` yields a `BadRow` in its place, so that a caller can name all of them, or leave them
out and count them. Both word what is wrong alike, and neither holds a huge line or a row that is
nested without end.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_whole
from cotdistill.files.inputs import changed_fault

Row = dict[str, Any]

LONGEST = 32 << 20  # bytes of one line; a longer one is a broken file, not a trace
_LONGEST_STRICT = 256 << 20  # a row of samples holds every repeat of a question
_DEEPEST = 200
_PIECE = 1 << 20
_SHOWN_BYTES = 80
_DIGITS_AS_ZERO = bytes(48 if 48 <= byte <= 57 else byte for byte in range(256))
_TWENTY_DIGITS = b"0" * 19  # 19 of them may be more than 64 bits hold
_BOM = b"\xef\xbb\xbf"
_NO_TEXT = (
    (b"\x1f\x8b", "compressed with gzip", "unpack it: gunzip"),
    (b"BZh", "compressed with bzip2", "unpack it: bunzip2"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it: zstd -d"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it: unzip"),
    (b"PAR1", "a Parquet file", "name it .parquet"),
    (b"\xff\xfe", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "convert it: iconv -f UTF-16 -t UTF-8"),
)
"""How files begin that are often given in place of JSON, what they are, and what to do."""
_HALF_SURROGATE = re.compile("[\ud800-\udfff]")
_encoded = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` would make one for every row


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: why, and its beginning."""

    why: str
    text: str = ""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file (streamed) or of a JSON array, in file order.

    Which of them a file is follows from what is in it: many `.json` files of the hub hold lines.

    Raises:
        DataError: the file is missing, empty, not UTF-8, not JSON, changes while it is read, or a
            row is not an object; the place names the line (JSON Lines) or the row (array), both
            counted from 1.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a .jsonl or .json file"))
    is_empty = True
    with opened(path) as stream:
        is_array = _is_array(path, stream)
        rows = _array(path, stream) if is_array else _lines(path, stream, _LONGEST_STRICT)
        for number, row in rows:
            if isinstance(row, BadRow):
                place = f"{path}: row {number}" if is_array else f"{path}:{number}"
                raise DataError(Fault(place, row.why))
            is_empty = False
            yield row
    if is_empty:
        raise DataError(Fault(str(path), "the file is empty", "at least one row"))


def numbered_rows(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield line number (from 1) and row; of a JSON array or Parquet file, the row's number.

    JSON Lines are streamed. An array in a `.jsonl` file, or lines in a `.json` file, are read for
    what they are.

    Raises:
        DataError: the file is missing, empty, changes while it is read, or is an array that is not
            JSON as a whole.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a .jsonl, .json or .parquet file"))
    number = 0
    for number, row in _numbered(path):
        yield number, row
    if not number:
        raise DataError(Fault(str(path), "the file is empty", "at least one row"))


def _numbered(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    if path.suffix == ".parquet":
        from cotdistill.files.parquet import parquet_rows

        yield from enumerate(parquet_rows(path), start=1)
        return
    with opened(path) as stream:
        opening = _opening(path, stream)
        yield from _array(path, stream) if opening == b"[" else _lines(path, stream, LONGEST)


def _is_array(path: Path, stream: IO[bytes]) -> bool:
    """Whether a file is read as one array: it begins as one, or is a `.json` without lines."""
    if _opening(path, stream) == b"[":
        return True
    if path.suffix != ".json":
        return False
    first, rest = stream.readline(LONGEST), stream.read(4096)
    stream.seek(0)
    return not rest.strip() or isinstance(parsed(first.removeprefix(_BOM)), BadRow)


def _opening(path: Path, stream: IO[bytes]) -> bytes:
    """Return the first character of a text.

    Raises:
        DataError: it is no text in UTF-8 but a compressed file, say.
    """
    start = stream.read(4096)
    stream.seek(0)
    for mark, what, remedy in _NO_TEXT:
        if start.startswith(mark):
            raise DataError(Fault(str(path), what, "JSON in UTF-8", remedy))
    return start.removeprefix(_BOM).lstrip()[:1]


def opened(path: Path) -> IO[bytes]:
    """Open a file to read its bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
        remedy = "see who may read it: ls -l" if error.errno == errno.EACCES else ""
        raise DataError(Fault(str(path), wrong, "", remedy)) from error


def parsed(line: bytes) -> Row | BadRow:
    r"""Return one line as a row, or why it is none.

    >>> parsed(b'{"a": 1}'), parsed(b"[1]").why, parsed(b'{"a": 1').why
    ({'a': 1}, 'a list; expected one JSON object a line', "not JSON (Expecting ',' delimiter)")
    >>> parsed(b'{"a": "\xe9"}').why
    'not UTF-8 (byte 0xe9); convert it: iconv -t UTF-8'
    >>> parsed(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}").why
    'not JSON (nested more than 200 deep)'
    """
    row = _quickly(line)
    if row is None:
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            return BadRow(_fault_of(error), _shown(line))
    if not isinstance(row, dict):
        return BadRow(f"a {_kind(row)}; expected one JSON object a line", _shown(line))
    # few rows have so many brackets, and in most of those they are text
    if line.count(b"[") + line.count(b"{") > _DEEPEST and _is_deep(row):
        return BadRow(_TOO_DEEP, _shown(line))
    return row


def _quickly(line: bytes) -> Any:
    """Return what a line holds, or None where only Python's own reader says what that is.

    The quick one makes floats of whole numbers of 20 digits and more, and refuses NaN, infinity and
    half a surrogate pair. All else is equal in both.
    """
    if _TWENTY_DIGITS in line.translate(_DIGITS_AS_ZERO):
        return None
    try:
        return orjson.loads(line)
    except ValueError:
        return None


def whole_line(stream: IO[bytes], longest: int | None = None) -> bytes | BadRow:
    """Return the next line, b"" at the end of the file; never hold a huge one."""
    longest = longest or LONGEST
    line = stream.readline(longest)
    if len(line) < longest or line.endswith(b"\n"):
        return line
    beginning, length = line[:_SHOWN_BYTES], len(line)
    del line  # a quarter of a gigabyte is not held twice
    while (more := stream.readline(_PIECE)) and not more.endswith(b"\n"):
        length += len(more)
    return too_long(length + len(more), beginning, longest)


def too_long(length: int, line: bytes, longest: int | None = None) -> BadRow:
    """Return the bad row of a line that is longer than allowed, given its first bytes."""
    most = (longest or LONGEST) >> 20
    return BadRow(f"a line of {length >> 20} MiB, expected at most {most}", _shown(line))


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows as JSON Lines, whole or not at all, and return how many there were."""
    count = 0
    with written_whole(path) as stream:
        for row in rows:
            stream.write(row_line(row))
            count += 1
    return count


def row_line(row: Row) -> str:
    r"""Return one row as a JSON line; the keys keep their order, characters are not escaped.

    >>> row_line({"question": "π?", "answer": 3})
    '{"question": "π?", "answer": 3}\n'
    """
    line = _encoded(row)
    if not line.isascii() and _HALF_SURROGATE.search(line):
        line = json.dumps(row)  # half of a surrogate pair has no UTF-8, only an escape
    return line + "\n"


def json_text(value: Any, indent: int | None = None) -> str:
    r"""Return a value as JSON that can be written as UTF-8, whatever text it holds.

    >>> print(json_text({"reason": "half \ud83d"}), json_text("π"))
    {"reason": "half \ud83d"} "π"
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not text.isascii() and _HALF_SURROGATE.search(text):
        text = json.dumps(value, indent=indent)
    return text


_TOO_DEEP = f"not JSON (nested more than {_DEEPEST} deep)"


def json_bytes(value: Any) -> bytes:
    r"""Return a value as JSON, keys in order; what is no Unicode is escaped.

    >>> json_bytes({"b": "é", "a": 1}), json_bytes("\ud800")
    (b'{"a":1,"b":"\xc3\xa9"}', b'"\\ud800"')
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError):  # half a surrogate, or a number of more than 64 bits
        return json.dumps(value, sort_keys=True, ensure_ascii=True).encode("ascii")


def _lines(path: Path, stream: IO[bytes], longest: int) -> Iterator[tuple[int, Row | BadRow]]:
    before = os.fstat(stream.fileno())
    number = 0
    while line := whole_line(stream, longest):
        number += 1
        text = line
        if number == 1 and isinstance(text, bytes):
            text = text.removeprefix(_BOM)
        if isinstance(text, bytes) and (not text or text.isspace()):
            continue
        row = parsed(text) if isinstance(text, bytes) else text
        if isinstance(row, BadRow):  # it may be half of an old line and half of a new one
            _refuse_change(path, stream, before)
        yield number, row
    _refuse_change(path, stream, before)


def _array(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, Row | BadRow]]:
    before = os.fstat(stream.fileno())
    text = stream.read().removeprefix(_BOM)
    _refuse_change(path, stream, before)
    if not text or text.isspace():
        return
    expected = "a JSON array of objects"
    try:
        rows = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        if isinstance(error, UnicodeDecodeError):
            line = text.count(b"\n", 0, error.start) + 1
        raise DataError(Fault(f"{path}:{line}", _fault_of(error), expected)) from error
    if not isinstance(rows, list):
        raise DataError(Fault(str(path), f"a JSON {_kind(rows)}", expected))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            yield number, BadRow(f"a {_kind(row)}; expected an object", str(row)[:80])
        elif _is_deep(row):
            yield number, BadRow(_TOO_DEEP, str(row)[:80])
        else:
            yield number, row


def _refuse_change(path: Path, stream: IO[bytes], before: os.stat_result) -> None:
    now = os.fstat(stream.fileno())
    if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise DataError(changed_fault(path))


def _fault_of(error: ValueError | RecursionError) -> str:
    """Say what is wrong with bytes that are no JSON."""
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return f"not UTF-8 (byte {byte:#04x}); convert it: iconv -t UTF-8"
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg})"
    return "not JSON (a number of more than 4,300 digits)"


def _is_deep(value: Any) -> bool:
    """Whether a value is nested deeper than what reads it can be expected to follow."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _shown(line: bytes) -> str:
    return line[:_SHOWN_BYTES].decode("utf-8", "replace")
