"""Parquet in and out, by row groups, for those who have pyarrow: a copy of a file of rows.

Columns whose keys are free are stored as JSON text. The file's metadata names them, so that they
are read back as they were.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_bytes
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.ledger import LedgerFile

_ROWS_AT_ONCE = 1024
_ROWS_OF_GROUP = 64 * _ROWS_AT_ONCE
_JSON_COLUMNS = b"cotdistill.json_columns"


@dataclass(frozen=True)
class ParquetLayout:
    """A schema that does not depend on a file's first rows.

    `schema` makes the Arrow schema, given the module `pyarrow`. `json_columns` are stored as JSON
    text; a dot names a key of a struct.
    """

    schema: Callable[[Any], Any]
    json_columns: tuple[str, ...]


def require_parquet(place: str) -> None:
    """Look whether Parquet can be read and written here, before any work is done for it.

    Raises:
        DataError: pyarrow is not installed.
    """
    _pyarrow(place)


def parquet_copy(path: Path) -> Path:
    """Return the path of the Parquet copy next to a file of rows.

    >>> parquet_copy(Path("data/kept.long.jsonl")).as_posix()
    'data/kept.long.parquet'
    """
    return path.with_suffix(".parquet")


def write_parquet_copy(path: Path, layout: ParquetLayout | None = None) -> LedgerFile:
    """Write the rows of a `.jsonl` file as Parquet next to it, and return its entry for a ledger.

    Raises:
        DataError: pyarrow is not installed, the file has no rows, or a row does not fit the first.
    """
    arrow = _pyarrow(str(path))
    parquet = importlib.import_module("pyarrow.parquet")
    out = parquet_copy(path)
    batches = _batches(read_rows(path))
    first = next(batches)
    done = 0
    waiting: list[Any] = []
    try:
        schema = _schema(arrow, layout, first)
        with written_bytes(out) as stream, parquet.ParquetWriter(stream, schema) as writer:
            for batch in _chained(first, batches):
                rows = [_packed(row, layout.json_columns) for row in batch] if layout else batch
                _refuse_other_keys(batch, schema.names)
                waiting.append(arrow.Table.from_pylist(rows, schema=schema))
                done += len(batch)
                if done % _ROWS_OF_GROUP == 0:
                    writer.write_table(arrow.concat_tables(waiting), row_group_size=_ROWS_OF_GROUP)
                    waiting = []
            if waiting:
                writer.write_table(arrow.concat_tables(waiting), row_group_size=_ROWS_OF_GROUP)
    except (ValueError, TypeError) as error:  # what pyarrow's own errors derive from
        place = f"{path}: rows {done + 1} to {done + _ROWS_AT_ONCE}"
        why = str(error).splitlines()[0]
        raise DataError(Fault(place, f"cannot be kept as Parquet ({why})")) from error
    return LedgerFile.of(out, done, name=out.name)


def parquet_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file, streamed; JSON columns come back as they were written.

    Raises:
        DataError: pyarrow is not installed, or the file is not Parquet.
    """
    _pyarrow(str(path))
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
        packed = (file.schema_arrow.metadata or {}).get(_JSON_COLUMNS, b"").decode().split()
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            rows = batch.to_pylist()
            yield from (_unpacked(row, packed) for row in rows) if packed else rows
    except ValueError as error:  # what pyarrow's own errors derive from
        raise DataError(Fault(str(path), f"not Parquet ({str(error).splitlines()[0]})")) from error


def _pyarrow(place: str) -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        fault = Fault(place, "pyarrow is not installed", "", "pip install pyarrow")
        raise DataError(fault) from error


def _refuse_other_keys(rows: Iterable[Row], known: Sequence[str]) -> None:
    for row in rows:  # pyarrow would silently drop such a key
        other = [name for name in row if name not in known]
        if other:
            raise ValueError(f"key '{other[0]}' is not in the first rows")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rest = iter(rows)
    while batch := list(islice(rest, _ROWS_AT_ONCE)):
        yield batch


def _chained(first: Sequence[Row], rest: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
    yield first
    yield from rest


def _schema(arrow: Any, layout: ParquetLayout | None, first: Sequence[Row]) -> Any:
    if layout is None:
        return arrow.Table.from_pylist(first).schema
    marked = {_JSON_COLUMNS: " ".join(layout.json_columns).encode()}
    return layout.schema(arrow).with_metadata(marked)


def _packed(row: Row, columns: Iterable[str]) -> Row:
    return _converted(row, columns, lambda value: json.dumps(value, ensure_ascii=False))


def _unpacked(row: Row, columns: Iterable[str]) -> Row:
    return _converted(_without_nulls(row), columns, json.loads)


def _converted(row: Row, columns: Iterable[str], convert: Callable[[Any], Any]) -> Row:
    changed = dict(row)
    for column in columns:
        outer, _, inner = column.partition(".")
        if inner and isinstance(changed.get(outer), dict):
            changed[outer] = _converted(changed[outer], [inner], convert)
        elif not inner and changed.get(outer) is not None:
            changed[outer] = convert(changed[outer])
    return changed


def _without_nulls(row: Row) -> Row:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in row.items()
        if value is not None
    }
