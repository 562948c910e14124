"""`cotdistill grade`: a verdict for each row, golds from two files, faults all at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.corpus.grade_file import GradeColumns, GradeSettings, checked_kind, grade_file
from cotdistill.errors import DataError, MisuseError

ROWS = [
    {"id": 1, "question": "3 + 4?", "rationale": "3 + 4 = 7. The answer is 7.", "gold": "7"},
    {"id": 2, "question": "2 * 4?", "rationale": "2 * 4 = 9. The answer is 9.", "gold": "8"},
    {"id": 3, "question": "5 * 5?", "rationale": "We take 5 times 5 and so", "gold": "25"},
    {
        "id": 4, "question": "Which?", "rationale": "So it is (B).", "gold": "B",
        "options": ["A) red", "B) blue"], "kind": "letter",
    },
]  # fmt: skip


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_row_gets_a_verdict_and_keeps_its_columns(tmp_path: Path) -> None:
    source = written(tmp_path / "traces.jsonl", ROWS)
    tally = grade_file(source, tmp_path / "out.jsonl", settings=GradeSettings(steps=True))
    rows = read(tmp_path / "out.jsonl")
    assert [row["grade"]["outcome"] for row in rows] == ["correct", "wrong", "cut_off", "correct"]
    assert [{key: row[key] for key in row if key != "grade"} for row in rows] == ROWS
    assert rows[1]["grade"]["equations"] == {"stated": 1, "false": 1}
    assert rows[0]["grade"]["span"] == [25, 26]
    assert (tally.rows, tally.count("correct")) == (4, 2)
    assert (tally.with_equation, tally.with_false_equation) == (2, 1)


def test_golds_come_from_a_second_file_by_the_question(tmp_path: Path) -> None:
    bare = [{"question": row["question"], "text": row["rationale"]} for row in ROWS[:3]]
    source = written(tmp_path / "traces.jsonl", bare)
    golds = written(
        tmp_path / "golds.jsonl",
        [{"question": f" {row['question']}\n", "answer": row["gold"]} for row in ROWS],
    )
    columns = GradeColumns(prediction="text", gold="answer", on="question")
    tally = grade_file(source, tmp_path / "out.jsonl", columns=columns, gold_file=golds)
    assert [tally.count(which) for which in ("correct", "wrong", "cut_off")] == [1, 1, 1]


def test_columns_lead_inside_a_row_by_dots(tmp_path: Path) -> None:
    source = written(
        tmp_path / "samples.jsonl", [{"doc": {"answer": 7}, "resps": [["The answer is 7."]]}]
    )
    columns = GradeColumns(prediction="resps.0.0", gold="doc.answer")
    assert grade_file(source, tmp_path / "out.jsonl", columns=columns).count("correct") == 1


def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    rows = [{**ROWS[number % 4], "id": number} for number in range(700)]
    source = written(tmp_path / "traces.jsonl", rows)
    heard: list[int] = []
    grade_file(source, tmp_path / "one.jsonl", advance=heard.append)
    grade_file(source, tmp_path / "two.jsonl", settings=GradeSettings(workers=2))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    assert heard == list(range(1, 701))


def test_all_faults_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    source = written(
        tmp_path / "traces.jsonl", [{"rational": "4", "gold": "4"}, {"rationale": "4"}]
    )
    with pytest.raises(DataError) as raised:
        grade_file(source, tmp_path / "out.jsonl")
    assert str(raised.value).splitlines() == [
        f"{source}: row 1: 'rationale' is missing; expected a column named by --prediction;"
        " did you mean 'rational'?",
        f"{source}: row 2: 'gold' is missing; expected a column named by --gold; known: rationale",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["traces.jsonl"]


def test_a_question_without_gold_and_a_second_gold_are_faults(tmp_path: Path) -> None:
    source = written(tmp_path / "traces.jsonl", ROWS[:1])
    golds = written(tmp_path / "golds.jsonl", [{"id": 9, "gold": "1"}])
    with pytest.raises(DataError, match="row 1: no gold for id '1'"):
        grade_file(source, tmp_path / "out.jsonl", gold_file=golds)
    twice = written(tmp_path / "twice.jsonl", [{"id": 1, "gold": "1"}, {"id": 1, "gold": "2"}])
    with pytest.raises(DataError, match="row 2: a second gold for id '1'"):
        grade_file(source, tmp_path / "out.jsonl", gold_file=twice)


def test_a_row_may_bring_its_own_tolerance(tmp_path: Path) -> None:
    row = {"rationale": "The answer is 3.1", "gold": "3.14159"}
    source = written(tmp_path / "traces.jsonl", [row, {**row, "meta": {"tolerance": 0.04}}])
    grade_file(source, tmp_path / "out.jsonl")
    assert [row["grade"]["correct"] for row in read(tmp_path / "out.jsonl")] == [False, True]


def test_a_text_that_is_no_unicode_is_graded_and_written(tmp_path: Path) -> None:
    source = written(tmp_path / "traces.jsonl", [{"rationale": "It is 4.\ud800\0", "gold": "4"}])
    grade_file(source, tmp_path / "out.jsonl")
    assert read(tmp_path / "out.jsonl")[0]["rationale"] == "It is 4.\ud800\0"


def test_a_text_of_null_is_no_answer(tmp_path: Path) -> None:
    source = written(tmp_path / "traces.jsonl", [{"rationale": None, "gold": "4"}])
    assert grade_file(source, tmp_path / "out.jsonl").count("no_answer") == 1


def test_the_source_is_never_overwritten_and_kinds_are_checked(tmp_path: Path) -> None:
    source = written(tmp_path / "traces.jsonl", ROWS)
    with pytest.raises(MisuseError, match="choose another name"):
        grade_file(source, source)
    with pytest.raises(MisuseError, match="did you mean 'number'"):
        checked_kind("numbr")


def test_the_verb_prints_a_table_of_outcomes_by_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "traces.jsonl", ROWS)
    assert main(["grade", str(source)]) == 0
    out, talk = capsys.readouterr()
    assert out.splitlines()[0].split() == ["outcome", "rule", "rows", "share"]
    assert out.splitlines()[1].split() == ["correct", "all", "2", "50.0%"]
    assert f"wrote 4 rows: {tmp_path / 'traces.graded.jsonl'}" in talk
    assert len(read(tmp_path / "traces.graded.jsonl")) == 4


def test_the_verb_has_an_example_in_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "--help"]) == 0
    assert "cotdistill grade traces.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize("tolerance", ["nan", "inf", "-1"])
def test_a_tolerance_that_is_none_is_misuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tolerance: str
) -> None:
    source = written(tmp_path / "traces.jsonl", ROWS)
    assert main(["grade", str(source), "--tolerance", tolerance]) == 2
    assert "expected a share such as 0.01" in capsys.readouterr().err


def test_a_row_with_a_tolerance_that_is_none_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "traces.jsonl", [{**ROWS[0], "meta": {"tolerance": float("nan")}}])
    assert main(["grade", str(source)]) == 1
    assert "row 1: meta.tolerance is nan; expected a share" in capsys.readouterr().err
