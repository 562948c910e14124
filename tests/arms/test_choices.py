"""Training rows of multiple-choice questions have their choices, in the form that tasks ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_questions
from cotdistill.benchmarks.store import write_split
from cotdistill.cli.main import main
from cotdistill.preflight.check import check
from cotdistill.runfolder.dev_rows import write_dev_rows
from cotdistill.studies.load import study_of
from cotdistill.studies.question_sets import question_sets
from json_lines import rows
from trace_rows import write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]

THINGS = ["cup", "key", "pen", "hat", "jug", "map", "fan", "bag", "net", "pot"]
LINES = "\n\nAnswer choices:\nA. {0}\nB. nothing"


def stem(number: int) -> str:
    return f"Ann has a {THINGS[number]} in box {number} and gives nothing away. What is in it?"


@pytest.fixture
def study(small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study with ten questions of CommonsenseQA's shape, of which three are for development."""
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "prepared"))
    questions = [
        {"id": f"csqa-{n}", "dataset": "csqa", "split": "train", "question": stem(n), "gold": "A",
         "kind": "letter", "options": {"A": THINGS[n], "B": "nothing"}, "rationale": None,
         "meta": {}}
        for n in range(10)
    ]  # fmt: skip
    write_split("csqa", "train", questions, {"source": "made up"})
    inline = [
        {"instruction": f"Q: {stem(n)} Answer choices: A: {THINGS[n]}, B: nothing",
         "output": "It stays. The answer is A"}
        for n in range(10)
    ]  # fmt: skip
    write_jsonl(tmp_path / "inline.jsonl", inline)
    del small_study["students"]
    return {
        **small_study,
        "schema_version": 2,
        "models": {"tiny": {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}},
        "students": ["tiny"],
        "questions": {"csqa": {"benchmark": "csqa", "dev": 3}},
        "arms": {"golds": {"answers": "csqa"}, "inline": {"file": "inline.jsonl"}},
        "evaluation": {**small_study["evaluation"], "tasks": ["dev_csqa"]},
    }


@pytest.fixture
def generated(study: Study, study_file: WriteStudy, tmp_path: Path) -> Callable[..., Path]:
    def generate(**prompt: str) -> Path:
        study["prompt"] = prompt
        assert main(["generate", str(study_file(study)), "-o", str(tmp_path / "run")]) == 0
        return tmp_path / "run"

    return generate


def asked_in(folder: Path, arm: str) -> list[str]:
    return [row["instruction"] for row in rows(folder / "data" / f"{arm}.jsonl")]


def test_a_row_of_a_question_and_its_answer_has_the_choices(generated: Callable[..., Path]) -> None:
    folder = generated(instruction="Think.")
    asked = asked_in(folder, "golds")
    assert len(asked) == 7
    assert all(text.endswith("\nB. nothing\n\nThink.") for text in asked)


def test_development_questions_are_in_no_arm_in_whatever_form_choices_stand(
    generated: Callable[..., Path],
) -> None:
    folder = generated()
    golds, inline = asked_in(folder, "golds"), asked_in(folder, "inline")
    assert len(golds) == len(inline) == 7
    assert {text.split(" in box ")[1][0] for text in golds} == {
        text.split(" in box ")[1][0] for text in inline
    }
    build_questions(folder, "csqa")
    assert len(rows(folder / "data/questions/csqa.jsonl")) == 7


def test_rows_that_write_choices_otherwise_than_the_task_are_a_fault_until_the_study_says_tasks(
    generated: Callable[..., Path],
) -> None:
    (fault,) = check(str(generated())).faults
    assert fault.place == "arm inline"
    assert fault.wrong.startswith("rows have 'Answer choices: A: ")
    assert fault.wrong.endswith("where the task dev_csqa has a line for each choice")
    assert fault.remedy == "say prompt: {choices: tasks} in the study"
    folder = generated(choices="tasks")
    assert check(str(folder)).faults == ()
    assert asked_in(folder, "inline") == asked_in(folder, "golds")
    assert "Answer choices: A: " in rows(folder / "data/inline.jsonl")[0]["question"]


def test_development_rows_of_an_encoder_decoder_have_the_choices(
    generated: Callable[..., Path],
) -> None:
    folder = generated()
    study = study_of(folder)
    sets, _ = question_sets(study, "s.yaml")
    write_dev_rows(folder, study, sets)
    (first, *_) = rows(folder / "data/dev/csqa.rows.jsonl")
    assert first["instruction"].endswith("\nB. nothing")


def test_a_set_of_questions_with_choices_in_the_text_asks_them_apart(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    aqua = [
        {"question": f"{stem(n)}\nAnswer Choices: (A) {THINGS[n]} (B) nothing", "gold": "A"}
        for n in range(10)
    ]
    write_jsonl(tmp_path / "aqua.jsonl", aqua)
    study["questions"] = {"q": {"file": "aqua.jsonl", "dev": 4, "task": "cot_aqua"}}
    study["arms"] = {"golds": {"answers": "q"}}
    study["evaluation"]["tasks"] = ["dev_q"]
    assert main(["generate", str(study_file(study)), "-o", str(tmp_path / "run")]) == 0
    (first, *_) = rows(tmp_path / "run/data/dev/q.jsonl")
    assert json.loads(json.dumps(first["options"]))["B"] == "nothing"
    assert first["question"] in map(stem, range(10))
    assert first["kind"] == "letter"
