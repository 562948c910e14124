"""What a run would do and why: by what jobs were made from, never by the clock."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import DataError, FaultsError, MisuseError
from cotdistill.hosts.machine.program import program_fault
from cotdistill.runfolder.generate import generate
from cotdistill.runs.jobs import JobId, marker_of, read_jobs
from cotdistill.runs.options import RunOptions, check_run
from cotdistill.runs.plan import make_plan, retire
from cotdistill.runs.records import Attempt, JobRecord, made_from, write_attempt, write_record
from cotdistill.runs.run import planned


def finish(folder: Path, *only: JobId) -> None:
    """Write records as if the jobs had just been done in order."""
    jobs = read_jobs(folder)
    for job in jobs.values():
        if only and job.id not in only:
            continue
        parts = made_from(folder, jobs, job)
        assert parts is not None
        write_record(folder, job.id, JobRecord(parts, f"made {job}", 1.0, "now"))
        if job.output:
            (folder / job.output).mkdir(parents=True, exist_ok=True)
            (folder / job.output / "old").write_text("")


def reasons(folder: Path, *only: str) -> dict[str, str]:
    plan = make_plan(folder, read_jobs(folder), only)
    return {" ".join(job): reason for job, reason in plan.pending.items()}


@pytest.fixture
def folder(study: Any) -> Path:
    study.add("long")
    study.add("short")
    study.write()
    path: Path = study.folder.resolve()
    return path


def test_a_fresh_folder_runs_everything_in_order(folder: Path) -> None:
    assert list(reasons(folder)) == [
        "train long", "train short", "evaluate long", "evaluate short", "collect report",
    ]  # fmt: skip


def test_a_finished_folder_runs_nothing(folder: Path) -> None:
    finish(folder)
    assert reasons(folder) == {}


def test_a_copy_with_new_time_stamps_runs_nothing(folder: Path) -> None:
    finish(folder)
    for number, path in enumerate(sorted(folder.rglob("*"), reverse=True)):
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    assert reasons(folder) == {}


def test_a_folder_that_was_moved_and_generated_again_runs_nothing(
    folder: Path, tmp_path: Path
) -> None:
    finish(folder)
    text = f"output: {folder}/checkpoints/long\n"
    (folder / "train/long.yaml").write_text("# a comment\n" + text)
    finish(folder)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    again = text.replace(str(folder), str(moved))
    (moved / "train/long.yaml").write_text("# another comment\n# in two lines\n" + again)
    assert reasons(moved) == {}


def test_changed_training_settings_rerun_what_depends_on_them_only(
    study: Any, folder: Path
) -> None:
    finish(folder)
    study.runs["long"]["steps"] = 5
    study.write()
    assert reasons(folder) == {
        "train long": "train/long.yaml changed",
        "evaluate long": "after train long",
        "collect report": "after evaluate long",
    }


def test_changed_evaluation_settings_train_nothing(study: Any, folder: Path) -> None:
    finish(folder)
    study.scores["short"]["limit"] = 3
    study.write()
    assert reasons(folder) == {
        "evaluate short": "eval/short.yaml changed",
        "collect report": "after evaluate short",
    }


def test_a_pending_job_is_asked_for_although_only_what_waits_for_it_is_wanted(
    folder: Path,
) -> None:
    finish(folder)
    (folder / marker_of(("train", "long"))).unlink()
    plan = make_plan(folder, read_jobs(folder), ["evaluate"])
    assert ("train", "long") in plan.pending
    assert set(plan.pending) <= set(plan.targets)
    assert ("train", "short") not in plan.targets


def test_a_new_run_leaves_the_others_alone(study: Any, folder: Path) -> None:
    finish(folder)
    study.add("middle")
    study.write()
    assert list(reasons(folder)) == ["train middle", "evaluate middle", "collect report"]


def test_a_training_done_again_makes_its_scores_outdated(folder: Path) -> None:
    finish(folder)
    jobs = read_jobs(folder)
    parts = made_from(folder, jobs, jobs["train", "long"])
    write_record(folder, ("train", "long"), JobRecord(parts or {}, "made anew", 1.0, "now"))
    assert reasons(folder) == {
        "evaluate long": "train long was made again",
        "collect report": "after evaluate long",
    }


def test_a_deleted_checkpoint_is_made_again_only_if_something_reads_it(
    study: Any, folder: Path
) -> None:
    finish(folder)
    shutil.rmtree(folder / "checkpoints/long")
    assert reasons(folder) == {}
    study.scores["long"]["limit"] = 3
    study.write()
    found = reasons(folder)
    assert found["train long"] == "checkpoints/long is gone and evaluate long reads it"
    assert "train short" not in found


@pytest.mark.parametrize(
    ("state", "reason"), [("running", "was interrupted"), ("failed", "failed")]
)
def test_an_attempt_without_an_end_differs_from_none(folder: Path, state: Any, reason: str) -> None:
    write_attempt(folder, ("train", "long"), Attempt(state, {}, "m:1:1", "r", "now"))
    assert reasons(folder)["train long"] == reason
    assert reasons(folder)["train short"] == "not run yet"


def test_outdated_results_move_to_stale_and_nothing_is_deleted(study: Any, folder: Path) -> None:
    finish(folder)
    study.runs["long"]["steps"] = 5
    study.write()
    jobs = read_jobs(folder)
    plan = make_plan(folder, jobs)
    assert retire(folder, jobs, plan.outdated) == [
        "stale/001/checkpoints/long", "stale/001/scores/long",
    ]  # fmt: skip
    assert not (folder / "done/evaluate/long.json").exists()
    assert (folder / "stale/001/checkpoints/long/old").exists()
    assert (folder / "checkpoints/short/old").exists()


def test_training_only_still_puts_the_old_scores_aside(study: Any, folder: Path) -> None:
    finish(folder)
    study.runs["long"]["steps"] = 5
    study.write()
    plan = make_plan(folder, read_jobs(folder), ["train"])
    assert list(plan.pending) == [("train", "long")]
    assert ("evaluate", "long") in plan.outdated


def test_only_takes_stages_and_patterns_and_adds_what_they_need(folder: Path) -> None:
    assert list(reasons(folder, "train")) == ["train long", "train short"]
    assert list(reasons(folder, "lo*")) == ["train long", "evaluate long"]
    assert list(reasons(folder, "evaluate", "s*t")) == ["train short", "evaluate short"]
    with pytest.raises(MisuseError, match=r"--only shrt: matches .*; did you mean 'short'"):
        reasons(folder, "shrt")
    with pytest.raises(MisuseError, match="did you mean 'train'"):
        reasons(folder, "trian")


def test_what_is_not_a_run_folder_is_said_in_one_line(tmp_path: Path) -> None:
    for path, wrong in ((tmp_path, "not a run folder"), (tmp_path / "no", "no such folder")):
        with pytest.raises(DataError, match=f"{wrong}.*cotdistill generate STUDY -o") as caught:
            read_jobs(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "manifest.jsonl:3: not JSON"),
        ("{}", "manifest.jsonl:3: not a run"),
        ('{"run": "../x", "files": {}, "outputs": {}, "stages": {}, "sha256": {}}', "not a name"),
        ('{"run": "x", "files": {}, "outputs": {}, "stages": {"train": {"command": "ls"}}, '
         '"sha256": {}}', "not a list of words"),
    ],
)  # fmt: skip
def test_a_broken_line_of_the_manifest_is_named(folder: Path, line: str, wrong: str) -> None:
    with (folder / "manifest.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError) as caught:
        read_jobs(folder)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_stands_twice_is_named(folder: Path) -> None:
    first = (folder / "manifest.jsonl").read_text().splitlines()[0]
    with (folder / "manifest.jsonl").open("a") as stream:
        stream.write(first + "\n")
    with pytest.raises(DataError, match=r"manifest.jsonl:3: .* 'long' stands twice"):
        read_jobs(folder)


def test_a_missing_training_file_is_named(folder: Path) -> None:
    (folder / "train/long.yaml").unlink()
    with pytest.raises(FaultsError, match=r"train/long.yaml: no such file; generate it again"):
        planned(folder, RunOptions())


def start(folder: Path, options: RunOptions | None = None) -> None:
    """Do what `run` does before it starts anything."""
    jobs = read_jobs(folder)
    check_run(folder, jobs, make_plan(folder, jobs), options or RunOptions())


def _with_command(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.jsonl"
    path.write_text(path.read_text().replace(old, new))


def test_a_missing_host_names_the_extra_to_install(folder: Path) -> None:
    _with_command(folder, f'"{sys.executable}", "-S"', '"torchrun-of-nowhere", "-S"')
    with pytest.raises(FaultsError, match="no command 'torchrun-of-nowhere' on PATH"):
        start(folder)
    _with_command(folder, '"torchrun-of-nowhere"', '"/nowhere/bin/lm-eval"')
    with pytest.raises(FaultsError, match=r"no such environment \(/nowhere/bin\)"):
        start(folder)


def test_an_uninstalled_host_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    fault = program_fault("evaluate", ["lm_eval"], {"PATH": "/nowhere"})
    assert str(fault) == (
        "the evaluate stage: the command 'lm_eval' is not installed; "
        'pip install "cotdistill[eval]"'
    )


def test_a_blank_in_the_folder_is_refused_where_torchrun_would_break(
    study: Any, tmp_path: Path
) -> None:
    study.folder = tmp_path / "my runs"
    study.add("long")
    study.write()
    assert planned(study.folder, RunOptions()).pending
    _with_command(study.folder, '"env": {}', '"env": {"FORCE_TORCHRUN": "1"}')
    with pytest.raises(FaultsError, match=r"my runs: the path holds a blank.* elsewhere"):
        planned(study.folder, RunOptions())


def test_more_gpus_than_there_are_is_refused(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study.add("wide", gpus=4)
    study.write()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(FaultsError, match="train wide needs 4 GPUs, and 2 are to be used"):
        start(study.folder)
    with pytest.raises(FaultsError, match="--gpus 3: 2 are visible here"):
        start(study.folder, RunOptions(gpus=3))


def test_a_dry_run_needs_neither_gpus_nor_hosts_and_names_what_is_lacking(
    study: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study.add("wide", gpus=4)
    study.write()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    _with_command(study.folder, f'"{sys.executable}", "-S"', '"/nowhere/bin/lm-eval"')
    assert main(["run", str(study.folder), "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("train wide")
    assert "not on this machine: cotdistill run: train wide needs 4 GPUs, and 0 are to be" in err
    assert "no such environment (/nowhere/bin)" in err
    assert "3 jobs to run, 0 finished" in err


def test_a_dry_run_says_what_would_be_moved_and_moves_nothing(
    study: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(folder)
    study.runs["long"]["steps"] = 5
    study.add("middle")
    study.write()
    (folder / "checkpoints/middle").mkdir()
    (folder / "scores/middle").mkdir()
    assert main(["run", str(study.folder), "--dry-run"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "would" in line]
    assert lines == [
        "would move checkpoints/long to stale/: train/long.yaml changed",
        "would move scores/long to stale/: after train long",
        "would move checkpoints/middle to stale/: it was of unknown origin (wrote no "
        "train_results.json)",
        "would move scores/middle to stale/: it was of unknown origin",
    ]
    assert not (folder / "stale").exists()


def test_only_takes_names_and_stages_in_any_case(folder: Path) -> None:
    assert list(reasons(folder, "LONG", "Train")) == ["train long"]
    assert list(reasons(folder, "S*")) == ["train short", "evaluate short"]
    with pytest.raises(MisuseError, match=r"--only Xyz\*: matches no stage and no run"):
        reasons(folder, "Xyz*")


def test_a_prepare_environment_starts_cotdistill_there(
    small_study: dict[str, Any], study_file: Any, tmp_path: Path
) -> None:
    small_study["environments"] = {"prepare": "conda run -n prep"}
    generate(str(study_file(small_study)), tmp_path / "run")
    jobs = read_jobs(tmp_path / "run")
    own = {job.own for job in jobs.values() if job.stage == "prepare"}
    assert own == {("conda", "run", "-n", "prep", "cotdistill")}
    assert {job.own for job in jobs.values() if job.stage != "prepare"} == {()}
