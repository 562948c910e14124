"""Shards of stored signals: Parquet files with a row of numbers for each training row.

For each trained token a shard holds the ids of the k likeliest tokens, ascending and as
differences; their log probabilities in steps of 1/12 nat, one byte each; the log of the mass
outside them and the trained token's own log probability as 16-bit floats; and for each temperature
but 1 the log of the sum of p ** (1/T) over the whole vocabulary (docs/how-to/distill.md says why).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.distill.signals.row_key import KEY_BYTES
from cotdistill.files.atomic import written_bytes

STEPS_PER_NAT = 12.0
_LOWEST_TAIL = -40.0
_TOKENS_OF_GROUP = 2000
"""About how many tokens are read together: a row is found by reading its group."""


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
            row_group_size=max(1, len(counts) * _TOKENS_OF_GROUP // max(1, sum(counts))),
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
