"""README.md says what runs: its tables are as generated, its tour is run word for word."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLES = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


def commands(block: str) -> list[list[str]]:
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True) for line in lines]


def test_the_tables_are_as_generated() -> None:
    script = ROOT / "tools" / "readme_tables.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, "run: .venv/bin/python tools/readme_tables.py"


def test_the_first_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert commands(CONSOLES[0]) == [["make", "demo"], ["make", "test"]]
    for _, target in commands(CONSOLES[0]):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_and_pictures_lead_somewhere() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(targets) >= 4
    for target in targets:
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_tour_runs_as_written(tmp_path: Path) -> None:
    (study,) = re.findall(r"```yaml\n(# my-study\.yaml\n.*?)```", README, re.DOTALL)
    (tmp_path / "my-study.yaml").write_text(study)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    tour = commands(CONSOLES[1])
    assert [words[0] for words in tour].count("cotdistill") == 4
    for words in tour:
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "cot_puzzles_ball" in done.stdout
    assert (tmp_path / "runs" / "mine" / "report" / "report.md").is_file()
