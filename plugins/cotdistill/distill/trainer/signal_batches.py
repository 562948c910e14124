"""Put stored signals next to the tokens that a batch trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cotdistill.distill.signals.row_key import places_of, row_key, rows_of
from cotdistill.distill.signals.stored_rows import StoredRows
from cotdistill.errors import DataError, Fault

Collator = Callable[[list[dict[str, Any]]], dict[str, Any]]


@dataclass(frozen=True)
class SignalCollator:
    """The host's collator, and for each of its places the teacher's entries.

    Shuffling, packing, several processes and resuming need nothing: rows are found by what they
    are.
    """

    collate: Collator
    stored: StoredRows
    k: int
    temperature: float
    pads_left: bool
    only: frozenset[bytes] | None = None  # rows that have a teacher; None: all

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch with `kd_ids`, `kd_log_p`, `kd_log_z` and `kd_known` for each place."""
        found = [list(rows_of(feature)) for feature in features]
        lengths = [len(feature["input_ids"]) for feature in features]
        batch = self.collate(features)
        shape = batch["input_ids"].shape
        ids = torch.zeros(*shape, self.k, dtype=torch.long)
        log_p = torch.zeros(*shape, self.k)
        log_z = torch.zeros(shape)
        known = torch.zeros(shape, dtype=torch.bool)
        for number, (rows, length) in enumerate(zip(found, lengths, strict=True)):
            offset = shape[1] - length if self.pads_left else 0
            for start, row, labels in rows:
                key = row_key(row, labels)
                if self.only is not None and key not in self.only:
                    continue
                signals = self.stored.row(key)
                places = torch.tensor(places_of(labels)) + start + offset
                kept_ids: NDArray[Any] = signals.ids
                kept: NDArray[Any] = signals.log_p
                if self.k < kept.shape[1]:
                    best = np.argpartition(-kept, self.k - 1, axis=1)[:, : self.k]
                    kept_ids = np.take_along_axis(kept_ids, best, 1)
                    kept = np.take_along_axis(kept, best, 1)
                ids[number, places] = torch.from_numpy(kept_ids)
                log_p[number, places] = torch.from_numpy(kept)
                log_z[number, places] = self._log_z(signals.log_z)
                known[number, places] = True
        batch["kd_ids"], batch["kd_log_p"] = ids, log_p
        batch["kd_log_z"], batch["kd_known"] = log_z, known
        return batch

    def _log_z(self, stored: Any) -> Tensor | float:
        if self.temperature == 1.0:
            return 0.0
        others = [one for one in self.stored.temperatures if one != 1.0]
        return torch.from_numpy(stored[others.index(self.temperature)].copy())


def missing_rows(
    features: Iterable[Mapping[str, Any]], stored: StoredRows, only: frozenset[bytes] | None = None
) -> tuple[int, int, int | None]:
    """Return how many rows need signals, how many have none, and the first of these."""
    rows = missing = 0
    first: int | None = None
    for number, feature in enumerate(features, 1):
        for _, ids, labels in rows_of(feature):
            key = row_key(ids, labels)
            if only is not None and key not in only:
                continue
            rows += 1
            if key not in stored:
                missing += 1
                first = first or number
    return rows, missing, first


def refuse_missing(
    features: Iterable[Mapping[str, Any]],
    stored: StoredRows,
    differences: str,
    place: str,
    only: frozenset[bytes] | None = None,
) -> None:
    """Make sure that every row that is trained with a teacher has signals.

    Raises:
        DataError: it says how many have none, and what may be the reason.
    """
    rows, missing, first = missing_rows(features, stored, only)
    if missing:
        wrong = f"{missing:,} of {rows:,} rows have no signals, the first is row {first}"
        reason = differences or "their texts differ from those that were captured"
        remedy = "run `cotdistill capture` with this training file"
        raise DataError(Fault(place, f"{wrong}: {reason}", "signals for every row", remedy))
