"""Where prepared questions lie: one folder a dataset, one JSONL file a split, and a ledger.

The place is `$COTDISTILL_DATA`, else `~/.cache/cotdistill/data`; it never depends on the working
directory. A split is there only if the ledger names it: the ledger is written last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of, write_text
from cotdistill.files.json_file import read_object
from cotdistill.files.jsonl import Row, read_rows, write_rows


class NotPreparedError(DataError):
    """Data that has to be fetched first; its one line says with which command."""


def data_folder() -> Path:
    """Return the folder of prepared data, which need not exist yet."""
    chosen = os.environ.get("COTDISTILL_DATA")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "cotdistill" / "data"


def split_file(dataset: str, split: str) -> Path:
    """Return where the questions of one split lie or would lie."""
    return data_folder() / dataset / f"{split}.jsonl"


def outputs_of(dataset: str, split: str) -> list[Path]:
    """Return the files that preparing one split writes."""
    path = split_file(dataset, split)
    return [path, path.with_name("ledger.json")]


def read_ledger(dataset: str) -> dict[str, Any]:
    """Return what is known of the prepared splits of a dataset, by split; {} if there is none.

    Raises:
        DataError: the ledger is not JSON.
    """
    path = data_folder() / dataset / "ledger.json"
    if not path.exists():
        return {}
    remedy = f"remove it, then: cotdistill prepare {dataset}"
    splits = read_object(path, "what `prepare` wrote", remedy).get("splits")
    if not isinstance(splits, dict) or not all(map(_is_split, splits.values())):
        raise DataError(Fault(str(path), "not a ledger", "what `prepare` wrote", remedy))
    return splits


def _is_split(facts: Any) -> bool:
    return isinstance(facts, dict) and {"rows", "sha256"} <= facts.keys()


def prepared_splits(dataset: str) -> list[str]:
    """Return the splits of a dataset that are prepared, in the order of the ledger."""
    return [split for split in read_ledger(dataset) if split_file(dataset, split).is_file()]


def write_split(dataset: str, split: str, rows: Iterable[Row], facts: dict[str, Any]) -> int:
    """Write one split, then its line of the ledger, and return how many rows it has."""
    path = split_file(dataset, split)
    count = write_rows(path, rows)
    _enter(dataset, split, {"rows": count, "sha256": sha256_of(path), **facts})
    return count


def borrow_split(dataset: str, split: str, path: Path, facts: dict[str, Any]) -> None:
    """Make a split that lies elsewhere one of this folder's, by a link; facts are its ledger's."""
    here = split_file(dataset, split)
    here.parent.mkdir(parents=True, exist_ok=True)
    here.symlink_to(path.resolve())
    _enter(dataset, split, facts)


def _enter(dataset: str, split: str, facts: dict[str, Any]) -> None:
    ledger = {**read_ledger(dataset), split: facts}
    text = json.dumps({"dataset": dataset, "splits": ledger}, indent=2, ensure_ascii=False)
    write_text(split_file(dataset, split).with_name("ledger.json"), text + "\n")


def read_split(dataset: str, split: str) -> Iterator[Row]:
    """Yield the prepared questions of one split.

    Raises:
        NotPreparedError: the split is not prepared.
        DataError: the file is not what the ledger says, or is broken.
    """
    path = split_file(dataset, split)
    facts = read_ledger(dataset).get(split)
    if facts is None or not path.is_file():
        raise NotPreparedError(not_prepared(dataset, split))
    if sha256_of(path) != facts["sha256"]:
        wrong = f"the file changed since it was prepared ({facts['rows']} rows)"
        raise DataError(Fault(str(path), wrong, "", f"type: cotdistill prepare {dataset}"))
    yield from read_rows(path)


def not_prepared(dataset: str, split: str, why: str = "") -> Fault:
    """Return the fault that says which command brings the data."""
    wrong = f"the {split} questions of {dataset} are not here" + (f" ({why})" if why else "")
    remedy = f"type: cotdistill prepare {dataset}"
    return Fault(str(split_file(dataset, split)), wrong, "", f"{remedy} (or add --from FILE)")
