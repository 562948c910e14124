"""The steps of a run see the bundles of its study, whatever the caller's environment has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.benchmarks.prepare import prepare
from cotdistill.files.bundle import more_bundles
from cotdistill.runfolder.generate import generate
from stand_in_hosts import with_stand_ins
from third_party import QUESTIONS, write_bundle

pytestmark = pytest.mark.slow


def test_a_run_goes_by_the_bundles_it_was_generated_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    theirs = write_bundle(tmp_path / "theirs")
    (tmp_path / "questions.jsonl").write_text(QUESTIONS)
    with more_bundles([theirs]):
        prepare("sums", tmp_path / "questions.jsonl", "test")
        folder = generate("theirs", tmp_path / "run").folder
    # the other bundle declares the same names: where both were seen, every step would stop
    env = with_stand_ins(tmp_path / "bin") | {
        "COTDISTILL_PATH": str(write_bundle(tmp_path / "other"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "run", str(folder)],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert list((folder / "scores").rglob("samples_their_sums_*.jsonl"))
    assert "their_sums" in (folder / "report" / "report.md").read_text()
