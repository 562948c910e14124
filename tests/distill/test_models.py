"""Students and teachers that do not fit each other are refused before weights are loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cached_hub import cache_rows
from cotdistill.distill.model_check import memory_faults, teacher_faults
from cotdistill.distill.own_texts import texts_to_encode
from cotdistill.distill.settings import Teacher
from cotdistill.distill.vocabulary import shared_length, vocabulary_faults
from tiny_models import ROWS, TEXTS, build, training_file, write_rows


def tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder)


def changed(folder: Path, copy: Path, change: Any) -> Path:
    """Copy a model folder and change its tokenizer.json."""
    shutil.copytree(folder, copy)
    path = copy / "tokenizer.json"
    parsed = json.loads(path.read_text(encoding="utf-8"))
    change(parsed)
    path.write_text(json.dumps(parsed), encoding="utf-8")
    return copy


def swap(parsed: dict[str, Any]) -> None:
    """Give two tokens each other's id: the size stays, the meaning does not."""
    vocabulary = parsed["model"]["vocab"]
    vocabulary["A"], vocabulary["B"] = vocabulary["B"], vocabulary["A"]


def fewer_merges(parsed: dict[str, Any]) -> None:
    parsed["model"]["merges"] = parsed["model"]["merges"][:-5]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("vocabulary") / "student")


def test_the_same_tokenizer_is_accepted(model: Path) -> None:
    assert vocabulary_faults(tokenizer(model), tokenizer(model), TEXTS, "t:kd.teacher") == []


def test_equal_sizes_with_other_meanings_are_refused(model: Path, tmp_path: Path) -> None:
    other = tokenizer(changed(model, tmp_path / "other", swap))
    (fault,) = vocabulary_faults(tokenizer(model), other, TEXTS, "t:kd.teacher")
    assert "t:kd.teacher: 2 of 296 token ids mean something else" in str(fault)
    assert "'B' (student 'A')" in str(fault)
    assert "train on the teacher's text instead" in str(fault)


def test_equal_tokens_that_are_put_together_otherwise_are_refused(
    model: Path, tmp_path: Path
) -> None:
    other = tokenizer(changed(model, tmp_path / "other", fewer_merges))
    (fault,) = vocabulary_faults(tokenizer(model), other, TEXTS, "t:kd.teacher")
    assert "is encoded otherwise, from token" in str(fault)


def test_a_teacher_with_more_tokens_is_cut_to_the_students(model: Path) -> None:
    larger = tokenizer(model)
    larger.add_tokens(["<think>", "</think>"])
    assert vocabulary_faults(tokenizer(model), larger, TEXTS, "t:kd.teacher") == []
    assert shared_length(tokenizer(model), larger) == len(tokenizer(model))


def test_an_added_token_with_another_meaning_is_refused(model: Path) -> None:
    ours, theirs = tokenizer(model), tokenizer(model)
    ours.add_tokens(["<think>"])
    theirs.add_tokens(["<tool>"])
    (fault,) = vocabulary_faults(ours, theirs, [], "t:kd.teacher")
    assert "296: '<tool>' (student '<think>')" in str(fault)


