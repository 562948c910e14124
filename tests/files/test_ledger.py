"""A ledger says what made a file, in bytes that depend on nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.files.ledger import (
    Ledger,
    LedgerFile,
    ledger_path,
    ledger_text,
    read_ledger,
    write_ledger,
)


def test_a_ledger_reads_back_as_it_was_written(tmp_path: Path) -> None:
    rows = tmp_path / "arm.jsonl"
    rows.write_text("{}\n", encoding="utf-8")
    ledger = Ledger(
        "mix",
        inputs=(LedgerFile.of(rows, 1, name="arm.jsonl"),),
        counts={"kept": 1, "duplicate": 0},
        settings={"weights": {"a": 0.2}},
        seed=3,
    )
    assert write_ledger(rows, ledger) == tmp_path / "arm.ledger.json"
    assert read_ledger(rows) == ledger
    assert ledger_text(read_ledger(rows)) == ledger_path(rows).read_text(encoding="utf-8")


def test_a_file_without_a_ledger_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"arm.ledger.json: no such ledger; make the file again"):
        read_ledger(tmp_path / "arm.jsonl")


def test_a_broken_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "arm.ledger.json").write_text('{"made_by": "mix", "colour": 1}', encoding="utf-8")
    with pytest.raises(DataError, match=r"arm.ledger.json: not a ledger"):
        read_ledger(tmp_path / "arm.jsonl")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"counts": ""}, "counts: not an object"),
        ({"counts": {"kept": None}}, "counts: not all whole numbers"),
        ({"notes": []}, "notes: not an object"),
        ({"outputs": [{"file": "a", "rows": None, "sha256": "0"}]}, "not a ledger"),
        ({"outputs": 5}, "not a ledger"),
        ({"of tomorrow": 1}, "not a ledger"),
    ],
)
def test_a_ledger_whose_parts_are_none_is_named(
    change: dict[str, object], wrong: str, tmp_path: Path
) -> None:
    ledger = {"made_by": "mix", "inputs": [], "outputs": [], "counts": {"kept": 2}} | change
    (tmp_path / "a.ledger.json").write_text(json.dumps(ledger), encoding="utf-8")
    with pytest.raises(DataError, match=rf"a\.ledger\.json: {wrong}"):
        read_ledger(tmp_path / "a.jsonl")
