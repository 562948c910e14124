"""Every seed's rows become traces, and what cannot is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.catalogue.packaged import datasets
from cotdistill.corpus.records.import_traces import import_source
from cotdistill.corpus.records.row_shapes import shape_of
from cotdistill.corpus.records.shape import SourceInfo
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace_row import trace_of, trace_row
from cotdistill.errors import DataError
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.ledger import read_ledger
from trace_rows import read_jsonl, trace_dict, write_jsonl

SHAPES: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("instruction/output", {"instruction": "1+1?", "output": "It is 2"}, "1+1?", "", "It is 2"),
    ("instruction/label", {"instruction": "1+1?", "label": "2"}, "1+1?", "2", ""),
    ("mentor-kd questions", {"input": "1+1?", "answer": "2"}, "1+1?", "2", ""),
    (
        "mentor-kd chains",
        {"input": "1+1?", "chain": "One more.", "answer": "2", "initial_correct": True},
        "1+1?",
        "2",
        "One more.",
    ),
    (
        "gsi gold chains",
        {"item_id": "a", "question": "1+1?", "answer_cot": "Two.", "answer_value": "2"},
        "1+1?",
        "2",
        "Two.",
    ),
    ("problem/solution", {"problem": "1+1?", "solution": "It is 2"}, "1+1?", "", "It is 2"),
    (
        "micota",
        {"instruction": "1+1?", "output": "It is 2", "answer": "2", "resp_answer": "2"},
        "1+1?",
        "2",
        "It is 2",
    ),
    (
        "messages",
        {"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}]},
        "1+1?",
        "",
        "2",
    ),
    (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]},
        "1+1?",
        "",
        "2",
    ),
    ("gsm8k", {"question": "1+1?", "answer": "1+1=2\n#### 2"}, "1+1?", "2", "1+1=2\n#### 2"),
    ("problem/answer", {"problem": "1+1?", "answer": 2.0}, "1+1?", "2", ""),
]


@pytest.mark.parametrize(("name", "row", "question", "gold", "rationale"), SHAPES)
def test_a_row_of_each_shape_becomes_a_trace(
    name: str, row: dict[str, Any], question: str, gold: str, rationale: str
) -> None:
    shape = shape_of(row)
    assert shape is not None
    assert shape.name == name
    (trace,) = shape.read(row, SourceInfo(dataset="toy"))
    assert (trace.question, trace.gold, trace.rationale) == (question, gold, rationale)
    assert trace_of(trace_row(trace)) == trace


def test_samples_of_guided_self_improvement_become_a_trace_each() -> None:
    row = {
        "question": "1+1?", "answer_value": "2", "pred": ["It is 2", "It is 3"],
        "pred_value": ["2", "3"], "correct_pred": ["It is 2"],
    }  # fmt: skip
    shape = shape_of(row)
    assert shape is not None
    assert [trace.answer for trace in shape.read(row, SourceInfo())] == ["2", "3"]


def test_rows_of_guided_self_improvement_say_which_dataset_they_are_of() -> None:
    """Its scripts append the rows of several datasets to one results.json."""
    rows = [
        {"item_id": f"{name}_12", "question": "1+1?", "answer_value": "2", "pred": ["It is 2"]}
        for name in ("gsm8k", "aqua_rat")
    ]
    traces = [shape_of(row).read(row, SourceInfo(dataset="results")) for row in rows]
    assert [one.dataset for found in traces for one in found] == ["gsm8k", "aqua_rat"]
    (named,) = shape_of(rows[0]).read(rows[0], SourceInfo(dataset="mine"))
    (unnamed,) = shape_of(rows[0]).read(rows[0] | {"item_id": 12}, SourceInfo(dataset="results"))
    assert (named.dataset, unnamed.dataset) == ("mine", "results")


def test_a_prompt_file_of_mentor_kd_holds_several_chains() -> None:
    row = {"instruction": "1+1?", "output": ["Two.", "It is 2."], "label": "2"}
    shape = shape_of(row)
    assert shape is not None
    assert [trace.rationale for trace in shape.read(row, SourceInfo())] == ["Two.", "It is 2."]


def legacy_cells() -> set[str]:
    """Return the names that the CoT-factors registry has; two of its files are in none."""
    cells = {name: entry.about.cell for name, entry in datasets().items() if entry.about.cell}
    return {name for name, cell in cells.items() if cell.format != "zero-shot"}


def test_all_156_legacy_names_and_their_files_are_known() -> None:
    assert len(legacy_cells()) == 156


def test_each_cell_has_one_regular_name_that_finds_its_legacy_one() -> None:
    aliases = json.loads((bundle_folder("dataset_info") / "aliases.json").read_text("utf-8"))
    cells = legacy_cells()
    assert set(aliases.values()) == cells - {"math_human"}  # the one that is regular already
    assert all(datasets()[alias].name == name for alias, name in aliases.items())
    assert not set(aliases) & set(datasets())
    assert datasets()["aqua_llama_level2"].file_name == "aqua_llama_level2_ranked.json"


def test_a_registered_file_is_read_by_its_columns_and_gets_its_golds(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"{n}+1?", "output": f"One more. The answer is {n + 1}"} for n in (1, 2)
    ]
    (tmp_path / "SVAMP_gemini_level2_ranked.json").write_text(json.dumps(rows), encoding="utf-8")
    golds = [{"instruction": f"{n}+1?", "output": str(n + 1)} for n in (1, 2)]
    (tmp_path / "SVAMP_only_ans.json").write_text(json.dumps(golds), encoding="utf-8")
    sources = {source.name: source for source in find_sources([tmp_path])}
    assert list(sources) == ["SVAMP_gemini_level2", "SVAMP_only_ans"]
    import_source(sources["SVAMP_gemini_level2"], tmp_path / "out")
    traces = read_jsonl(tmp_path / "out" / "SVAMP_gemini_level2.jsonl")
    assert [trace["gold"] for trace in traces] == ["2", "3"]
    assert traces[0]["provenance"]["teacher"] == "gemini-1.5-flash"
    assert traces[0]["provenance"]["level"] == 2
    assert traces[1]["provenance"]["source"] == "SVAMP_gemini_level2_ranked.json:2"
    ledger = read_ledger(tmp_path / "out" / "SVAMP_gemini_level2.jsonl")
    assert ledger.counts == {"kept": 2}


def test_a_row_without_the_mapped_column_is_refused_and_counted(tmp_path: Path) -> None:
    rows = [
        {"problem": "1+1?", "solution": "2", "output": "2", "gemini_output": "The answer is 2"},
        {"problem": "1+2?", "solution": "3", "output": "3", "chatgpt_output": "The answer is 3"},
    ]
    (tmp_path / "math_gemini_level1_ranked.json").write_text(json.dumps(rows), encoding="utf-8")
    (source,) = find_sources([tmp_path])
    done = import_source(source, tmp_path / "out")
    assert (done.traces, dict(done.refused)) == (1, {"missing_column": 1})
    (refused,) = read_jsonl(tmp_path / "out" / "refused" / "math_mix_gemini_level1.jsonl")
    assert "no column 'gemini_output'" in refused["why"]
    assert refused["row"]["problem"] == "1+2?"


def test_a_file_of_mixed_shapes_is_refused_row_by_row(tmp_path: Path) -> None:
    rows = [{"problem": "1+1?", "solution": "2"}, {"input": "1+1?", "answer": "2"}]
    path = write_jsonl(tmp_path / "mixed.jsonl", rows)
    (source,) = find_sources([path])
    done = import_source(source, tmp_path / "out")
    assert done.traces == 1
    assert "not of the file's shape (problem/solution)" in done.refusals[0].why


def test_broken_lines_are_all_named_unless_skipped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = b'{"problem": "1+1?", "solution": "2"}\n'
    path.write_bytes(
        b"\xef\xbb\xbf" + good + b'{"problem": \n' + b'{"problem": "caf\xe9"}\n' + good
    )
    (source,) = find_sources([path])
    with pytest.raises(DataError) as info:
        import_source(source, tmp_path / "out", skip_bad=False)
    assert [fault.place.rpartition(":")[2] for fault in info.value.faults] == ["2", "3"]
    assert "--skip-bad" in str(info.value)
    assert not list((tmp_path / "out").glob("*.jsonl"))
    done = import_source(source, tmp_path / "out", skip_bad=True)
    assert (done.traces, done.refused["unreadable_row"]) == (2, 2)


def test_an_empty_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("", encoding="utf-8")
    (source,) = find_sources([tmp_path])
    with pytest.raises(DataError, match=r"rows.jsonl: the file is empty"):
        import_source(source, tmp_path / "out")
    with pytest.raises(DataError, match="no such file or folder"):
        find_sources([tmp_path / "nowhere"])


def test_a_trace_with_an_unknown_key_or_type_says_which() -> None:
    with pytest.raises(ValueError, match="unknown key 'rationle'; did you mean 'rationale'"):
        trace_of({**trace_dict(1), "rationle": "x"})
    with pytest.raises(ValueError, match="'gold' is 4, expected text"):
        trace_of(trace_dict(2, gold=4))
    with pytest.raises(ValueError, match=r"unknown key 'provenance.techer'"):
        trace_of(trace_dict(2, provenance={"techer": "me"}))


def test_parquet_is_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"problem": "1+1?", "solution": "The answer is 2"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (source,) = find_sources([tmp_path / "rows.parquet"])
    assert import_source(source, tmp_path / "out").traces == 1
    (tmp_path / "bad.parquet").write_bytes(b"not parquet at all")
    (source,) = find_sources([tmp_path / "bad.parquet"])
    with pytest.raises(DataError, match=r"bad.parquet: not Parquet"):
        import_source(source, tmp_path / "out")


def test_the_letter_of_a_choice_is_its_gold(tmp_path: Path) -> None:
    asked = "Where? Answer Choices:\nA. here\nB. there"
    path = tmp_path / "commonsense_qa_train.json"
    path.write_text(json.dumps([{"input": asked, "answer": "B. there"}]), encoding="utf-8")
    (source,) = find_sources([path])
    import_source(source, tmp_path / "out")
    (row,) = read_jsonl(tmp_path / "out" / "questions" / "commonsense_qa_train.jsonl")
    assert (row["gold"], row["options"]) == ("B", {"A": "here", "B": "there"})
