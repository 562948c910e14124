"""The quickstart: its study, its task, its picture, and a student that really learns."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from cotdistill.benchmarks.hooks import grade_responses
from cotdistill.benchmarks.puzzle_task import puzzle_documents
from cotdistill.benchmarks.puzzles import FAMILIES, draw_puzzles
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.yamls import read_yaml
from cotdistill.studies.study import read_study

STUDY = bundle_folder("studies") / "quickstart.yaml"
DRAW = Path(__file__).parents[2] / "tools" / "draw_report.py"


def test_the_arms_of_the_quickstart_differ_in_their_level_only() -> None:
    arms = read_study(read_yaml(STUDY), "quickstart").arms.values()
    assert len({arm.level for arm in arms}) == len(arms) == 4  # type: ignore[union-attr]
    assert len({arm.model_dump_json(exclude={"level", "factors"}) for arm in arms}) == 1
    assert [arm.factors["level"] for arm in arms] == ["answer-only", 2, 3, 6]


def test_no_question_of_the_task_is_in_an_arm() -> None:
    study = read_study(read_yaml(STUDY), "quickstart")
    asked = {document["question"] for document in puzzle_documents("ball", rows=200)}
    assert len(asked) == 200
    for arm in study.arms.values():
        drawn = draw_puzzles(arm.puzzles, 0, arm.rows, arm.seed, "train")  # type: ignore[union-attr]
        assert not asked & {puzzle.question for puzzle in drawn}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_task_grades_its_own_rationales_right_and_others_wrong(family: str) -> None:
    documents = puzzle_documents(family, rows=30)
    puzzles = list(draw_puzzles(family, 6, 30, 0, "test"))
    for document, puzzle in zip(documents, puzzles, strict=True):
        assert document["question"] == puzzle.question
        assert grade_responses(document, [puzzle.rationale])["exact_match"] == 1.0
        other = next(o.rationale for o in puzzles if o.answer != puzzle.answer)
        assert grade_responses(document, [other])["exact_match"] == 0.0


def test_a_report_becomes_a_picture(tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    report.write_text("arm,score,low,high\na<b,0.25,0.2,0.31\nfine,1.0,0.98,1.0\nlate,,,\n")
    command = [sys.executable, str(DRAW), str(report), str(tmp_path / "made" / "x.svg")]
    subprocess.run(command, check=True)
    texts = [text.text for text in ET.parse(tmp_path / "made" / "x.svg").iter() if text.text]
    assert "a<b" in texts
    assert "25.0 %  [20.0, 31.0]" in texts
    assert "100.0 %  [98.0, 100.0]" in texts
    assert "late" not in texts


@pytest.mark.slow
def test_a_student_learns_from_fine_rationales_on_the_stock_hosts(tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    pytest.importorskip("lm_eval")
    from cotdistill.arms.build import build_student
    from cotdistill.runfolder.job import read_declared_jobs

    folder = tmp_path / "run"
    run_cli("generate", "quickstart", "-o", str(folder), "--set", "recipes.full.max_steps=150")
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    run = next(line for line in lines if line["arm"] == "level6")
    build_student(folder, "tiny", "level6")
    jobs = read_declared_jobs(folder) or {}
    for stage in ("train", "evaluate"):
        command = jobs[stage, run["run"]].command
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    (results,) = (folder / run["outputs"]["evaluate"]).rglob("results_*.json")
    scores = json.loads(results.read_text())["results"]["cot_puzzles_ball"]
    assert scores["exact_match,none"] > 0.9  # guessing reaches 0.25
    (samples,) = (folder / run["outputs"]["evaluate"]).rglob("samples_*.jsonl")
    first = json.loads(samples.read_text().splitlines()[0])
    prompt = first["arguments"]["gen_args_0"]["arg_0"]
    assert prompt == (
        f"<|im_start|>user\n{first['doc']['question']}<|im_end|>\n<|im_start|>assistant\n"
    )


def run_cli(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "cotdistill", *words], check=True)
