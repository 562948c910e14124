"""A run folder that release 0.1 generated, before the code was moved into packages, still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cotdistill.files.bundle import bundle_folder
from stand_in_hosts import with_stand_ins

pytestmark = pytest.mark.slow

GENERATED = Path(__file__).with_name("run_folder_of_0.1")
RUN = "tiny--fine--lora--s42"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder as it was generated, at a place of its own."""
    made = tmp_path / "run"
    places = {"RUN_FOLDER": str(made), "TASK_CONFIGS": str(bundle_folder("task_configs"))}
    for path in GENERATED.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            for placeholder, place in places.items():
                text = text.replace(placeholder, place)
            copy = made / path.relative_to(GENERATED)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text, encoding="utf-8")
    return made


def run(folder: Path, env: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "run", str(folder)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_folder_is_an_older_one_and_names_no_machine() -> None:
    snakefile = (GENERATED / "Snakefile").read_text()
    assert "from cotdistill.work.jobs import marker_of, read_jobs" in snakefile
    for path in filter(Path.is_file, GENERATED.rglob("*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "/tmp" not in line
            assert "/home" not in line


def test_it_runs_to_its_report_and_then_there_is_nothing_to_do(
    folder: Path, tmp_path: Path
) -> None:
    env = with_stand_ins(tmp_path / "bin")
    output = run(folder, env)
    assert "6 jobs finished" in output
    assert "cot_puzzles_ball" in (folder / "report" / "report.md").read_text()
    assert "0 jobs finished" in run(folder, env)


def test_it_runs_on_the_real_hosts(folder: Path) -> None:
    pytest.importorskip("llamafactory")
    pytest.importorskip("lm_eval")
    assert "6 jobs finished" in run(folder)
    assert list((folder / "scores" / RUN).rglob("samples_cot_puzzles_ball_*.jsonl"))
