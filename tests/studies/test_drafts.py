"""`cotdistill new` writes drafts that work as they are, and says what it guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.benchmarks.guess import guess_shape
from cotdistill.benchmarks.packaged import benchmark
from cotdistill.cli.main import main
from cotdistill.errors import DataError
from cotdistill.files.bundle import bundle_folder, more_bundles
from cotdistill.files.templates import render
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.task_files import task_key

ROWS: dict[str, list[dict[str, Any]]] = {
    "number": [{"problem": f"{n} + 1?", "final_answer": n + 1} for n in range(30)],
    "hashes": [{"question": f"{n} + 1?", "answer": f"One more. #### {n + 1}"} for n in range(3)],
    "boxed": [{"problem": "x?", "solution": f"So \\boxed{{\\frac{{1}}{{{n}}}}}."} for n in (2, 3)],
    "letter": [
        {"question": "Which?", "options": ["A) red", "B) blue"], "correct": "B", "id": "q1"},
        {"question": "What?", "options": ["A) one", "B) two"], "correct": "A", "id": "q2"},
    ],
    "index": [{"question": "Which?", "choices": ["red", "blue"], "answer": 1, "topic": "colours"}],
    "option text": [{"question": "Which?", "choices": ["red", "blue"], "answer": "blue"}],
    "hub choices": [
        {
            "question": "Which?",
            "choices": {"text": ["a", "b"], "label": ["A", "B"]},
            "answerKey": "B",
        }
    ],
    "columns": [{"question": "Which?", "A": "red", "B": "blue", "answer": "A"}],
    "inline": [{"input": "Who? Answer choices: (A) Ann, (B) Bob", "answer": "(B)"}],
    "boolean": [{"question": "Is it?", "answer": True}, {"question": "Was it?", "answer": False}],
    "text": [{"prompt": "Who wrote it?", "target": "Jane Austen"}],
    "two lines": [{"question": "One?\n\nTwo?", "answer": "5", "note": "a\nb"}],
    "passage": [{"Body": "Tom has 3.", "Question": "How many?", "Answer": "3.0", "Type": "Count"}],
}
GOLDS = {
    "number": ("number", "1"), "hashes": ("number", "1"), "boxed": ("expression", "\\frac{1}{2}"),
    "letter": ("letter", "B"), "index": ("letter", "B"), "option text": ("letter", "B"),
    "hub choices": ("letter", "B"), "columns": ("letter", "A"), "inline": ("letter", "B"),
    "boolean": ("boolean", "Yes"), "text": ("text", "Jane Austen"), "two lines": ("number", "5"),
    "passage": ("number", "3"),
}  # fmt: skip


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ROWS)
def test_a_file_becomes_a_benchmark_that_reads_its_rows(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS[name])
    bundle = tmp_path / "mine"
    assert main(["new", "benchmark", "mine", "--from", str(source), "-o", str(bundle)]) == 0
    printed = capsys.readouterr()
    path = bundle / "dataset_info" / "benchmarks" / "mine.yaml"
    assert printed.out == f"{path}\n"
    kind, gold = GOLDS[name]
    assert f"kind: {kind}; the first reference answer is {gold!r}" in printed.err
    with more_bundles([bundle]):
        declared = benchmark("mine")
        assert declared.kind == kind
        assert declared.rows == {"test": (len(ROWS[name]),)}
        assert declared.question(ROWS[name][0], "test")["gold"] == gold
        assert len(declared.examples) == min(2, len(ROWS[name]))


def test_a_context_goes_before_its_question_and_the_rest_into_meta() -> None:
    guess = guess_shape(ROWS["passage"], "x")
    question = guess.benchmark(ROWS["passage"][0]).question(ROWS["passage"][0], "test")
    assert question["question"] == "Tom has 3.\n\nHow many?"
    assert question["meta"] == {"subject": "Count"}


def test_what_cannot_be_guessed_is_said_with_the_columns_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no question column \(columns: a, b\)"):
        guess_shape([{"a": 1, "b": 2}], "x")
    with pytest.raises(DataError, match=r"no answer column \(columns: question\)"):
        guess_shape([{"question": "?"}], "x")
    with pytest.raises(DataError, match="no rows in it"):
        guess_shape([], "x")
    broken = tmp_path / "rows.jsonl"
    broken.write_text('{"question": "?", "answer": 1}\n{"question"\n')
    assert main(["new", "benchmark", "mine", "--from", str(broken), "-o", str(tmp_path)]) == 1
    assert not (tmp_path / "dataset_info").exists()


def test_later_rows_that_the_guess_does_not_fit_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"question": f"{n}?", "answer": n} for n in range(60)]
    rows += [{"question": "What?", "answer": "Paris"}] * 2
    source = written(tmp_path / "test.jsonl", rows)
    assert main(["new", "benchmark", "mine", "--from", str(source), "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().err
    assert f"check {source}: row 61: gold: 'Paris' is not a number (and 1 more)" in printed


def test_a_task_has_the_settings_of_ours(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS["number"])
    assert main(["new", "task", "my_task", "--from", str(source), "-o", str(tmp_path)]) == 0
    task = read_yaml(tmp_path / "task_configs" / "my_task.yaml", functions=True)
    base = read_yaml(bundle_folder("task_configs") / "_zero_shot.yaml", functions=True)
    names = {"task": "my_task", "dataset_kwargs": {"benchmark": "my_task"}}
    asked = {"doc_to_text": task_key("cot_math500", "doc_to_text")}
    text = json.dumps(base | names | asked)
    hooks = text.replace('"hooks.', '"cotdistill.task_hooks.')
    assert task == json.loads(hooks)


def test_a_task_of_a_benchmark_that_is_there_needs_no_rows(tmp_path: Path) -> None:
    command = ["new", "task", "gsm8k_mine", "--benchmark", "gsm8k", "-o", str(tmp_path)]
    assert main(command) == 0
    assert [p.name for p in tmp_path.rglob("*.yaml")] == ["gsm8k_mine.yaml"]


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["benchmrk", "x"], 2, "no kind 'benchmrk'; did you mean 'benchmark'?"),
        (["benchmark", "../x"], 2, "becomes a file name"),
        (["benchmark", "gsm8k"], 1, "the benchmark 'gsm8k' is already in "),
        (["task", "cot_gsm8k"], 1, "the task 'cot_gsm8k' is already in "),
        (["task", "gsm8k"], 1, "is one of lm-eval's own; expected a new name; such as cot_gsm8k"),
        (["task", "none"], 2, "no benchmark 'none'"),
        (["study", "quickstart"], 1, "the study 'quickstart' is already in "),
        (["prompt", "judge"], 1, "the prompt 'judge' is already in "),
        (["study", "x", "--from", "none.jsonl"], 1, "none.jsonl: no such file"),
    ],
)
def test_a_name_that_is_taken_or_cannot_be_one_writes_nothing(
    words: list[str], status: int, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "lm-eval" in line:
        pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)
    assert main(["new", *words]) == status
    assert line in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    assert main(["new", "study", "mine", "-o", str(tmp_path)]) == 0
    (tmp_path / "studies" / "mine.yaml").write_text("changed")
    assert main(["new", "study", "mine", "-o", str(tmp_path)]) == 1
    assert (tmp_path / "studies" / "mine.yaml").read_text() == "changed"


def test_a_study_trains_on_the_rows_and_asks_the_tasks_of_its_bundle(tmp_path: Path) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS["hashes"])
    bundle = tmp_path / "mine"
    assert main(["new", "task", "sums", "--from", str(source), "-o", str(bundle)]) == 0
    assert main(["new", "study", "mine", "--from", str(source), "-o", str(bundle)]) == 0
    path = bundle / "studies" / "mine.yaml"
    study = yaml.safe_load(path.read_text())
    columns = {"prompt": "question", "response": "answer"}
    assert study["arms"] == {"rows": {"file": "../../rows.jsonl", "columns": columns}}
    assert study["evaluation"]["tasks"] == ["sums"]
    assert main(["check", str(path)]) == 0
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 0


def test_a_prompt_is_shown_filled_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "rows.jsonl", ROWS["hashes"])
    assert main(["new", "prompt", "strict", "--from", str(source), "-o", str(tmp_path)]) == 0
    printed = capsys.readouterr().err
    assert "0 + 1?" in printed
    assert "One more." in printed
    values = {"question": "q", "gold": "g", "response": "r", "shortened": False, "mark": "-"}
    with more_bundles([tmp_path]):
        assert render("prompts/strict.j2", values) == render("prompts/judge.j2", values)


@pytest.mark.slow
def test_every_draft_passes_the_check_of_its_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    bundle = tmp_path / "mine"
    for number, (name, rows) in enumerate(ROWS.items()):
        source = written(tmp_path / f"{number}.jsonl", rows)
        words = ["new", "task", f"mine_{number}", "--from", str(source), "-o", str(bundle)]
        assert main(words) == 0, name
    assert main(["new", "benchmark", "plain", "-o", str(bundle)]) == 0
    assert main(["new", "study", "plain", "-o", str(bundle)]) == 0
    assert main(["new", "prompt", "plain", "-o", str(bundle)]) == 0
    capsys.readouterr()
    assert main(["check", str(bundle)]) == 0
    assert capsys.readouterr() == (
        "",
        "checked study plain: 2 runs\n"
        "checked 2 arms against the test questions of ball (200)\n"
        "checked 0 students\nchecked 0 registered datasets\n"
        f"checked {len(ROWS) + 1} benchmarks\nchecked 1 templates\n"
        f"checked {len(ROWS)} tasks, groups and tags\nno faults\n",
    )
