"""Scores that every file supports and that are still not what they seem are doubted in words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cotdistill.results.compare import compare
from cotdistill.results.report.report import report
from cotdistill.tables import escaped_markdown
from run_folder import add_run, add_scores, add_training

RUNS = ("tiny--a--full--s1", "tiny--a--full--s2", "tiny--b--full--s1", "tiny--b--full--s2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two arms of two seeds; no two runs answered alike."""
    for number, run in enumerate(RUNS):
        _, arm, _, seed = run.split("--")
        add_run(tmp_path, run, arm, seed=int(seed[1:]))
        add_training(tmp_path, run)
        add_scores(tmp_path, run, [True] * (4 + number) + [False] * (8 - number))
    return tmp_path


def notes_of(folder: Path) -> list[str]:
    made = report(folder)
    notes: list[str] = made.data["notes"]
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert all(escaped_markdown(note) in text for note in notes)
    return notes


def doubts(folder: Path) -> list[str]:
    return [note for note in notes_of(folder) if not note.startswith(("sd:", "▲"))]


def samples(folder: Path, run: str) -> Path:
    return next((folder / "scores" / run).rglob("samples_*"))


def results(folder: Path, run: str) -> Path:
    return next((folder / "scores" / run).rglob("results_*"))


def change(path: Path, what: Callable[[Any], None]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    what(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def with_arguments(given: object, value: Any) -> None:
    value["config"] = {"model_args": given}


def test_nothing_is_doubted_without_a_reason(folder: Path) -> None:
    assert doubts(folder) == []


def test_a_samples_file_that_lacks_rows_is_told_from_what_lm_eval_logged(folder: Path) -> None:
    for run in RUNS:  # all alike, so that no two runs answered other questions
        path = samples(folder, run)
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:6]))
    found = [note for note in doubts(folder) if "lacks rows" in note]
    assert len(found) == 4
    assert found[0].startswith(
        "tiny--a--full--s1: digits: the samples give 66.7 % of 6, but lm-eval logged 33.3 % of 12 "
        "questions: samples_digits_"
    )
    _, warnings = compare([folder])
    assert sum("lacks rows" in one for one in warnings) == 4


def test_samples_that_were_graded_otherwise_are_told_from_what_lm_eval_logged(
    folder: Path,
) -> None:
    path = samples(folder, RUNS[0])
    path.write_text(path.read_text().replace('"exact_match": 0.0', '"exact_match": 1.0', 1))
    (found,) = doubts(folder)
    assert "the samples give 41.7 %, but lm-eval logged 33.3 %: samples_digits_" in found


def test_another_prompt_than_the_other_runs_is_named(folder: Path) -> None:
    for run in RUNS[2:]:
        path = samples(folder, run)
        path.write_text(path.read_text().replace('"prompt1', '"think1'))  # 1, 10 and 11
    assert doubts(folder) == [
        "digits: tiny--b--full--s1 and tiny--b--full--s2 asked 3 of 12 questions with another "
        "prompt than tiny--a--full--s1, so their scores may not compare"
    ]


def test_runs_with_the_same_responses_are_named(folder: Path) -> None:
    shutil.copy(samples(folder, RUNS[0]), samples(folder, RUNS[1]))
    shutil.copy(results(folder, RUNS[0]), results(folder, RUNS[1]))
    line = (
        "digits: tiny--a--full--s1 and tiny--a--full--s2 gave the same responses to all questions: "
        "one model scored twice?"
    )
    assert doubts(folder) == [line]
    assert line in compare([folder])[1]


def test_a_loop_that_is_a_link_to_its_start_is_no_doubt(folder: Path) -> None:
    start, loop = folder / "checkpoints" / RUNS[0], folder / "checkpoints" / RUNS[1]
    shutil.rmtree(loop, ignore_errors=True)
    start.mkdir(parents=True, exist_ok=True)
    loop.symlink_to(start)
    shutil.copy(samples(folder, RUNS[0]), samples(folder, RUNS[1]))
    for run, place in ((RUNS[0], start), (RUNS[1], loop)):
        change(results(folder, run), partial(with_arguments, {"pretrained": str(place)}))
    assert not any("same responses" in line for line in doubts(folder))
    assert not any("same responses" in line for line in compare([folder])[1])


def test_models_that_say_the_same_to_every_question_are_not_called_one(folder: Path) -> None:
    for run in RUNS[:2]:
        path = samples(folder, run)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        same = [row | {"resps": [["4"]], "filtered_resps": ["4"]} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in same))
    assert doubts(folder) == []


@pytest.mark.parametrize("form", ["{}", "pretrained={},dtype=float32"])
def test_scores_of_another_model_than_the_runs_own_are_named(folder: Path, form: str) -> None:
    for run in RUNS:
        place = f"/moved/checkpoints/{run if run != RUNS[3] else RUNS[0]}"
        given = {"pretrained": place} if form == "{}" else form.format(place)
        change(results(folder, run), partial(with_arguments, given))
        config = folder / "eval" / f"{run}.yaml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(f"model_args: {{pretrained: /here/checkpoints/{run}}}\n")
    line = (
        "tiny--b--full--s2: scores are of the model /moved/checkpoints/tiny--a--full--s1, but "
        "tiny--b--full--s2.yaml names /here/checkpoints/tiny--b--full--s2"
    )
    assert doubts(folder) == [line]
    assert line in compare([folder])[1]


def test_settings_that_differ_are_noted_in_every_form_of_the_report(folder: Path) -> None:
    configs = {"digits": {"generation_kwargs": {"max_gen_toks": 7}}}
    change(results(folder, RUNS[0]), lambda r: r.update(configs=configs))
    assert any("decoding differs between runs" in note for note in doubts(folder))


def test_arms_whose_rows_hold_test_questions_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    long = [f"Tom buys {number} pens and then three more pens. How many?" for number in range(12)]
    for arm, rows in (("seen", long[:5]), ("unseen", ["What is 1 + 1?"] * 3)):
        texts = [json.dumps({"instruction": "Think.", "input": row, "output": "4"}) for row in rows]
        (data / f"{arm}.jsonl").write_text("\n".join(texts) + "\n")
        run = f"tiny--{arm}--full--s1"
        add_run(tmp_path, run, arm, seed=1, data=f"data/{arm}.jsonl")
        add_training(tmp_path, run)
        add_scores(tmp_path, run, [number % 3 == 0 for number in range(12)])
        path = samples(tmp_path, run)
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for number, line in enumerate(lines):
            line["resps"] = [[f"{arm} {number}"]]
            line["doc"]["question"] = long[number] if number < 8 else "What is 1 + 1?"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [note for note in doubts(tmp_path) if "training rows" in note] == [
        "arm seen: 5 of 12 questions of digits that the page shows stand in its training rows; "
        "cotdistill check looks for all of them"
    ]
