"""Tutorials are run as typed: files that a page shows are written, its commands run in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TRAINS = {"first-study"}


def as_typed(text: str) -> str:
    """Return a page as a script: its files, then its commands, in the page's order."""
    script = []
    for kind, block in BLOCK.findall(text):
        named = re.match(r"# (\S+\.ya?ml)\n", block)
        if kind == "yaml" and named:
            script.append(f"cat > {named[1]} <<'END_OF_FILE'\n{block}END_OF_FILE")
        elif kind == "console":
            script += [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(script)


def run_page(page: Path, folder: Path) -> None:
    (folder / "cotdistill").write_text(f'#!/bin/sh\nexec {sys.executable} -m cotdistill "$@"\n')
    (folder / "cotdistill").chmod(0o755)
    work = folder / "work"
    work.mkdir()
    env = os.environ | {
        "PATH": f"{folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin",
        "COTDISTILL_DATA": str(folder / "data"),
    }
    script = as_typed(page.read_text(encoding="utf-8"))
    assert script.count("cotdistill ") >= 1
    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=work, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.host
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem not in TRAINS], ids=lambda page: page.stem
)
def test_a_tutorial_runs_as_typed(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem in TRAINS], ids=lambda page: page.stem
)
def test_a_tutorial_that_trains_runs_as_typed(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    pytest.importorskip("lm_eval")
    run_page(page, tmp_path)


def test_there_is_a_tutorial_for_each_paper() -> None:
    papers = {"2502.18001", "2502.12143", "2507.01887", "2410.09037", "2411.00750"}
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert set(re.findall(r"arXiv:(\d+\.\d+)", text)) == papers
