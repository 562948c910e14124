"""Traces as Parquet: one schema whatever the first rows of a file say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cotdistill.corpus.records.trace_row import is_trace_row
from cotdistill.files import parquet
from cotdistill.files.jsonl import read_rows
from cotdistill.files.ledger import LedgerFile

_TEXTS = ("id", "dataset", "split", "question", "gold", "rationale", "kind", "answer")
_OBJECTS = ("options", "meta")
_PROVENANCE = {
    "teacher": "string",
    "revision": "string",
    "level": "int64",
    "format": "string",
    "prompt_hash": "string",
    "decoding": "string",
    "finish_reason": "string",
    "tokens": "int64",
    "licence": "string",
    "source": "string",
}


def write_parquet_copy(path: Path) -> LedgerFile:
    """Write the rows of a `.jsonl` file as Parquet next to it, and return its line of a ledger.

    Options, meta and decoding are stored as JSON text, since their keys are free.

    Raises:
        DataError: pyarrow is not installed, the file has no rows, or a row does not fit the first.
    """
    first = next(iter(read_rows(path)), {})
    return parquet.write_parquet_copy(path, TRACES if is_trace_row(first) else None)


def _schema(arrow: Any) -> Any:
    of = {"string": arrow.string(), "int64": arrow.int64()}
    provenance = arrow.struct([arrow.field(name, of[kind]) for name, kind in _PROVENANCE.items()])
    fields = [arrow.field(name, arrow.string()) for name in (*_TEXTS, *_OBJECTS)]
    return arrow.schema([*fields, arrow.field("provenance", provenance)])


TRACES = parquet.ParquetLayout(_schema, (*_OBJECTS, "provenance.decoding"))
"""How traces are laid out in a Parquet file."""
