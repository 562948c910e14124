"""A run folder is used where it was made, and only a folder of ours is written into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


def test_a_copied_run_folder_does_not_train_into_the_one_it_was_copied_from(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, copy = tmp_path / "run", tmp_path / "a copy"
    generate(str(study_file(small_study)), folder)
    shutil.copytree(folder, copy)
    assert main(["run", str(copy)]) == 1
    assert f"{copy}: was moved or copied; its files name {folder}" in capsys.readouterr().err
    assert main(["check", str(copy)]) == 1
    assert "was moved or copied" in capsys.readouterr().out
    assert main(["generate", f"{copy}/study.yaml", "-o", str(copy)]) == 0
    assert main(["run", str(copy), "--dry-run"]) == 0


@pytest.mark.parametrize("name", ["study.yaml", "dataset_info.json", "train/mine.yaml"])
def test_a_folder_of_somebody_else_keeps_its_files(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, name: str
) -> None:
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine: true\n")
    assert main(["generate", str(study_file(small_study)), "-o", str(tmp_path / "mine")]) == 1
    assert mine.read_text() == "mine: true\n"
    assert [path for path in sorted((tmp_path / "mine").rglob("*")) if path.is_file()] == [mine]


def test_an_interrupted_first_generation_goes_on(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    (folder / "manifest.jsonl").unlink()
    small_study["seeds"] = [7]
    assert generate(str(study_file(small_study)), folder).new
    assert all(run.seed == 7 for run in read_manifest(folder))


def test_the_run_folder_of_another_study_keeps_its_files(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    before = (folder / "study.yaml").read_bytes()
    first, small_study["name"] = small_study["name"], "another"
    again = ["generate", str(study_file(small_study)), "-o", str(folder)]
    assert main(again) == 1
    assert f"the study '{first}', and this study is 'another'" in capsys.readouterr().err
    assert (folder / "study.yaml").read_bytes() == before
    assert main([*again, "--set", f"name={first}"]) == 0


def test_a_broken_manifest_is_fixed_by_generating_again(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    generate(str(study_file(small_study)), folder)
    good = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(good + b'{"half')
    generate(str(study_file(small_study)), folder)
    assert (folder / "manifest.jsonl").read_bytes() == good
