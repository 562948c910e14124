"""No number is shown that is not what it says: joins, pooling, means, what cannot be a score."""

from __future__ import annotations

import builtins
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.results.collect import collect
from cotdistill.results.compare import compare
from cotdistill.results.matrix import Cell, Matrix, matrix
from cotdistill.results.report.latex import as_latex
from cotdistill.results.report.report import report
from cotdistill.results.rescore import rescore
from run_folder import STAMP, add_run, add_scores, add_training, write_json

LATER = "2026-02-02T03-04-05.678901"


def question(number: int, right: bool, **doc: Any) -> dict[str, Any]:
    """Return a row of samples whose response is right or wrong."""
    answer = number if right else -1
    return {
        "doc_id": number,
        "doc": {"id": f"q{number}", "question": f"What is {number}?", "gold": str(number)} | doc,
        "target": "",
        "arguments": {},
        "resps": [[rf"It is \boxed{{{answer}}}."]],
        "filter": "none",
        "metrics": ["exact_match"],
        "exact_match": float(right),
    }


def add_samples(folder: Path, run: str, rows: Sequence[dict[str, Any]], task: str = "t") -> Path:
    """Add the samples of a run, and a results file that says their mean."""
    out = folder / "scores" / run / "model"
    mean = sum(min(max(row["exact_match"], 0), 1) for row in rows) / len(rows)
    numbers = {"exact_match,none": mean, "exact_match_stderr,none": 0.05}
    write_json(
        out / f"results_{STAMP}.json",
        {"results": {task: numbers}, "n-samples": {task: {"effective": len(rows)}}},
    )
    path = out / f"samples_{task}_{STAMP}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder / "scores" / run


def study(folder: Path, runs: dict[str, Sequence[dict[str, Any]]]) -> Path:
    """Add finished runs, named arm--seed, with their samples."""
    for run, rows in runs.items():
        arm, _, seed = run.partition("--")
        add_run(folder, run, arm, seed=int(seed or 1))
        add_training(folder, run)
        add_samples(folder, run, rows)
    return folder


def cell(table: Matrix, arm: str, task: str = "t") -> Cell:
    return table.cells[("tiny", arm, "full"), task]


def test_verdicts_are_joined_by_question_where_ids_are_shared(tmp_path: Path) -> None:
    for run, right in [("a", 15), ("b", 29)]:
        rows = [question(n, n < right, id="algebra") for n in range(30)]
        study(tmp_path, {run: rows})
    rescore([tmp_path], workers=1)
    ((found,), _) = compare([tmp_path / "scores" / run for run in "ab"], source="rescored")
    assert found.compared.difference.value == pytest.approx(14 / 30)
    scores = [score.score.value for _, score in collect(tmp_path, "rescored").rows()]
    assert scores == [0.5, pytest.approx(29 / 30)]


def test_older_verdicts_with_a_shared_id_are_refused_and_others_read(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(n, n < 2) for n in range(4)]})
    path = tmp_path / "scores" / "a" / "model" / f"verdicts_t_{STAMP}.judged.jsonl"
    verdicts = [{"outcome": "correct", "rule": "", "answer": "1"}]
    rows = [{"key": f"q{n}", "score": 1.0, "verdicts": verdicts} for n in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ((_, score),) = collect(tmp_path, "judged").rows()
    assert score.score.value == 1.0
    rows[3]["key"] = "q2"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    wrong = r"judged.jsonl:4: a second verdict on the question 'q2'.*cotdistill judge"
    with pytest.raises(DataError, match=wrong):
        collect(tmp_path, "judged")


def test_verdicts_of_other_samples_are_refused(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(n, True) for n in range(4)]})
    rescore([tmp_path], workers=1)
    add_samples(tmp_path, "a", [question(n, True) for n in range(6)])
    with pytest.raises(DataError, match=r"no verdict on 2 questions of samples_t.*rescore"):
        collect(tmp_path, "rescored")


