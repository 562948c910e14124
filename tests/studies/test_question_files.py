"""A question set's file is read in any shape that a teacher is asked in, and graded by its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.studies.question_sets import question_rows
from trace_rows import write_jsonl

Row = dict[str, Any]


def rows_of(folder: Path, *rows: Row) -> list[Row]:
    write_jsonl(folder / "questions.jsonl", rows)
    return question_rows(folder / "questions.jsonl", "sums", None)


@pytest.mark.parametrize(
    ("row", "question", "gold"),
    [
        ({"question": "1 + 1?", "answer": 2}, "1 + 1?", "2"),
        ({"question": "1 + 1?", "answer": "1+1=<<1+1=2>>2\n#### 2"}, "1 + 1?", "2"),
        ({"input": "1 + 1?\n", "answer": "2"}, "1 + 1?\n", "2"),
        ({"problem": "1 + 1?", "solution": "It is 2.", "answer": "2"}, "1 + 1?", "2"),
        ({"question": "Which?", "options": ["A)1", "B)2"], "rationale": "1 + 1.", "correct": "B"},
         "Which?", "B"),
    ],
    ids=["answer", "gsm8k", "mentor-kd", "math", "aqua"],
)  # fmt: skip
def test_a_file_of_any_known_shape_gives_questions_with_their_answers(
    row: Row, question: str, gold: str, tmp_path: Path
) -> None:
    (read,) = rows_of(tmp_path, row)
    assert (read["question"], read["gold"]) == (question, gold)
    assert read["id"].startswith("sums-")
    assert read.get("options") == ({"A": "1", "B": "2"} if "options" in row else None)


def test_a_file_with_our_columns_keeps_its_others(tmp_path: Path) -> None:
    row = {"question": "1 + 1?", "gold": "2", "source": "mine", "kind": "text"}
    assert rows_of(tmp_path, row)[0].items() >= row.items()


@pytest.mark.parametrize(
    ("gold", "kind"), [("1,200", "number"), ("B", "auto"), ("yes", "auto"), ("Ann", "auto")]
)
def test_an_answer_that_is_no_number_is_not_graded_as_one(
    gold: str, kind: str, tmp_path: Path
) -> None:
    assert rows_of(tmp_path, {"question": "Which?", "gold": gold})[0]["kind"] == kind
    assert rows_of(tmp_path, {"input": "Which?", "answer": gold})[0]["kind"] == kind


def test_rows_without_an_answer_are_named_and_counted(tmp_path: Path) -> None:
    rows = [{"question": "1 + 1?", "gold": "2"}, *({"question": "?", "gold": ""} for _ in range(7))]
    with pytest.raises(DataError) as caught:
        rows_of(tmp_path, *rows)
    text = str(caught.value)
    assert "questions.jsonl:2: no reference answer; expected text in the columns" in text
    assert "2 more like these" in text


def test_rows_of_no_known_shape_say_what_they_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"questions.jsonl:1: no column of a question"):
        rows_of(tmp_path, {"text": "1 + 1?"})
    (tmp_path / "empty.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match="the file is empty"):
        question_rows(tmp_path / "empty.json", "sums", None)
