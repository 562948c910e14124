"""Several run folders on one page, what a program reads of it, and what is missing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.errors import DataError, MisuseError
from cotdistill.results.collect import collect, collect_all
from cotdistill.results.report.report import report
from run_folder import add_run, add_scores, add_training, write_study


def study(folder: Path, arms: dict[str, int]) -> Path:
    for arm, count in arms.items():
        run = f"tiny--{arm}--s1"
        add_run(folder, run, arm, seed=1)
        add_training(folder, run)
        add_scores(folder, run, [n < count for n in range(40)])
    return folder


def test_arms_of_two_folders_share_a_table_and_are_never_pooled(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {"answer-only": 10, "level1": 20})
    second = study(tmp_path / "second", {"level1": 30, "level6": 35})
    made = report(first, more=[second], out=tmp_path / "both")
    arms = [row[0] for row in made.table.rows]
    assert arms == ["answer-only", "first/level1", "second/level1", "level6"]
    assert (tmp_path / "both" / "report.html").is_file()
    assert not (first / "report").exists()
    assert made.data["study"] == "first and second"
    assert {run.run for run in made.results.runs} >= {"first/tiny--level1--s1"}


def test_the_declared_baseline_is_that_of_the_first_folder(tmp_path: Path) -> None:
    folders = [study(tmp_path / name, {"level1": 20, "plain": 10}) for name in ("one", "two")]
    for folder in folders:
        arms = {"level1": {"file": "rows.jsonl"}, "plain": {"file": "rows.jsonl"}}
        write_study(folder, arms)
        path = folder / "study.yaml"
        declared = {"students": ["Qwen2.5-0.5B-Instruct"], "compare": {"baseline": "plain"}}
        path.write_text(json.dumps(json.loads(path.read_text()) | declared), encoding="utf-8")
    made = report(folders[0], more=folders[1:], out=tmp_path / "both")
    assert made.data["baseline"] == "one/plain"
    assert not [note for note in made.table.notes if "stands in" in note]


def test_several_folders_need_a_place_to_write(tmp_path: Path) -> None:
    first = study(tmp_path / "first", {"a": 10})
    with pytest.raises(MisuseError, match="need a place to write: -o DIR"):
        report(first, more=[first])
    with pytest.raises(DataError, match="each run folder once"):
        collect_all([first, first])


def test_missing_runs_and_tasks_make_a_banner(tmp_path: Path) -> None:
    study(tmp_path, {"answer-only": 10, "level1": 20})
    for seed in (2, 3, 4, 5):
        add_run(tmp_path, f"tiny--level1--s{seed}", "level1", seed=seed)
    made = report(tmp_path)
    banner = "4 of 6 runs have no score or lack a task (training not finished: tiny--level1--s2, "
    assert made.missing.startswith(banner)
    assert "and 1 more" in made.missing
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert '<p class="banner" role="status"><strong>Incomplete:</strong> 4 of 6 runs' in page
    assert made.data["methods"].endswith(f"Incomplete: {made.missing}.")


def test_the_verb_prints_json_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    study(tmp_path, {"answer-only": 10, "level1": 20})
    write_study(tmp_path, {"level1": {"file": "l1.jsonl"}})
    verb = [sys.executable, "-m", "cotdistill", "report", str(tmp_path), "--json"]
    done = subprocess.run(
        [*verb, "-o", str(tmp_path / "mine")], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["verdict"].startswith("The model of level1 differs from that of answer-only")
    assert [row["score"] for row in found["scores"]] == [0.25, 0.5]
    assert found["scores"][1]["difference"]["difference"] == 0.25
    assert found["methods"].startswith("We fine-tuned tiny on 2 training sets")
    assert (tmp_path / "mine" / "report.tex").is_file()


def test_timeouts_lengths_and_other_readings_stand_next_to_the_score(tmp_path: Path) -> None:
    study(tmp_path, {"answer-only": 10})
    (path,) = tmp_path.rglob("results_*.json")
    results = json.loads(path.read_text())
    results["results"]["digits"] |= {
        "timeout,none": 0.05,
        "exact_match_strict,none": 0.2,
        "exact_match,flexible-extract": 0.5,
    }
    path.write_text(json.dumps(results))
    (score,) = collect(tmp_path).runs[0].scores
    assert score.timeouts == 2
    assert (score.shortest, score.longest) == (19, 20)
    assert score.readings == {"strict": 0.2, "flexible-extract": 0.5}
    made = report(tmp_path)
    row = dict(zip(made.table.columns, made.table.rows[0], strict=True))
    assert (row["timeouts"], row["strict %"]) == ("2", "20.0")
    single = dict(zip(made.runs.columns, made.runs.rows[0], strict=True))
    assert single["read otherwise"] == "strict 20.0, flexible-extract 50.0"
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "strict 20.0 · flexible-extract 50.0 · 2 timeouts" in page
