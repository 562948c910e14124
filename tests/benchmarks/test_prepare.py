"""`cotdistill prepare`: from a file, from a stand-in for the hub, and what goes wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.benchmarks.benchmark import question_hash
from cotdistill.benchmarks.hooks import documents
from cotdistill.benchmarks.packaged import benchmark
from cotdistill.benchmarks.store import NotPreparedError, prepared_splits, read_ledger, read_split
from cotdistill.cli.main import main
from cotdistill.files.bundle import bundle_folder

ROWS = [
    {"question": f"Ada has {n} pens and buys 1. How many?", "answer": f"{n}+1\n#### {n + 1}"}
    for n in range(3)
]


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_becomes_a_split_with_a_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path, "test.jsonl", ROWS)
    assert main(["prepare", "gsm8k", "--from", str(source), "--any-size"]) == 0
    assert "gsm8k test: 3 questions in " in capsys.readouterr().out
    assert [row["gold"] for row in read_split("gsm8k", "test")] == ["1", "2", "3"]
    facts = read_ledger("gsm8k")["test"]
    assert (facts["rows"], facts["read"], facts["dropped"]) == (3, 3, {})
    assert facts["source"]["file"] == "test.jsonl"


def test_a_gold_that_the_question_itself_decides_is_computed_again(tmp_path: Path) -> None:
    asked = "Take the last letters of each words in {} and concatenate them."
    rows = [
        {"input": asked.format('"Ada Bob Eve Kim"'), "answer": "abem"},
        {"input": asked.format('"Lea Tom"'), "answer": "ma"},
    ]
    source = written(tmp_path, "last_letter_test.jsonl", rows)
    assert main(["prepare", "last_letter", "--from", str(source), "--any-size"]) == 0
    kept = list(read_split("last_letter", "test"))
    assert [row["gold"] for row in kept] == ["abem", "am"]
    assert [row["meta"] for row in kept] == [{}, {"source_gold": "ma"}]
    assert read_ledger("last_letter")["test"]["golds_recomputed"] == 1


@pytest.mark.parametrize(("name", "other"), [("aime24", "2025"), ("aime25", "2024")])
def test_a_competition_of_another_year_is_refused(
    name: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"problem": f"Add 1 to {n}.", "answer": str(n + 1), "year": other} for n in range(30)]
    source = written(tmp_path, "test.jsonl", rows)
    assert main(["prepare", name, "--from", str(source)]) == 1
    assert f"expected problem+answer where '{other}' not in" in capsys.readouterr().err
    for row in rows:
        del row["year"]
    written(tmp_path, "test.jsonl", rows)
    assert main(["prepare", name, "--from", str(source)]) == 0


def test_the_questions_of_another_benchmark_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, source = tmp_path / "mine", tmp_path / "test.jsonl"
    declared = yaml.safe_load(
        (bundle_folder("dataset_info") / "benchmarks/aime25.yaml").read_text()
    )
    hashes = [question_hash(row["question"]) for row in ROWS[:2]]
    declared |= {"name": "mine", "question_hashes": hashes}
    (bundle / "dataset_info/benchmarks").mkdir(parents=True)
    (bundle / "dataset_info/benchmarks/mine.yaml").write_text(yaml.safe_dump(declared))
    written(tmp_path, "test.jsonl", ROWS)
    again = ["prepare", "gsm8k", "--from", str(source), "--any-size"]
    assert main([*again, "--bundle", str(bundle)]) == 1
    assert "holds the questions of mine; expected those of gsm8k" in capsys.readouterr().err
    assert main(again) == 0


def test_preparing_twice_writes_the_same_bytes(tmp_path: Path) -> None:
    source = written(tmp_path, "test.jsonl", ROWS)
    folder = tmp_path / "data" / "gsm8k"
    main(["prepare", "gsm8k", "--from", str(source), "--any-size"])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    main(["prepare", "gsm8k", "--from", str(source), "--any-size"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(before) == ["ledger.json", "test.jsonl"]


def test_a_number_of_rows_that_is_not_known_stops_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path, "test.jsonl", ROWS)
    assert main(["prepare", "gsm8k", "--from", str(source)]) == 1
    assert "3 rows of test; expected 1319 or 659 rows" in capsys.readouterr().err
    assert prepared_splits("gsm8k") == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gsm8"], 2, "did you mean 'gsm8k'?"),
        (["gsm8k", "--from", "rows.jsonl"], 2, "does not tell its split"),
        (["gsm8k", "--from", "rows.jsonl", "--split", "dev"], 2, "no split 'dev'; known: train"),
        (["gsm8k", "--from", "no-test.jsonl"], 1, "no-test.jsonl: no such file"),
        (["gsm8k", "--from", "other-test.jsonl"], 1, "its columns (text) are in no shape known"),
        (["gsm8k", "--from", "amc-test.jsonl"], 1, "question+answer where '####' in answer"),
        (["gsm8k", "--from", "broken-test.parquet"], 1, "not Parquet"),
    ],
)
def test_misuse_is_one_line(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "rows.jsonl", ROWS)
    written(tmp_path, "other-test.jsonl", [{"text": "x"}])
    written(tmp_path, "amc-test.jsonl", [{"question": "What is 20 + 7?", "answer": 27.0}])
    written(tmp_path, "broken-test.parquet", ROWS)
    assert main(["prepare", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_hub_out_of_reach_says_so_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "aime25"]) == 1
    error = capsys.readouterr().err
    assert "math-ai/aime25:test: cannot be fetched" in error
    assert "cotdistill prepare aime25 --from FILE" in error
    assert error.count("\n") == 1


def hub_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the hub's layout and columns, read by the code that reads the hub."""
    folder = tmp_path / "hub" / "gsm8k"
    written(folder, "main/train.jsonl", ROWS[:2])
    written(folder, "main/test.jsonl", ROWS)
    configs = "".join(
        f"    - split: {split}\n      path: main/{split}.jsonl\n" for split in ("train", "test")
    )
    card = f"---\nconfigs:\n- config_name: main\n  data_files:\n{configs}---\n"
    (folder / "README.md").write_text(card, encoding="utf-8")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    real = benchmark("gsm8k")
    hub = real.hub.model_copy(update={"id": str(folder), "revision": None})  # type: ignore[union-attr]
    changed = real.model_copy(update={"hub": hub, "rows": {"train": (2,), "test": (3,)}})
    monkeypatch.setattr("cotdistill.benchmarks.prepare.benchmark", lambda _: changed)
    monkeypatch.setattr("cotdistill.benchmarks.hooks.declared_benchmark", lambda _: changed)


