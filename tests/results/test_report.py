"""A run folder becomes a table, a CSV file and a Markdown file that say only what is known."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.results.collect import collect
from cotdistill.results.report.report import report
from cotdistill.stats.confidence import wilson
from run_folder import add_run, add_scores, add_training, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "study"
    add_run(here, "tiny--level1--full--s42", "level1")
    add_training(here, "tiny--level1--full--s42")
    add_scores(here, "tiny--level1--full--s42", [True] * 38 + [False] * 2)
    add_run(here, "tiny--answers--full--s42", "answers")
    add_training(here, "tiny--answers--full--s42")
    add_scores(here, "tiny--answers--full--s42", [True] * 4 + [False] * 36)
    return here


def test_a_score_comes_with_its_interval_and_costs(folder: Path) -> None:
    table = report(folder).runs
    first = dict(zip(table.columns, table.rows[0], strict=True))
    assert first == {
        "arm": "level1",
        "task": "digits",
        "score %": "95.0",
        "95 % interval": "83.5 - 98.6",
        "questions": "40",
        "length": "20 chars",
        "shortest": "19",
        "longest": "20",
        "truncated %": "5.0",
        "train tokens": "12,345",
        "train s": "62",
        "eval s": "12",
        "last loss": "0.05",
    }


def test_the_csv_holds_every_number_unrounded(folder: Path) -> None:
    report(folder)
    rows = list(csv.DictReader((folder / "report/report.csv").read_text("utf-8").splitlines()))
    assert [row["arm"] for row in rows] == ["level1", "answers"]
    assert float(rows[0]["low"]) == wilson(38, 40).low
    assert rows[0]["train_seconds"] == "61.5"
    assert rows[0]["task_version"] == "1.0"
    text = (folder / "report/report.md").read_text(encoding="utf-8")
    assert "| level1 | 95.0 | 83.5-98.6 |" in text
    assert "| answers | 10.0 | 4.0-23.1 | -85.0 | -96.6 to -73.4 | &lt;0.001 |" in text


def test_unfinished_runs_are_named_and_have_no_score(folder: Path) -> None:
    add_run(folder, "untrained", "level2")
    add_run(folder, "unscored", "level3")
    add_training(folder, "unscored")
    made = report(folder)
    table = made.runs
    assert len(table.rows) == 2
    assert made.table.notes[0] == made.missing
    assert table.notes[:2] == ("untrained: training not finished", "unscored: not scored")


def test_a_training_that_did_nothing_is_refused(folder: Path) -> None:
    add_run(folder, "again", "level4")
    add_training(folder, "again", loss=0.0, seconds=0.004)
    add_scores(folder, "again", [True] * 40)
    table = report(folder).runs
    assert "level4" not in [row[0] for row in table.rows]
    assert table.notes[0].startswith("again: refused: training did nothing (loss 0.0 in no time")


def test_a_mean_loss_of_zero_is_no_training_however_long_it_took(folder: Path) -> None:
    add_training(folder, "tiny--level1--full--s42", loss=0.0, seconds=80.0)
    run = collect(folder).runs[0]
    assert not run.finished
    assert "loss 0.0 in 80 s: every loss was NaN, or no token was left" in run.state


def test_only_the_newest_scores_count(folder: Path) -> None:
    add_scores(folder, "tiny--answers--full--s42", [True] * 30, stamp="2026-02-02T03-04-05.678901")
    (score,) = collect(folder).runs[1].scores
    assert (score.score.value, score.questions) == (1.0, 30)


def test_without_samples_the_hosts_standard_error_serves(folder: Path) -> None:
    for path in (folder / "scores").rglob("samples_*"):
        path.unlink()
    (score,) = collect(folder).runs[0].scores
    assert score.score.low == pytest.approx(0.95 - 1.96 * 0.01)
    assert score.questions == 40


def test_several_answers_a_question_are_one_question(folder: Path) -> None:
    out = add_scores(folder, "tiny--level1--full--s42", [True] * 3)
    path = next(out.glob("samples_*"))
    text = path.read_text(encoding="utf-8").replace('"exact_match": 1.0', '"exact_match": 0.25')
    path.write_text(text.replace('"resps": [[', '"resps": [["x", "y", "z", '), encoding="utf-8")
    (score,) = collect(folder).runs[0].scores
    assert (score.questions, score.repeats, score.score.value) == (3, 4, 0.25)


def test_a_folder_that_is_none_and_one_without_results_are_distinguished(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a run folder \(it has no manifest\.jsonl\)"):
        report(tmp_path)
    add_run(tmp_path, "r", "a")
    with pytest.raises(DataError, match=r"no finished run \(r: training not finished\)"):
        report(tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_broken_results_file_is_named(folder: Path) -> None:
    path = next((folder / "scores").rglob("results_*"))
    path.write_text('{"results": ', encoding="utf-8")
    with pytest.raises(DataError, match=f"{path}:1: not JSON"):
        report(folder)
    write_json(path, {"rows": 3})
    with pytest.raises(DataError, match="no 'results'"):
        report(folder)


def test_the_verb_prints_the_table_on_stdout(folder: Path) -> None:
    command = [sys.executable, "-m", "cotdistill", "report", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("The model of answers differs from that of level1 by 85.0 points")
    assert lines[2].split()[:3] == ["arm", "score", "%"]
    assert max(map(len, lines[2:5])) <= 80
    assert "level1" in done.stdout
    assert done.stderr.count("wrote") == 5


def test_length_is_in_tokens_where_the_students_tokenizer_is_there(folder: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = tokenizers.Tokenizer(WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = Whitespace()
    made.save(str(folder / "checkpoints" / "tiny--level1--full--s42" / "tokenizer.json"))
    first, second = (run.scores[0] for run in collect(folder).runs)
    assert first.tokens == pytest.approx(8, abs=1)
    assert second.tokens is None


def test_scores_can_come_from_rescored_verdicts_and_the_table_says_so(folder: Path) -> None:
    path = next((folder / "scores" / "tiny--level1--full--s42").rglob("samples_*"))
    path.write_text(path.read_text(encoding="utf-8").replace("{1}.", "{99}."), encoding="utf-8")
    with pytest.raises(DataError, match=r"no rescored verdicts next to it; .* cotdistill rescore"):
        report(folder, source="rescored")
    command = [sys.executable, "-m", "cotdistill", "rescore", str(folder)]
    subprocess.run(command, capture_output=True, check=True)
    table = report(folder, source="rescored").table
    assert [row[1] for row in table.rows] == ["92.5", "10.0"]
    assert table.notes[0].startswith("scores are of rescored verdicts (cotdistill rescore)")
    assert "rescored verdicts" in (folder / "report/report.tex").read_text(encoding="utf-8")
    page = (folder / "report/report.html").read_text(encoding="utf-8")
    assert "<strong>92.5</strong>" in page
    assert "Scores use <strong>rescored</strong> verdicts" in page
    rows = list(csv.DictReader((folder / "report/report.csv").read_text("utf-8").splitlines()))
    assert {row["verdicts"] for row in rows} == {"rescored"}
    table, again = report(folder).table, (folder / "report/report.html").read_text(encoding="utf-8")
    assert [row[1] for row in table.rows] == ["95.0", "10.0"]
    assert "rescored" not in again


def test_a_distilled_run_shows_its_losses_the_teacher_s_share_and_the_agreement(
    folder: Path,
) -> None:
    name = "tiny--level1--full--s42"
    summary = {
        "loss": "forward KL", "tokens": 10, "kd_tokens": 10, "ce": 1.25, "kd": 0.5,
        "kd_share": 0.257, "kd_agreement": 0.75,
    }  # fmt: skip
    write_json(folder / "checkpoints" / name / "kd_summary.json", summary)
    versions = {"llamafactory": "0.9.5", "torch": "2.13.0"}
    write_json(folder / "done" / "train" / f"{name}.json", {"notes": {"versions": versions}})
    made = report(folder)
    shown = ("CE loss", "KD loss", "KD share of the gradient", "top-1 agreement")
    for row, cells in zip(
        made.runs.rows, (("1.25", "0.5", "25.7%", "75.0%"), ("", "", "", "")), strict=True
    ):
        of_run = dict(zip(made.runs.columns, row, strict=True))
        assert tuple(of_run[one] for one in shown) == cells
    rows = list(csv.DictReader((folder / "report" / "report.csv").read_text("utf-8").splitlines()))
    names = ("kd_ce", "kd", "kd_share", "kd_agreement")
    assert [rows[0][one] for one in names] == ["1.25", "0.5", "0.257", "0.75"]
    assert "with LLaMA-Factory 0.9.5 (torch 2.13.0), with" in made.data["methods"]


def test_the_factors_of_a_recipe_are_those_of_its_own_runs(tmp_path: Path) -> None:
    here = tmp_path / "study"
    for weight in (0.1, 0.3):
        run, recipe = f"tiny--a--kd-{weight}--s42", f"kd-{weight}"
        add_run(here, run, "a", recipe=recipe, factors={"level": 1, "weight": weight})
        add_training(here, run)
        add_scores(here, run, [True, False])
    rows = {row["recipe"]: row for row in report(here).data["scores"]}
    assert {name: row["factor_weight"] for name, row in rows.items()} == {
        "kd-0.1": 0.1, "kd-0.3": 0.3
    }  # fmt: skip