@pytest.mark.parametrize("field", ["passage", "body", "article", "choices", "gold"])
def test_questions_of_the_same_text_are_all_counted(tmp_path: Path, field: str) -> None:
    rows = {
        arm: [
            question(n, n % 3 < most, question="Which of these is true?", **{field: f"text {n}"})
            for n in range(30)
        ]
        for arm, most in [("base", 1), ("new", 2)]
    }
    table = matrix(collect(study(tmp_path, rows)))
    assert (cell(table, "base").questions, cell(table, "base").score.value) == (30, 10 / 30)
    assert cell(table, "new").score.value == 20 / 30
    ((found,), warnings) = compare([tmp_path / "scores" / arm for arm in rows])
    assert (found.compared.questions, found.compared.difference.value) == (
        30,
        pytest.approx(10 / 30),
    )
    assert not any("left out" in warning for warning in warnings)


def test_a_repeated_row_counts_once_and_is_named(tmp_path: Path) -> None:
    rows = [question(0, True), question(1, False), question(0, True)]
    results = collect(study(tmp_path, {"a": rows}))
    ((_, score),) = results.rows()
    assert (score.score.value, score.questions) == (0.5, 2)
    assert "a: t: 1 row left out as repeating a question" in results.notes


def test_seeds_without_samples_are_pooled_by_their_scores_and_the_page_says_so(
    tmp_path: Path,
) -> None:
    runs = {f"base--{s}": [question(n, n < 12 * s) for n in range(40)] for s in (1, 2, 3)}
    study(tmp_path, runs)
    for path in tmp_path.rglob("samples_*"):
        path.unlink()
    table = matrix(collect(tmp_path))
    assert (cell(table, "base").score.value, cell(table, "base").seeds) == (pytest.approx(0.6), 3)
    assert "base on t: not every run has samples, so its 3 seeds are pooled" in table.notes[0]
    report(tmp_path)
    assert "3 seeds are pooled by their scores" in (tmp_path / "report/report.html").read_text()


def test_seeds_and_arms_that_answered_other_questions_are_said_to(tmp_path: Path) -> None:
    runs = {
        "base--1": [question(n, n < 50) for n in range(100)],
        "base--2": [question(n, True) for n in range(20)],
        "new--1": [question(n, n < 45) for n in range(50)],
    }
    made = report(study(tmp_path, runs), "base")
    notes = "\n".join(made.table.notes)
    assert "base on t: its seeds answered 100, 20 questions; pooled over the 20" in notes
    assert "new on t: answered other questions than the baseline (50 and 20, 20 in both)" in notes
    assert len(made.comparisons.rows) == 1
    assert made.comparisons.rows[0][made.comparisons.columns.index("questions")] == "20"


def test_a_mean_takes_no_group_with_its_members(tmp_path: Path) -> None:
    study(tmp_path, {"base": [question(n, n < 36) for n in range(40)]})
    path = tmp_path / "scores" / "base" / "model" / f"results_{STAMP}.json"
    results = json.loads(path.read_text())
    subjects = [f"math_{number}" for number in range(7)]
    results["results"] |= {name: {"exact_match,none": 0.25} for name in ("math", *subjects)}
    write_json(path, results)
    table = matrix(collect(tmp_path))
    assert table.mean(("tiny", "base", "full")) == pytest.approx((0.9 + 0.25) / 2)
    assert "the mean is over t, math: no group counts with its members" in table.notes
    results["results"]["both"] = {"exact_match,none": 0.5}
    results["group_subtasks"] = {"both": ["t", "math"], "math": subjects, "t": []}
    write_json(path, results)
    table = matrix(collect(tmp_path))
    assert table.mean(("tiny", "base", "full")) == pytest.approx((0.9 + 0.25) / 2)


def test_a_groups_score_is_left_out_of_rescored_verdicts(tmp_path: Path) -> None:
    study(tmp_path, {"base": [question(n, n < 36) for n in range(40)]})
    path = tmp_path / "scores" / "base" / "model" / f"results_{STAMP}.json"
    results = json.loads(path.read_text())
    results["results"]["all"] = {"exact_match,none": 0.25}
    results["group_subtasks"] = {"all": ["t"]}
    write_json(path, results)
    rescore([tmp_path], workers=1)
    found = collect(tmp_path, "rescored")
    assert [score.task for _, score in found.rows()] == ["t"]
    assert "all: a group's score is not made of rescored verdicts" in found.notes[0]


