"""Parquet in and out, by row groups, for those who have pyarrow: a twin of a file of rows.

Traces get one schema whatever a file's first rows say: what is free in its keys (options, meta,
decoding) is a column of JSON text, marked so in the file, and read back as it was.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cotdistill.declare.trace import is_trace_row
from cotdistill.errors import DataError, Fault
from cotdistill.files.ledger import LedgerFile
from cotdistill.files.rows import Row, read_rows
from cotdistill.files.whole import written_bytes

_ROWS_AT_ONCE = 1024
_ROWS_OF_GROUP = 64 * _ROWS_AT_ONCE
_MARK = {b"cotdistill": b"traces"}
_TEXTS = ("id", "dataset", "split", "question", "gold", "rationale", "kind", "answer")
_OBJECTS = ("options", "meta")
_PROVENANCE = (
    ("teacher", "text"),
    ("revision", "text"),
    ("level", "number"),
    ("format", "text"),
    ("prompt_hash", "text"),
    ("decoding", "object"),
    ("finish_reason", "text"),
    ("tokens", "number"),
    ("licence", "text"),
    ("source", "text"),
)


def require_parquet(place: str) -> None:
    """Look whether Parquet can be read and written here, before any work is done for it.

    Raises:
        DataError: pyarrow is not installed.
    """
    _pyarrow(place)


def parquet_twin(path: Path) -> Path:
    """Return the name of the Parquet file beside a file of rows.

    >>> parquet_twin(Path("data/kept.long.jsonl")).as_posix()
    'data/kept.long.parquet'
    """
    return path.with_suffix(".parquet")


def write_parquet_twin(path: Path) -> LedgerFile:
    """Write the rows of a `.jsonl` file as Parquet beside it, and return its line of a ledger.

    Raises:
        DataError: pyarrow is not installed, the file has no rows, or a row does not fit the first.
    """
    arrow = _pyarrow(str(path))
    parquet = importlib.import_module("pyarrow.parquet")
    out = parquet_twin(path)
    batches = _batches(read_rows(path))
    first = next(batches)
    traces = is_trace_row(first[0])
    done = 0
    waiting: list[Any] = []
    try:
        schema = _trace_schema(arrow) if traces else arrow.Table.from_pylist(first).schema
        with written_bytes(out) as stream, parquet.ParquetWriter(stream, schema) as writer:
            for batch in _chained(first, batches):
                rows = [_packed(row) for row in batch] if traces else batch
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
    """Yield the rows of a Parquet file, streamed; traces come back as they were written.

    Raises:
        DataError: pyarrow is not installed, or the file is not Parquet.
    """
    _pyarrow(str(path))
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(path)
        ours = (file.schema_arrow.metadata or {}).items() >= _MARK.items()
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            rows = batch.to_pylist()
            yield from map(_unpacked, rows) if ours else rows
    except ValueError as error:  # what pyarrow's own errors derive from
        raise DataError(Fault(str(path), f"not Parquet ({str(error).splitlines()[0]})")) from error


def _pyarrow(place: str) -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ImportError as error:
        fault = Fault(place, "pyarrow is not installed", "", "pip install pyarrow")
        raise DataError(fault) from error


def _refuse_other_keys(rows: Iterable[Row], known: Sequence[str]) -> None:
    for row in rows:  # pyarrow would leave such a key out without a word
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


def _trace_schema(arrow: Any) -> Any:
    types = {"text": arrow.string(), "object": arrow.string(), "number": arrow.int64()}
    provenance = arrow.struct([arrow.field(name, types[kind]) for name, kind in _PROVENANCE])
    fields = [arrow.field(name, arrow.string()) for name in (*_TEXTS, *_OBJECTS)]
    return arrow.schema([*fields, arrow.field("provenance", provenance)], metadata=_MARK)


def _packed(row: Row) -> Row:
    told = dict(row["provenance"])
    if told.get("decoding") is not None:
        told["decoding"] = json.dumps(told["decoding"], ensure_ascii=False)
    objects = {
        name: json.dumps(row[name], ensure_ascii=False)
        for name in _OBJECTS
        if row.get(name) is not None
    }
    return {**row, **objects, "provenance": told}


def _unpacked(row: Row) -> Row:
    there = {name: value for name, value in row.items() if value is not None}
    for name in _OBJECTS:
        if name in there:
            there[name] = json.loads(there[name])
    told = {name: value for name, value in row["provenance"].items() if value is not None}
    if "decoding" in told:
        told["decoding"] = json.loads(told["decoding"])
    return {**there, "provenance": told}
