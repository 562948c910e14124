"""Which rows of a training have a teacher: those with given values in columns of their files.

The host drops such columns when it tokenises, so the chosen rows are tokenised by themselves and
known by their keys, as stored signals are. Packing, shuffling and ranks then need nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cotdistill.distill.signals.row_key import encoded_key, row_key, rows_of
from cotdistill.errors import Fault, FaultsError

KNOWN = "kd_known"


@dataclass(frozen=True)
class RowChoiceCollator:
    """The host's collator, and for each of its places whether the row there has a teacher.

    `encoded` says that a row's question is the encoder's input, and its labels the response alone.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    chosen: frozenset[bytes]
    pads_left: bool
    encoded: bool = False

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch with `kd_known`."""
        found = [list(self._parts(feature)) for feature in features]
        lengths = [len(feature["labels"]) for feature in features]
        batch = self.collate(features)
        known = torch.zeros(batch["labels"].shape, dtype=torch.bool)
        for number, (rows, length) in enumerate(zip(found, lengths, strict=True)):
            offset = known.shape[1] - length if self.pads_left else 0
            for start, size, key in rows:
                begin = start + offset
                known[number, begin : begin + size] = key in self.chosen
        batch[KNOWN] = known
        return batch

    def _parts(self, feature: Mapping[str, Any]) -> Iterator[tuple[int, int, bytes]]:
        """Yield where each row begins in a feature's labels, its length and its key."""
        if self.encoded:
            ids, labels = list(feature["input_ids"]), list(feature["labels"])
            yield 0, len(labels), encoded_key(ids, labels)
            return
        for start, ids, labels in rows_of(feature):
            yield start, len(ids), row_key(ids, labels)


def has_values(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a row has all of these columns with these values; a list means any of its values.

    >>> has_values({"source": "mentor"}, {"source": ["mentor", "teacher"]})
    True
    """
    return all(
        row.get(column) in (value if isinstance(value, list) else [value])
        for column, value in wanted.items()
    )


def chosen_keys(
    arguments: Mapping[str, Any], wanted: Mapping[str, Any], place: str
) -> frozenset[bytes]:
    """Return the keys of the rows that have a teacher, as LLaMA-Factory tokenises them.

    A row that is written twice, with and without these values, has a teacher both times.

    Raises:
        FaultsError: no row has them, or a data set is no local file.
    """
    from cotdistill.distill.trainer.host_rows import host_rows

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = _write_chosen(arguments, wanted, folder, place)
        found = host_rows({**arguments, "dataset_dir": str(folder), "dataset": names})
        return frozenset(row_key(row["input_ids"], row["labels"]) for row in found.rows)


def _write_chosen(
    arguments: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path, place: str
) -> str:
    """Write the chosen rows of every data set, with its registration; return their names."""
    source = Path(str(arguments.get("dataset_dir", "data")))
    registry = json.loads((source / "dataset_info.json").read_text(encoding="utf-8"))
    given = arguments.get("dataset") or ""
    names = [one.strip() for one in (given.split(",") if isinstance(given, str) else given)]
    kept: dict[str, Any] = {}
    columns: set[str] = set()
    for name in names:
        entry = registry.get(name, {})
        path = source / str(entry.get("file_name", "?"))
        if not path.is_file():
            wrong = f"'{name}' is no local file, and its rows cannot be distinguished"
            raise FaultsError(Fault(place, wrong, "a .json or .jsonl file"))
        rows = []
        for row in json_rows(path):
            columns.update(row)
            if has_values(row, wanted):
                rows.append(row)
        if rows:
            file = f"{len(kept)}.json"
            (folder / file).write_text(json.dumps(rows), encoding="utf-8")
            kept[name] = {**entry, "file_name": file}
    if not kept:
        asked = ", ".join(f"{column}: {value}" for column, value in wanted.items())
        has = ", ".join(sorted(columns))
        raise FaultsError(Fault(place, f"no row has {asked}", f"values of the columns {has}"))
    (folder / "dataset_info.json").write_text(json.dumps(kept), encoding="utf-8")
    return ",".join(kept)


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a JSON list or of JSON lines."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        yield from (json.loads(line) for line in text.split("\n") if line.strip())
    else:
        yield from json.loads(text)
