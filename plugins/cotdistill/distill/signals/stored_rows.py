"""Stored signals, found by the keys of their rows without holding all of them in memory.

The keys of all rows are indexed; signals are read a row group at a time, and the groups that were
read last are kept. Small stores so lie in memory as a whole after the first epoch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.distill.signals.row_key import KEY_BYTES
from cotdistill.distill.signals.shard import STEPS_PER_NAT, RowSignals
from cotdistill.errors import DataError, Fault

KEPT_BYTES = 512 << 20
"""What row groups that were read may take in memory."""
_OPEN_FILES = 32
_KEY = np.dtype(f"S{KEY_BYTES}")
_REMEDY = "remove this file and the manifest, and run the same capture again"

Column = tuple[NDArray[np.int64], NDArray[Any]]
"""Where each row's numbers begin, and the numbers of all rows."""


@dataclass(frozen=True)
class _Group:
    """Rows that were read together, decompressed."""

    counts: NDArray[np.uint32]
    columns: Mapping[str, Column]
    size: int

    def values(self, name: str, row: int) -> NDArray[Any]:
        offsets, values = self.columns[name]
        return values[offsets[row] : offsets[row + 1]]


class StoredRows:
    """All rows of some shards; memory holds 28 bytes for each, and at most `kept_bytes` of signals.

    It can be used in the forked workers of a data loader: files are read by position.
    """

    def __init__(
        self,
        paths: Iterable[Path],
        temperatures: tuple[float, ...],
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.temperatures = temperatures
        self.paths = list(paths)
        self._kept_bytes, self.held_bytes = kept_bytes, 0
        self._files: OrderedDict[int, Any] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], _Group] = OrderedDict()
        found = [self._index(number) for number in range(len(self.paths))]
        keys = np.concatenate([keys for keys, _ in found] or [np.zeros(0, _KEY)])
        places = np.concatenate([places for _, places in found] or [np.zeros((0, 3), np.int32)])
        order = np.argsort(keys, kind="stable")
        self._keys, self._places = keys[order], places[order]

    def __contains__(self, key: bytes) -> bool:
        return self._place(key) is not None

    def __len__(self) -> int:
        return len(self._keys)

    def keys(self) -> Iterator[bytes]:
        """Yield the keys of all rows, in the order in which they are stored."""
        for place in np.lexsort(self._places.T[::-1]):
            yield bytes(self._keys[place]).ljust(KEY_BYTES, b"\0")  # numpy drops zeros at the end

    def row(self, key: bytes) -> RowSignals:
        """Return a row as it can be compared with: the k log probabilities and the tail add up.

        Raises:
            KeyError: there is no such row.
            DataError: its shard cannot be read.
        """
        place = self._place(key)
        if place is None:
            raise KeyError(key)
        shard, number, row = (int(part) for part in self._places[place])
        group = self._group(shard, number)
        tokens = int(group.counts[row])
        steps = group.values("ids", row).reshape(tokens, -1)
        ids = np.cumsum(steps, axis=1, dtype=np.int64)
        log_p = group.values("log_p", row).reshape(tokens, -1).astype(np.float32) / -STEPS_PER_NAT
        tail = group.values("tail", row).astype(np.float32)
        inside = np.log(np.maximum(-np.expm1(tail.astype(np.float64)), 1e-12))
        total = np.log(np.exp(log_p.astype(np.float64)).sum(1))
        log_p = log_p + (inside - total)[:, None].astype(np.float32)
        log_z = group.values("z", row).reshape(-1, tokens)
        return RowSignals(ids, log_p, tail, group.values("chosen", row).astype(np.float32), log_z)

    def _place(self, key: bytes) -> int | None:
        place = int(np.searchsorted(self._keys, np.array(key, _KEY)))
        same = place < len(self._keys) and bytes(self._keys[place]) == key.rstrip(b"\0")
        return place if same else None

    def _index(self, shard: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return a shard's keys, and for each the shard, the row group and the row in it."""
        try:
            file = self._opened(shard)
            column = file.read(columns=["key"], use_threads=False).column("key").combine_chunks()
        except (OSError, ValueError) as error:  # what pyarrow's own errors derive from
            raise _unreadable(self.paths[shard], error) from error
        keys = np.frombuffer(column.buffers()[1], _KEY, len(column), column.offset * KEY_BYTES)
        sizes = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        places = np.empty((len(keys), 3), np.int32)
        places[:, 0] = shard
        places[:, 1] = np.repeat(np.arange(len(sizes)), sizes)
        begins = np.repeat(np.cumsum([0, *sizes])[:-1], sizes)
        places[:, 2] = np.arange(len(keys)) - begins
        return keys.copy(), places

    def _group(self, shard: int, number: int) -> _Group:
        group = self._groups.get((shard, number))
        if group is not None:
            self._groups.move_to_end((shard, number))
            return group
        try:
            table = self._opened(shard).read_row_group(number, use_threads=False)
        except (OSError, ValueError) as error:
            raise _unreadable(self.paths[shard], error) from error
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        group = _Group(
            np.asarray(columns.pop("n")),
            {
                name: (np.asarray(column.offsets), np.asarray(column.values))
                for name, column in columns.items()
                if name != "key"
            },
            table.nbytes,
        )
        self._groups[shard, number] = group
        self.held_bytes += group.size
        while self.held_bytes > self._kept_bytes and len(self._groups) > 1:
            self.held_bytes -= self._groups.popitem(last=False)[1].size
        return group

    def _opened(self, shard: int) -> Any:
        from pyarrow import parquet

        file = self._files.get(shard)
        if file is None:
            file = self._files[shard] = parquet.ParquetFile(self.paths[shard])
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard)
        return file


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).splitlines()[0]
    return DataError(Fault(str(path), f"no shard of signals ({reason})", "", _REMEDY))
