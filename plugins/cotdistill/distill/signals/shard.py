"""Shards of stored signals: Parquet files with a row of numbers for each training row.

For each trained token a shard holds the ids of the k likeliest tokens, ascending and as
differences; their log probabilities in steps of 1/12 nat, one byte each; the log of the mass
outside them and the trained token's own log probability as 16-bit floats; and for each temperature
but 1 the log of the sum of p ** (1/T) over the whole vocabulary (docs/how-to/distill.md says why).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.distill.signals.row_key import KEY_BYTES
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_bytes

STEPS_PER_NAT = 12.0
_LOWEST_TAIL = -40.0


@dataclass(frozen=True)
class RowSignals:
    """A teacher's distributions for the trained tokens of one row.

    Shapes: ids and log_p [tokens][k], in any order; tail [tokens], the log of the mass outside;
    chosen [tokens]; log_z [temperatures][tokens].
    """

    ids: NDArray[np.int64]
    log_p: NDArray[np.float32]
    tail: NDArray[np.float32]
    chosen: NDArray[np.float32]
    log_z: NDArray[np.float32]


def mass_of(row: RowSignals) -> NDArray[np.float64]:
    """Return how much of the teacher's probability each token's entries hold."""
    mass: NDArray[np.float64] = 1.0 - np.exp(row.tail.astype(np.float64))
    return mass


def write_shard(path: Path, rows: Mapping[bytes, RowSignals]) -> int:
    """Write rows under their keys; the file appears only when it is whole. Return its tokens."""
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {name: [] for name in ("ids", "log_p", "tail", "chosen", "z")}
    counts = []
    for row in rows.values():
        order = np.argsort(row.ids, axis=1)
        ids = np.take_along_axis(row.ids, order, 1)
        steps = np.diff(ids, axis=1, prepend=0).astype(np.int32)
        log_p = np.take_along_axis(row.log_p, order, 1).astype(np.float64)
        coded = np.minimum(np.rint(log_p * -STEPS_PER_NAT), 255).astype(np.uint8)
        columns["ids"].append(steps.reshape(-1))
        columns["log_p"].append(coded.reshape(-1))
        tail = np.maximum(row.tail, _LOWEST_TAIL).astype(np.float16)
        columns["tail"].append(tail)
        columns["chosen"].append(row.chosen.astype(np.float16))
        columns["z"].append(row.log_z.astype(np.float32).reshape(-1))
        counts.append(len(row.tail))
    kinds = {
        "ids": pyarrow.int32(), "log_p": pyarrow.uint8(), "tail": pyarrow.float16(),
        "chosen": pyarrow.float16(), "z": pyarrow.float32(),
    }  # fmt: skip
    arrays = {
        "key": pyarrow.array(list(rows), pyarrow.binary(KEY_BYTES)),
        "n": pyarrow.array(counts, pyarrow.uint32()),
    } | {name: _lists(pyarrow, columns[name], kind) for name, kind in kinds.items()}
    table = pyarrow.table(arrays)
    with written_bytes(path) as stream:
        parquet.write_table(
            table,
            stream,
            compression="zstd",
            compression_level=9,
            use_dictionary=False,
            column_encoding={"ids.list.element": "BYTE_STREAM_SPLIT"},
        )
    return sum(counts)


def _lists(pyarrow: Any, rows: list[NDArray[Any]], kind: Any) -> Any:
    """Return a column of lists without making Python objects of its numbers."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    values = np.concatenate(rows) if rows else np.zeros(0)
    return pyarrow.LargeListArray.from_arrays(
        pyarrow.array(offsets), pyarrow.array(values, type=kind)
    )


class StoredRows:
    """All rows of some shards, in memory as they are stored, found by their keys."""

    def __init__(self, paths: Iterable[Path], temperatures: tuple[float, ...]) -> None:
        self.temperatures = temperatures
        self._tables: list[Any] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        for number, path in enumerate(paths):
            table = _table(path)
            for row, key in enumerate(table.column("key").to_pylist()):
                self._places[key] = number, row
            self._tables.append(
                {name: table.column(name).combine_chunks() for name in table.column_names}
            )

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> frozenset[bytes]:
        """Return the keys of all rows."""
        return frozenset(self._places)

    def row(self, key: bytes) -> RowSignals:
        """Return a row as it can be compared with: the k log probabilities and the tail add up.

        Raises:
            KeyError: there is no such row.
        """
        table, number = self._places[key]
        columns = self._tables[table]

        def values(name: str) -> NDArray[Any]:
            return np.asarray(columns[name][number].values)

        tokens = int(columns["n"][number].as_py())
        ids = np.cumsum(values("ids").reshape(tokens, -1), axis=1, dtype=np.int64)
        log_p = values("log_p").reshape(tokens, -1).astype(np.float32) / -STEPS_PER_NAT
        tail = values("tail").astype(np.float32)
        inside = np.log(np.maximum(-np.expm1(tail.astype(np.float64)), 1e-12))
        total = np.log(np.exp(log_p.astype(np.float64)).sum(1))
        log_p = log_p + (inside - total)[:, None].astype(np.float32)
        log_z = values("z").reshape(-1, tokens)
        return RowSignals(ids, log_p, tail, values("chosen").astype(np.float32), log_z)


def _table(path: Path) -> Any:
    from pyarrow import parquet

    try:
        return parquet.read_table(path)
    except (OSError, ValueError) as error:  # what pyarrow's own errors derive from
        reason = str(error).splitlines()[0]
        remedy = "remove this file and the manifest, and run the same capture again"
        raise DataError(Fault(str(path), f"no shard of signals ({reason})", "", remedy)) from error
