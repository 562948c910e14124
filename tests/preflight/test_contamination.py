"""Arms against the questions that the study's own tasks ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.benchmarks.puzzle_task import puzzle_documents
from cotdistill.benchmarks.store import write_split
from cotdistill.cli.main import main
from cotdistill.preflight.check import check
from cotdistill.runfolder.generate import generate

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


@pytest.fixture(autouse=True)
def _nothing_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "prepared"))


def with_arm(study: Study, path: Path, questions: list[str]) -> Study:
    """Add an arm of a file to a study that tests with puzzles."""
    rows = [{"instruction": question, "output": "The answer is A."} for question in questions]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    study["arms"] = {"mine": {"file": str(path)}}
    study["evaluation"]["tasks"] = ["cot_puzzles_ball"]
    return study


def test_questions() -> list[str]:
    return [str(puzzle["question"]) for puzzle in puzzle_documents("ball", rows=200)]


test_questions.__test__ = False  # type: ignore[attr-defined]


def test_an_arm_that_holds_test_questions_is_a_fault_of_study_and_run_folder(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    asked = test_questions()
    own = ["Is ice cold?", f"Answer briefly.\n\nQuestion: {asked[7]}\nThink step by step."]
    study = study_file(with_arm(small_study, tmp_path / "mine.jsonl", [*asked[:3], *own]))
    checked = check(str(study))
    (fault,) = checked.faults
    assert fault.place == "arm mine"
    assert fault.wrong.startswith("4 of 5 rows ask 4 test questions of ball (row 1 is ball-")
    assert fault.remedy == "leave them out: filter: {against: [ball]} in the arm"
    assert checked.looked_at[1] == "1 arm against the test questions of ball (200)"
    generate(str(study), tmp_path / "run")
    assert fault in check(str(tmp_path / "run")).faults


@pytest.mark.parametrize("kind", ["teach", "sample"])
def test_questions_that_a_model_will_be_asked_are_compared_before_they_are_paid_for(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, kind: str
) -> None:
    asked = ["Is ice as cold as snow in the winter months?", *test_questions()[:4]]
    rows = [json.dumps({"question": question, "gold": "A"}) for question in asked]
    (tmp_path / "q.jsonl").write_text("\n".join(rows) + "\n")
    small_study["schema_version"] = 2
    small_study["models"] = {
        "tiny": {"scratch": small_study["students"][0]["scratch"]},
        "big": {"endpoint": "http://127.0.0.1:9/v1", "model": "big"},
    }
    small_study["students"] = ["tiny"]
    small_study["questions"] = {"q": {"file": str(tmp_path / "q.jsonl")}}
    of_whom = {"teach": {"teacher": "big"}, "sample": {"model": "big"}}[kind]
    small_study["arms"] = {"mine": {kind: {"questions": "q", **of_whom}}}
    small_study["evaluation"]["tasks"] = ["cot_puzzles_ball"]
    checked = check(str(study_file(small_study)))
    (fault,) = checked.faults
    assert fault.place == "arm mine"
    assert fault.wrong.startswith(
        "4 of 5 rows to be written ask 4 test questions of ball (row 2 is ball-"
    )
    small_study["arms"]["mine"]["filter"] = {"against": ["ball"]}
    assert check(str(study_file(small_study))).faults == ()


def test_questions_that_are_only_like_test_questions_are_counted_in_a_note(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    text = "Tom has 4 red pens and 5 blue pens in his bag. How many pens does Tom have in all?"
    row = {"id": "svamp-1", "question": text, "gold": "9", "kind": "number"}
    write_split("svamp", "test", [row], {"source": "made up"})
    other = [text.replace("4", "7"), "Ann sold 3 cakes. How many cakes are left of ten?"]
    study = with_arm(small_study, tmp_path / "mine.jsonl", other)
    study["evaluation"]["tasks"] = ["cot_svamp"]
    checked = check(str(study_file(study)))
    assert checked.faults == ()
    (note,) = (note for note in checked.notes if "like a test question" in note)
    assert note.startswith("arm mine: 1 of 2 rows are like a test question of svamp")


@pytest.mark.host
def test_lm_eval_s_own_task_is_known_by_the_dataset_that_it_asks_from(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    text = "Tom has 4 red pens and 5 blue pens in his bag. How many pens does Tom have in all?"
    row = {"id": "gsm8k-1", "question": text, "gold": "9", "kind": "number"}
    write_split("gsm8k", "test", [row], {"source": "made up"})
    study = with_arm(small_study, tmp_path / "mine.jsonl", [text])
    study["evaluation"]["tasks"] = ["gsm8k"]
    (fault,) = check(str(study_file(study))).faults
    assert fault.wrong == "1 of 1 rows ask 1 test question of gsm8k (row 1 is gsm8k-1)"


@pytest.mark.host
def test_what_cannot_be_compared_is_named_and_never_passed_over(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = with_arm(small_study, tmp_path / "mine.jsonl", ["Is ice cold?"])
    study["evaluation"]["tasks"] = ["cot_gsm8k", "arc_easy", "cot_puzzles_ball"]
    study["arms"]["hub"] = {"dataset": "gsm8k"}
    assert main(["check", str(study_file(study))]) == 0
    notes = capsys.readouterr().err
    wrong = "not compared with the test questions of"
    assert f"note: {wrong} gsm8k, which are not prepared; type: cotdistill prepare gsm8k\n" in notes
    assert f"note: {wrong} arc_easy: only lm-eval loads them\n" in notes
    assert "note: arm hub: LLaMA-Factory fetches its rows; not compared with test quest" in notes
    assert "checked 1 arm against the test questions of ball (200)\n" in notes
