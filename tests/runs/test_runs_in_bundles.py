"""The steps of a run see the bundles of its study, whatever the caller's environment has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.benchmarks.prepare import prepare
from cotdistill.cli.main import main
from cotdistill.files.bundle import more_bundles
from cotdistill.runfolder.generate import generate
from stand_in_hosts import with_stand_ins
from third_party import BENCHMARK, QUESTIONS, write_bundle

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


def test_test_questions_that_a_run_fetches_are_named_with_how_to_compare_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    place = tmp_path / "place"  # a folder stands where a hub's name would
    place.mkdir()
    (place / "test.jsonl").write_text(QUESTIONS)
    theirs = write_bundle(tmp_path / "theirs")
    hub = f"hub: {{id: {place}, revision: main, splits: {{test: test}}}}\n"
    (theirs / "dataset_info/benchmarks/sums.yaml").write_text(BENCHMARK + hub)
    with more_bundles([theirs]):
        folder = generate("theirs", tmp_path / "run").folder
    fetched = (
        "fetched the test questions of sums; cotdistill check run looks for them in the training "
        "rows\n"
    )
    for times in (1, 0):  # the second time they are there
        done = subprocess.run(
            [sys.executable, "-m", "cotdistill", "run", "run"], cwd=tmp_path,
            env=with_stand_ins(tmp_path / f"bin{times}"), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert done.stdout.count(fetched) == times, done.stdout
    with more_bundles([theirs]):
        assert main(["check", str(folder)]) == 1
    assert "3 of 4 rows ask 3 test questions of sums" in capsys.readouterr().out