KINDS = ["json", "parquet", "folder", "hub", "folder for a hub", "cached hub"]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_are_encoded_by_both_and_where_none_can_be_it_is_said(
    kind: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = changed(model, tmp_path / "other", fewer_merges)
    write_rows(tmp_path)
    entry = {"file_name": "rows.json"}
    if kind == "parquet":
        pandas = pytest.importorskip("pandas")
        pandas.DataFrame(ROWS).to_parquet(tmp_path / "rows.parquet")
        entry = {"file_name": "rows.parquet"}
    elif kind == "folder":
        (tmp_path / "rows").mkdir()
        shutil.copy(tmp_path / "rows.json", tmp_path / "rows" / "0.json")
        entry = {"file_name": "rows"}
    elif "hub" in kind:
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        entry = {"hf_hub_url": "someone/rows"}
        if kind == "folder for a hub":
            (tmp_path / "hub").mkdir()
            shutil.copy(tmp_path / "rows.json", tmp_path / "hub" / "rows.json")
            entry = {"hf_hub_url": str(tmp_path / "hub")}
        elif kind == "cached hub":
            cache_rows(tmp_path / "cache", "someone/rows", ROWS)
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": entry}))
    faults = teacher_faults(
        Teacher(model=str(other)), tokenizer(model), SimpleNamespace(trust_remote_code=False),
        {"dataset_dir": str(tmp_path), "dataset": "rows"}, "t:kd.teacher",
    )  # fmt: skip
    printed = capsys.readouterr().err
    if kind == "hub":
        assert faults == []
        assert "note: someone/rows: cannot be read from the hub (" in printed
        assert "compared token by token, but not on rows: none could be read here" in printed
    else:
        assert "is encoded otherwise, from token" in str(faults[0])
        assert printed == ""


def test_a_teacher_that_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as stream:
        stream.truncate(1 << 43)  # a sparse file
    (fault,) = memory_faults(str(tmp_path), None, "t:kd.teacher")
    for word in ("the teacher needs 8192.0 GiB", "quantization: 4", "cotdistill capture"):
        assert word in str(fault)


@pytest.mark.parametrize("has_pillow", [True, False])
def test_cached_rows_that_cannot_be_read_are_named_and_those_before_them_count(
    has_pillow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "PIL_AVAILABLE", has_pillow)
    features = {"text": datasets.Value("string"), "picture": datasets.Image()}
    rows = [{"text": "a pen", "picture": None}, {"text": "b", "picture": "/nowhere/b.png"}]
    cache_rows(tmp_path / "cache", "someone/rows", rows, features=features)
    entry = {"rows": {"hf_hub_url": "someone/rows"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entry))
    arguments = {"dataset_dir": str(tmp_path), "dataset": "rows"}
    found = texts_to_encode(arguments, ask_hub=False)
    assert found.texts == ["a pen"]
    (unread,) = found.unread
    assert unread.startswith("someone/rows: its rows cannot be read (")
    assert ("Pillow" if not has_pillow else "/nowhere/b.png") in unread


@pytest.mark.host
def test_students_and_teachers_that_cannot_be_used_are_named_and_nothing_is_written(
    tmp_path: Path, model: Path
) -> None:
    import transformers

    shutil.copytree(model, tmp_path / "student")
    write_rows(tmp_path)
    changed(model, tmp_path / "other", swap)
    t5 = transformers.T5Config(vocab_size=300, d_model=16, d_kv=8, d_ff=16, num_layers=1)
    t5.architectures = ["T5ForConditionalGeneration"]
    t5.save_pretrained(tmp_path / "t5")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model / name, tmp_path / "t5" / name)
    files = [
        training_file(tmp_path, name, change)
        for name, change in {
            "other": {"kd": {"teacher": str(tmp_path / "other")}},
            "missing": {"kd": {"teacher": str(tmp_path / "nowhere")}},
            "t5 student": {
                "model_name_or_path": str(tmp_path / "t5"),
                "kd": {"teacher": str(model)},
            },
            "t5 teacher": {"kd": {"teacher": str(tmp_path / "t5")}},
            "refused by the host": {"kd": {"teacher": str(model)}, "template": None, "seed": "x"},
        }.items()
    ]
    script = Path(__file__).parents[1] / "support" / "train_many.py"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, files)], capture_output=True, text=True, check=True
    )
    ended = json.loads(done.stdout.splitlines()[-1])
    assert "2 of 296 token ids mean something else" in ended[0]
    assert "nowhere: no such folder" in ended[1]
    assert (
        "t5 is an encoder-decoder; expected a causal language model; LLaMA-Factory would"
        in (ended[2])
    )
    assert "kd.teacher" in ended[3]
    assert "is an encoder-decoder" in ended[3]
    assert "LLaMA-Factory refuses it" in ended[4]
    assert all("\n" not in message for message in ended)
    assert not (tmp_path / "out").exists()
