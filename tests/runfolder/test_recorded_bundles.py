"""A run folder records the bundles that it was generated with, and sees these ever after."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.files.bundle import bundles
from cotdistill.runfolder.bundles import in_recorded_bundles, recorded_bundles
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.runfolder.manifest import read_manifest
from third_party import STUDY, write_bundle

RUN = "tiny--rows--theirs--s42"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "theirs")


def test_a_study_of_their_students_rows_template_and_task_becomes_a_run_folder(
    theirs: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    assert main(["generate", "theirs", "-o", str(folder), "--bundle", str(theirs)]) == 0
    assert yaml.safe_load((folder / "study.yaml").read_text())["bundles"] == [str(theirs)]
    train = (folder / "train" / f"{RUN}.yaml").read_text()
    assert train.startswith("# Full fine-tuning with their settings: tiny on rows.")
    assert yaml.safe_load(train)["optim"] == "adamw_torch"
    evaluation = (folder / "eval" / f"{RUN}.yaml").read_text()
    command = f"COTDISTILL_BUNDLES={theirs} lm-eval run --config {folder}/eval/{RUN}.yaml"
    assert f"# Run it:  {command}\n" in evaluation
    assert yaml.safe_load(evaluation)["include_path"] == [
        str(folder / "packaged" / "task_configs"), str(theirs / "task_configs")
    ]  # fmt: skip
    assert len((folder / "data" / "rows.jsonl").read_text().splitlines()) == 4
    (run,) = read_manifest(folder)
    jobs = read_declared_jobs(folder) or {}
    assert jobs["evaluate", run.run].env == {"COTDISTILL_BUNDLES": str(theirs)}


def test_the_study_s_own_folder_need_not_be_named(theirs: Path, tmp_path: Path) -> None:
    by_path = generate(str(theirs / "studies" / "theirs.yaml"), tmp_path / "one").folder
    (theirs / "in_bundle.yaml").write_text(STUDY)
    in_bundle = generate(str(theirs / "in_bundle.yaml"), tmp_path / "two").folder
    assert recorded_bundles(by_path) == recorded_bundles(in_bundle) == [str(theirs)]


def test_a_study_may_name_its_bundles(theirs: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY + "bundles: [theirs]\n")
    assert recorded_bundles(generate(str(study), tmp_path / "run").folder) == [str(theirs)]
    study.write_text(STUDY + "bundles: [nowhere]\n")
    assert main(["check", str(study)]) == 1


def test_what_it_names_and_does_not_have_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY + "bundles: [nowhere]\n")
    assert main(["generate", str(study), "-o", str(tmp_path / "run")]) == 1
    line = f"{study}:bundles: no such folder {tmp_path}/nowhere; expected a folder with "
    assert capsys.readouterr().err.startswith(line)
    study.write_text(STUDY)
    assert main(["generate", str(study), "-o", str(tmp_path / "run")]) == 1
    output = capsys.readouterr().err
    assert "unknown dataset 'their_rows'" in output
    assert "unknown template 'theirs'" in output
    assert "unknown task 'their_sums'" in output


def test_other_bundles_of_the_caller_are_not_seen_in_a_run_folder(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = generate(str(theirs / "studies" / "theirs.yaml"), tmp_path / "run").folder
    other = write_bundle(tmp_path / "other")
    monkeypatch.setenv("COTDISTILL_PATH", str(other))
    seen = in_recorded_bundles(lambda _: [bundle.root for bundle in bundles()])
    assert seen(folder)[:-1] == [theirs]
    assert [bundle.root for bundle in bundles()][:-1] == [other]
    assert main(["check", str(folder)]) == 0


def test_a_folder_of_release_0_1_recorded_none(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: old\n")
    assert recorded_bundles(tmp_path) == []
    assert recorded_bundles(tmp_path / "nowhere") is None


def test_plan_counts_the_questions_of_their_task(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "theirs", "--bundle", str(theirs)]) == 0
    output = capsys.readouterr().out
    assert "their_sums" in output


def test_the_whole_bundle_is_checked_by_its_folder(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    assert main(["check", str(theirs)]) == 0
    output = capsys.readouterr().err.splitlines()
    assert output == [
        "checked study theirs: 1 run", "checked 1 students", "checked 1 registered datasets",
        "checked 1 benchmarks", "checked 1 templates", "checked 1 tasks, groups and tags",
        "no faults",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "before", "after", "line"),
    [
        ("dataset_info/benchmarks/sums.yaml", "kind: number", "kind: no", "kind"),
        ("dataset_info/benchmarks/sums.yaml", "sum: 3}", "sum: ''}", "the gold is empty"),
        ("dataset_info/benchmarks/sums.yaml", "name: sums", "name: other", "the file's own: sums"),
        ("templates/train/theirs.yaml.j2", '"optim"', '"optima"', "optima: unknown to"),
        ("templates/train/theirs.yaml.j2", "{% include", "{% includ", "not Jinja2"),
        ("templates/students.yaml", "licence: MIT", "", "licence"),
        ("dataset_info/dataset_info.json", '"q"', '"q", "x": 1', "unknown key 'x'"),
        ("task_configs/sums.yaml", "repeats: 1", "repeat: 1", "unknown key 'repeat'"),
        ("studies/theirs.yaml", "max_steps: 2", "max_step: 2", "unknown key 'max_step'"),
    ],
)
def test_every_fault_of_a_bundle_is_found(
    name: str, before: str, after: str, line: str, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    text = (theirs / name).read_text()
    assert before in text
    (theirs / name).write_text(text.replace(before, after))
    assert main(["check", str(theirs)]) == 1
    output = capsys.readouterr()
    assert line in output.out
    assert "Traceback" not in output.err