def test_questions_without_a_reference_answer_are_left_out_and_counted_alike(
    tmp_path: Path,
) -> None:
    rows = [question(n, True, gold=str(n) if n < 10 else None) for n in range(20)]
    rows += [question(20, False)]
    study(tmp_path, {"a": rows})
    rescore([tmp_path], workers=1)
    found = collect(tmp_path, "rescored")
    ((_, score),) = found.rows()
    assert (score.questions, score.score.value) == (11, pytest.approx(10 / 11))
    assert found.notes == ["a: t: 10 questions without a reference answer left out"]


def test_an_unknown_baseline_is_refused_with_the_arms_there_are(tmp_path: Path) -> None:
    study(tmp_path, {"level1": [question(0, True)], "level2": [question(0, True)]})
    with pytest.raises(DataError, match=r"run of the arm 'levl1'.*did you mean 'level1'"):
        report(tmp_path, "levl1")
    with pytest.raises(DataError, match="known: level1, level2"):
        report(tmp_path, "nosuch")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    "value", [85.0, -0.5, float("nan"), float("inf"), pytest.param(10**400, id="huge")]
)
def test_what_is_no_score_is_refused_by_its_row(tmp_path: Path, value: float) -> None:
    rows = [question(0, True), question(1, True)]
    study(
        tmp_path, {"a": rows, "b": [question(0, True), question(1, True) | {"exact_match": value}]}
    )
    place = re.escape(f"scores/b/model/samples_t_{STAMP}.jsonl:2: exact_match is ")
    write_json(
        tmp_path / "scores" / "b" / "model" / f"results_{STAMP}.json",
        {"results": {"t": {"exact_match,none": 0.5}}},
    )
    with pytest.raises(DataError, match=place + r".*expected a fraction from 0 to 1"):
        collect(tmp_path)
    with pytest.raises(DataError, match=place):
        compare([tmp_path / "scores" / run for run in "ab"])


def test_a_score_of_a_results_file_that_is_none_is_refused(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(0, True)]})
    path = tmp_path / "scores" / "a" / "model" / f"results_{STAMP}.json"
    write_json(path, {"results": {"t": {"exact_match,none": 85.0}}})
    with pytest.raises(DataError, match=re.escape(f"{path}: results.t: exact_match,none is 85")):
        collect(tmp_path)


def test_all_runs_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(0, True)], "b": [question(0, True)]})
    for run in "ab":
        (tmp_path / "scores" / run / "model" / f"results_{STAMP}.json").write_text("{")
    with pytest.raises(DataError) as raised:
        collect(tmp_path)
    assert [fault.wrong[:8] for fault in raised.value.faults] == ["not JSON"] * 2


def test_several_results_files_of_a_folder_are_named(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(0, True)]})
    (tmp_path / "scores/a/model" / f"results_{STAMP}.json").replace(
        tmp_path / "scores/a/model/results_2099-01-02T03-04-05.678901.json"
    )
    add_scores(tmp_path, "a", [False], "t")
    notes = collect(tmp_path).notes
    assert notes == [
        "a: 2 results files in model; read: results_2099-01-02T03-04-05.678901.json, the newest by "
        f"its name; not read: results_{STAMP}.json",
        "a: t: no samples were logged, so its score is not compared, and its interval is made of "
        "lm-eval's own error",
    ]


def test_several_samples_files_of_a_task_are_named_by_compare_and_rescore(tmp_path: Path) -> None:
    for run in "ab":
        study(tmp_path, {run: [question(0, True)]})
    path = tmp_path / "scores/a/model" / f"samples_t_{STAMP}.jsonl"
    path.with_name(f"samples_t_{LATER}.jsonl").write_bytes(path.read_bytes())
    _, warnings = compare([tmp_path / "scores" / run for run in "ab"], anyway=True)
    named = f"2 samples files of t in model; read: samples_t_{LATER}.jsonl, the newest by its name"
    assert named in warnings[0]
    lines: list[str] = []
    rescore([tmp_path], workers=1, tell=lines.append)
    assert named in lines[0]