def test_every_split_comes_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_stand_in(tmp_path, monkeypatch)
    assert main(["prepare", "gsm8k"]) == 0
    assert prepared_splits("gsm8k") == ["train", "test"]
    first = next(iter(read_split("gsm8k", "train")))
    assert (first["gold"], first["rationale"]) == ("1", "0+1")


def test_the_loader_falls_back_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_stand_in(tmp_path, monkeypatch)
    found = documents("gsm8k", "test")
    assert [row["gold"] for row in found] == ["1", "2", "3"]
    assert found[0]["rationale"] is None  # a test document does not carry the way to its gold


def test_missing_data_says_exactly_what_to_type() -> None:
    with pytest.raises(NotPreparedError) as caught:
        documents("aime25", "test")
    assert "type: cotdistill prepare aime25" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert not isinstance(caught.value, SystemExit)  # which would end a notebook or a test run


def test_a_file_that_changed_after_it_was_prepared_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path, "test.jsonl", ROWS)
    main(["prepare", "gsm8k", "--from", str(source), "--any-size"])
    path = tmp_path / "data" / "gsm8k" / "test.jsonl"
    path.write_text(path.read_text().replace('"1"', '"9"'))
    from cotdistill.errors import DataError

    with pytest.raises(DataError, match="changed since it was prepared"):
        list(read_split("gsm8k", "test"))


def test_a_subject_that_nobody_has_is_said(tmp_path: Path) -> None:
    from cotdistill.errors import DataError

    source = written(tmp_path, "test.jsonl", ROWS)
    main(["prepare", "gsm8k", "--from", str(source), "--any-size"])
    with pytest.raises(DataError, match="no test question of subject Algebra"):
        documents("gsm8k", "test", subject="Algebra")


def test_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "test.parquet")
    assert main(["prepare", "gsm8k", "--from", str(tmp_path / "test.parquet"), "--any-size"]) == 0
    assert len(list(read_split("gsm8k", "test"))) == 3
