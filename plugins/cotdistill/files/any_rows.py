"""Rows with their line numbers, from files that may be broken: what cannot be read is told.

`files.rows.read_rows` stops at the first broken line; here a broken line is a `BadRow` among the
others, so that a caller can name all of them, or go on without them and count them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.parquet import parquet_rows

LONGEST = 32 << 20  # bytes of one line; a longer one is a broken file, not a trace


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be read: why, and its beginning."""

    why: str
    text: str = ""


def numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    """Yield line number (from 1) and row; of a JSON array or Parquet file, the row's number.

    JSON Lines are streamed. An array in a `.jsonl` file, or lines in a `.json` file, are read for
    what they are.

    Raises:
        DataError: the file is missing, empty, or an array that is not JSON as a whole.
    """
    if not path.is_file():
        raise DataError(Fault(str(path), "no such file", "a .jsonl, .json or .parquet file"))
    if path.suffix == ".parquet":
        yield from enumerate(parquet_rows(path), start=1)
        return
    with path.open("rb") as stream:
        opening = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        stream.seek(0)
        if not opening:
            raise DataError(Fault(str(path), "the file is empty", "at least one row"))
        yield from _array(path, stream) if opening == b"[" else _lines(stream)


def parsed(line: bytes) -> dict[str, Any] | BadRow:
    r"""Return one line as a row, or why it is none.

    >>> parsed(b'{"a": 1}'), parsed(b"[1]").why, parsed(b'{"a": 1').why
    ({'a': 1}, 'a JSON list, expected an object', "not JSON (Expecting ',' delimiter)")
    >>> parsed(b'{"a": "\xe9"}').why
    'not UTF-8 (byte 0xe9); convert it: iconv -t UTF-8'
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        byte = line[error.start]
        return BadRow(f"not UTF-8 (byte {byte:#04x}); convert it: iconv -t UTF-8", _shown(line))
    except (ValueError, RecursionError) as error:
        return BadRow(f"not JSON ({getattr(error, 'msg', 'nested too deeply')})", _shown(line))
    if not isinstance(row, dict):
        return BadRow(f"a JSON {type(row).__name__}, expected an object", _shown(line))
    return row


def whole_line(stream: IO[bytes]) -> bytes | BadRow:
    """Return the next line without its end, b"" at the end of the file; never hold a huge one."""
    line = stream.readline(LONGEST)
    if len(line) < LONGEST or line.endswith(b"\n"):
        return line
    length = len(line)
    while (more := stream.readline(LONGEST)) and not more.endswith(b"\n"):
        length += len(more)
    return too_long(length + len(more), line)


def too_long(length: int, line: bytes) -> BadRow:
    """Return the bad row of a line that is longer than any trace, given its first bytes."""
    return BadRow(f"a line of {length >> 20} MiB, expected at most {LONGEST >> 20}", _shown(line))


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    number = 0
    while line := whole_line(stream):
        number += 1
        if isinstance(line, BadRow):
            yield number, line
            continue
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if text.strip():
            yield number, parsed(text)


def _array(path: Path, stream: IO[bytes]) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
    text = stream.read().removeprefix(b"\xef\xbb\xbf")
    try:
        rows = json.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DataError(
            Fault(
                f"{path}:{line}",
                f"not UTF-8 (byte {text[error.start]:#04x})",
                "UTF-8",
                f"convert it: iconv -t UTF-8 {path.name}",
            )
        ) from error
    except (ValueError, RecursionError) as error:
        place = f"{path}:{getattr(error, 'lineno', 1)}"
        wrong = f"not JSON ({getattr(error, 'msg', 'nested too deeply')})"
        raise DataError(Fault(place, wrong, "a JSON array of objects")) from error
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, BadRow(f"a JSON {type(row).__name__}, expected an object", str(row)[:80])


def _shown(line: bytes) -> str:
    return line[:80].decode("utf-8", "replace")