def test_a_report_opens_each_samples_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {
        f"{arm}--{seed}": [question(n, n < 9) for n in range(20)] for arm in "ab" for seed in "12"
    }
    study(tmp_path, runs)
    opened: list[str] = []
    real = io.open

    def counting(file: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(file, int) and "samples_" in os.fspath(file):
            opened.append(os.fspath(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", counting)
    monkeypatch.setattr(builtins, "open", counting)
    report(tmp_path)
    assert sorted(opened) == sorted(str(path) for path in tmp_path.rglob("samples_*.jsonl"))
    assert len(opened) == 4


def test_an_interval_that_is_not_known_is_not_printed_as_one(tmp_path: Path) -> None:
    study(tmp_path, {"a": [question(0, True)]})
    next(tmp_path.rglob("samples_*")).unlink()
    write_json(
        tmp_path / "scores" / "a" / "model" / f"results_{STAMP}.json",
        {"results": {"t": {"exact_match,none": 0.5}}},
    )
    assert "$50.0$" in as_latex(matrix(collect(tmp_path)), "one")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("config", []),
        ("configs", []),
        ("versions", "1"),
        ("configs", {"t": "yaml"}),
        ("n-samples", {"t": "40"}),
        ("results", {"t": []}),
        ("group_subtasks", 5),
    ],
)
def test_foreign_results_are_named_by_file_and_key(tmp_path: Path, part: str, value: Any) -> None:
    study(tmp_path, {"a": [question(0, True)]})
    path = tmp_path / "scores" / "a" / "model" / f"results_{STAMP}.json"
    write_json(path, {"results": {"t": {"exact_match,none": 1.0}}} | {part: value})
    with pytest.raises(DataError, match=re.escape(f"{path}: {part}")):
        report(tmp_path)
    add_samples(tmp_path, "b", [question(0, True)])
    with pytest.raises(DataError, match=re.escape(f"{path}: {part}")):
        compare([tmp_path / "scores" / run for run in "ab"])


@pytest.mark.parametrize("metrics", [None, 5, True])
def test_a_list_of_metrics_that_is_none_is_named(tmp_path: Path, metrics: Any) -> None:
    rows = [question(0, True) | {"metrics": metrics}]
    study(tmp_path, {"a": rows, "b": rows})
    for path in tmp_path.rglob("results_*"):
        path.unlink()
    wrong = rf"samples_t_{STAMP}.jsonl:1: metrics is \w+; expected a list of names"
    with pytest.raises(DataError, match=wrong):
        compare([tmp_path / "scores" / run for run in "ab"])
    with pytest.raises(DataError, match=wrong):
        rescore([tmp_path], workers=1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trainer_state.json", "[" * 50_000 + "]" * 50_000),
        ("trainer_state.json", '{"log_history": 5}'),
        ("all_results.json", '{"train_loss": "low", "train_runtime": 5}'),
        ("all_results.json", "[]"),
    ],
)
def test_a_damaged_trainer_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    study(tmp_path, {"a": [question(0, True)]})
    path = tmp_path / "checkpoints" / "a" / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(str(path))):
        collect(tmp_path)


def test_the_seconds_of_a_resumed_evaluation_are_unknown(tmp_path: Path) -> None:
    for run, kept in (("one", 0), ("two", 3)):
        add_run(tmp_path, run, run)
        add_training(tmp_path, run)
        out = add_scores(tmp_path, run, [True, False])
        path = next(out.glob("results_*.json"))
        results = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, results | {"responses_kept": kept})
    seconds = [run.evaluated.scores[0].evaluate_seconds for run in collect(tmp_path).runs]
    assert seconds == [12.5, None]
