"""The reader of rows, strict or counting: broken, deep, huge, changing and foreign files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.files.jsonl import (
    BadRow,
    json_text,
    numbered_rows,
    parsed,
    read_rows,
    row_line,
    write_rows,
)

FAULTS = [
    (b'{"a": 1', "not JSON (Expecting ',' delimiter)"),
    (b"oops", "not JSON (Expecting value)"),
    (b'{"a": "\xe9"}', "not UTF-8 (byte 0xe9); convert it: iconv -t UTF-8"),
    (b'"text"', "a string; expected one JSON object a line"),
    (b"null", "a null; expected one JSON object a line"),
    (b'{"a": ' + b"9" * 5000 + b"}", "not JSON (a number of more than 4,300 digits)"),
    (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "not JSON (nested more than 200 deep)"),
    (b'{"a": ' * 100_000, "not JSON (nested more than 200 deep)"),
]


@pytest.mark.parametrize(("line", "fault"), FAULTS)
def test_both_manners_word_a_broken_line_alike(line: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 0}\n' + line + b'\n\n{"a": 1}\n')
    rows = list(numbered_rows(path))
    assert [number for number, _ in rows] == [1, 2, 4]
    assert isinstance(rows[1][1], BadRow)
    assert rows[1][1].why == fault
    with pytest.raises(DataError) as raised:
        list(read_rows(path))
    assert str(raised.value) == f"{path}:2: {fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", ": the file is empty; expected at least one row"),
        (b"  \n", ": the file is empty; expected at least one row"),
        (b"[]", ": the file is empty; expected at least one row"),
        (b'{"a": 1}', ": a JSON object; expected a JSON array of objects"),
        (b"[1, 2", ":1: not JSON (Expecting ',' delimiter); expected a JSON array of objects"),
        (b'[{"a": 1},\n{"a": "\xff"}]', ":2: not UTF-8 (byte 0xff)"),
        (b'[{"a": 1}, 5]', ": row 2: a number; expected an object"),
        (b"[" * 100_000, ":1: not JSON (nested more than 200 deep)"),
        (b'[{"a": ' + b"[" * 300 + b"]" * 300 + b"}]", ": row 1: not JSON (nested more than 200"),
    ],
)
def test_an_array_that_cannot_be_read_is_named(text: bytes, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(text)
    with pytest.raises(DataError) as raised:
        list(read_rows(path))
    assert str(raised.value).startswith(f"{path}{fault}")


@pytest.mark.parametrize("read", [read_rows, numbered_rows])
@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", "\n\n"), ("a.json", "[]"), ("b.json", ""), ("b.json", " [ ] ")]
)
def test_a_file_without_a_row_is_empty_to_every_reader(
    read: Callable[[Path], Iterator[object]], name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="the file is empty; expected at least one row"):
        list(read(tmp_path / name))


@pytest.mark.parametrize("read", [read_rows, numbered_rows])
@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\x1f\x8b\x08", r"compressed with gzip; expected JSON in UTF-8; unpack it: gunzip"),
        (b"\xff\xfe{\x00", r"text in UTF-16; .* iconv -f UTF-16 -t UTF-8"),
        (b"PK\x03\x04", r"a ZIP archive; "),
        (b"PAR1", r"a Parquet file; .*name it .parquet"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(
    read: Callable[[Path], Iterator[object]], start: bytes, message: str, tmp_path: Path
) -> None:
    for name in ("a.jsonl", "a.json"):
        (tmp_path / name).write_bytes(start + bytes(range(256)))
        with pytest.raises(DataError, match=message):
            list(read(tmp_path / name))


@pytest.mark.parametrize("read", [read_rows, numbered_rows])
def test_lines_in_a_json_file_and_an_array_in_a_jsonl_file_are_read(
    read: Callable[[Path], Iterator[object]], tmp_path: Path
) -> None:
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "array.jsonl").write_text('[{"a": 1},\n {"a": 2}]')
    for name in ("lines.json", "array.jsonl"):
        rows = [row[1] if isinstance(row, tuple) else row for row in read(tmp_path / name)]
        assert rows == [{"a": 1}, {"a": 2}]


def test_brackets_in_text_are_not_depth(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"a": "[{" * 5000}])
    assert list(read_rows(path)) == [{"a": "[{" * 5000}]


@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_half_surrogates_survive_reading_and_writing(suffix: str, tmp_path: Path) -> None:
    rows = [{"a": "half \ud800 and π", "b": ["\udfff"]}]
    path = tmp_path / f"rows.{suffix}"
    text = json_text(rows, indent=1) if suffix == "json" else "".join(map(row_line, rows))
    path.write_text(text, encoding="utf-8")
    assert list(read_rows(path)) == rows
    assert [row for _, row in numbered_rows(path)] == rows


@pytest.mark.parametrize("read", [read_rows, numbered_rows])
@pytest.mark.parametrize("new", [b'{"a": 0}\n', b'{"a": 0}\n' * 100_000, b""])
def test_a_file_that_changes_while_it_is_read_is_refused(
    read: Any, new: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 50_000)
    rows = read(path)
    next(rows)
    path.write_bytes(new)
    with pytest.raises(DataError, match="the file changed while it was read; run it again"):
        list(rows)


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path: Path) -> None:
    path, other = tmp_path / "rows.jsonl", tmp_path / "other.jsonl"
    path.write_text('{"a": 1}\n' * 50_000)
    other.write_text("broken\n")
    rows = read_rows(path)
    next(rows)
    other.replace(path)
    assert sum(1 for _ in rows) == 49_999


def test_rows_come_from_lines_arrays_and_files_with_a_byte_order_mark(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 2}]
    lines = "".join(map(row_line, rows))
    for name, text in (
        ("a.jsonl", lines),
        ("b.jsonl", lines.replace("\n", "\r\n")),
        ("c.jsonl", "\ufeff" + lines),
        ("d.json", json.dumps(rows)),
        ("e.json", "\ufeff" + json.dumps(rows)),
    ):
        (tmp_path / name).write_bytes(text.encode())
        assert list(read_rows(tmp_path / name)) == rows
        assert [row for _, row in numbered_rows(tmp_path / name)] == rows
    (tmp_path / "f.jsonl").write_text(json.dumps(rows))
    (tmp_path / "g.json").write_text(lines)
    for name in ("f.jsonl", "g.json"):  # the counting manner reads a file for what it is
        assert [row for _, row in numbered_rows(tmp_path / name)] == rows


@pytest.mark.parametrize(
    "value",
    [
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "1e400",
        "-Infinity",
        '"\\ud83d"',
        "0.1000000000000000055511151231257827021181583404541015625",
        "-0",
        "-0.0",
        '"1234567890123456789012345"',
        '{"b": 1, "b": 2}',
    ],
)
def test_numbers_and_texts_are_read_as_python_reads_them(value: str) -> None:
    row = parsed(f'{{"a": {value}}}'.encode())
    assert repr(row) == repr({"a": json.loads(value)})


def test_no_number_is_read_as_nan() -> None:
    row = parsed(b'{"a": NaN}')
    assert isinstance(row, dict)
    assert row["a"] != row["a"]
