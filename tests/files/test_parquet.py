"""Rows as Parquet next to JSON Lines: the same rows, all or nothing, and a clear refusal."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.corpus.mixing.mix import WRITERS
from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.errors import DataError
from cotdistill.files import parquet as parquet_module
from cotdistill.files.atomic import sha256_of
from cotdistill.files.ledger import read_ledger
from cotdistill.files.parquet import parquet_rows
from trace_rows import read_jsonl, trace_dict, write_jsonl

pyarrow = pytest.importorskip("pyarrow")


def full_trace(number: int) -> dict[str, Any]:
    """A trace with every key that is free in what it holds."""
    return trace_dict(
        number,
        options={"A": "π", "B": "2"},
        answer="A",
        meta={"level": number, "unit": None, "tags": ["x", {"y": 1}]},
        provenance={"decoding": {"temperature": 0.6}, "level": 3, "tokens": 12},
    )


def test_all_traces_come_back_as_they_were_whatever_the_first_rows_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_module, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(parquet_module, "_ROWS_OF_GROUP", 6)
    rows = [*(trace_dict(n) for n in range(5)), *(full_trace(n) for n in range(5, 16))]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    copy = tmp_path / write_parquet_copy(path).file
    assert [trace_of(row) for row in parquet_rows(copy)] == [trace_of(row) for row in rows]
    file = importlib.import_module("pyarrow.parquet").ParquetFile(copy)
    groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [6, 6, 4]


@pytest.mark.parametrize("form", ["alpaca", "sharegpt", "messages"])
def test_training_rows_of_every_format_come_back_as_they_were(tmp_path: Path, form: str) -> None:
    rows = [WRITERS[form](trace_of(trace_dict(n))) for n in range(4)]  # type: ignore[index]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    assert list(parquet_rows(tmp_path / write_parquet_copy(path).file)) == rows


def test_every_verb_writes_the_parquet_copy_and_its_ledger_names_it(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in" / "pens.jsonl", [trace_dict(n) for n in range(2, 5)])
    there = tmp_path / "traces" / "pens.jsonl"
    kept, mixed = tmp_path / "kept.jsonl", tmp_path / "mixed.jsonl"
    filtering = ["--workers", "1", "--duplicates", "none", "--parquet"]
    assert main(["import-traces", str(path), "-o", str(there.parent), "--parquet"]) == 0
    copy = str(there.with_suffix(".parquet"))  # it is read as any other file is
    assert main(["filter", copy, "-o", str(kept), *filtering]) == 0
    assert main(["mix", f"all={kept}=1", "-o", str(mixed), "--parquet"]) == 0
    for written in (there, kept, mixed):
        rows = list(parquet_rows(written.with_suffix(".parquet")))
        if written == mixed:
            assert rows == read_jsonl(written)
        else:
            assert [trace_of(row) for row in rows] == [trace_of(r) for r in read_jsonl(written)]
        assert len(rows) == 3
        output = read_ledger(written).outputs[-1]
        assert output.file == f"{written.stem}.parquet"
        assert output.sha256 == sha256_of(written.with_suffix(".parquet"))


def test_without_pyarrow_a_line_says_so_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "pens.jsonl", [trace_dict(2)])
    import_module = importlib.import_module

    def without_pyarrow(name: str, package: str | None = None) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", without_pyarrow)
    assert main(["filter", str(path), "-o", str(tmp_path / "kept.jsonl"), "--parquet"]) == 1
    assert "pyarrow is not installed" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["pens.jsonl"]


def test_an_output_called_parquet_is_refused_with_what_to_say(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mix", "all=a.jsonl=1", "-o", str(tmp_path / "mix.parquet")]) == 2
    assert "mix.jsonl --parquet" in capsys.readouterr().err


def test_rows_that_do_not_fit_are_named_and_leave_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"n": 1}) + "\n" + json.dumps({"n": "one"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.jsonl: .*cannot be kept as Parquet"):
        write_parquet_copy(path)
    late = write_jsonl(tmp_path / "late.jsonl", [*[{"n": 1}] * 1024, {"n": 2, "more": 3}])
    with pytest.raises(DataError, match=r"rows 1025 to 2048: cannot .* \(key 'more' is not in"):
        write_parquet_copy(late)
    late.unlink()
    half = write_jsonl(tmp_path / "half.jsonl", [])
    half.write_text(json.dumps(trace_dict(1, question="\ud83d")) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"half.jsonl: rows 1 to .*cannot be kept as Parquet"):
        write_parquet_copy(half)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["half.jsonl", "rows.jsonl"]
