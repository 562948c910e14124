"""The study of a real student without a GPU, as `make laptop` runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from real_model import real_model

ROOT = Path(__file__).resolve().parents[2]


def laptop(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "laptop.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [(f"Tom has {n} plums and finds 2. How many plums has he?", n + 2) for n in range(230)]
    answers = [{"instruction": question, "output": str(answer)} for question, answer in rows]
    (folder / "SVAMP_only_ans.json").write_text(json.dumps(answers))
    for level in (1, 3, 6):
        steps = "He adds. " * level
        rationales = [
            {"instruction": question, "output": f" {steps}The answer is {answer}"}
            for question, answer in rows
        ]
        (folder / f"SVAMP_ChatGPT_level{level}_ranked.json").write_text(json.dumps(rationales))


def test_missing_files_are_named(tmp_path: Path) -> None:
    done = laptop("--data", tmp_path)
    assert (done.returncode, "no SVAMP_only_ans.json in" in done.stderr) == (1, True)
    write_files(tmp_path / "data")
    (tmp_path / "data" / "SVAMP_ChatGPT_level3_ranked.json").unlink()
    done = laptop("--data", tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("data lacks SVAMP_ChatGPT_level3_ranked.json\n")


def test_the_quick_study_refuses_questions_that_it_does_not_ask(tmp_path: Path) -> None:
    done = laptop("--data", tmp_path, "--quick", "--gsm8k", tmp_path / "test.jsonl")
    assert done.returncode == 2
    assert "--quick asks no question of GSM8K" in done.stderr


@pytest.mark.slow
def test_one_command_trains_asks_and_reports(tmp_path: Path) -> None:
    real_model()  # the command would build it, and what it needs
    write_files(tmp_path / "somewhere" / "data")
    done = laptop(
        "--data", tmp_path, "--quick", "-o", tmp_path / "run",
        "--set", "recipes.frozen.max_steps=1",
        "--set", "evaluation.tasks=[{dev_svamp: {limit: 2}}]",
        "--set", "evaluation.generation={max_gen_toks: 8}", "--", "--only", "*answer-only*",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "$ cotdistill plan" in done.stderr
    report = (tmp_path / "run/report/report.md").read_text(encoding="utf-8")
    assert "| answer-only |" in report
