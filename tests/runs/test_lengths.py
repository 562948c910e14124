"""Rows that do not fit their cutoff_len stop the prepare stage, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_arm, build_student
from cotdistill.errors import DataError
from cotdistill.hosts.llamafactory.row_counts import RowCounts
from cotdistill.preflight.rows import row_reports
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.runs.jobs import read_jobs
from cotdistill.runs.lengths import check_lengths
from cotdistill.runs.plan import make_plan
from cotdistill.runs.records import JobRecord, made_from, write_record
from cotdistill.runs.step import run_step
from cotdistill.studies.load import study_of

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


@pytest.fixture
def one_arm(small_study: Study) -> Study:
    del small_study["arms"]["answer-only"]
    return small_study


def prepared(study: Path, folder: Path) -> Path:
    generate(str(study), folder)
    build_arm(folder, "fine")
    build_student(folder, "tiny", "fine")
    return folder


@pytest.mark.host
def test_more_truncated_rows_than_the_recipe_allows_stop_the_prepare_stage(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    full = one_arm["recipes"]["full"]
    one_arm["recipes"] = {"full": full, "short": {**full, "cutoff_len": 32}}
    folder = prepared(study_file(one_arm), tmp_path / "run")
    with pytest.raises(DataError) as caught:
        check_lengths(folder, "fine", folder / "data/fine.lengths.json")
    (fault,) = caught.value.faults  # the other recipe's cutoff_len fits
    assert fault.place == "arm fine, student tiny, recipe short"
    assert fault.wrong.startswith("40 of 40 rows (100.0%) are truncated at cutoff_len 32: 40 lose")
    assert fault.expected == "at most 1.0% (recipes.short.max_truncated)"
    fits = int(fault.remedy.split("cutoff_len=")[1].split(";")[0])

    one_arm["recipes"]["short"]["cutoff_len"] = fits
    generate(str(study_file(one_arm)), folder)
    check_lengths(folder, "fine", folder / "data/fine.lengths.json")
    found = json.loads((folder / "data/fine.lengths.json").read_text())
    (short,) = (view for run, view in found.items() if "short" in run)
    assert (short["truncated"], short["longest"]) == (0, fits)


def test_the_cutoff_that_fits_leaves_out_the_share_that_is_allowed() -> None:
    lengths = ((100, 90), (200, 9), (5000, 1))
    counts = RowCounts(100, 1, 1, 0, 0, 0, 0, 0, 5000, lengths, ())
    assert [counts.fitting(share) for share in (0.0, 0.005, 0.01, 0.1)] == [5000, 5000, 200, 100]
    assert (counts.allows(0.01), counts.allows(0.009)) == (True, False)


@pytest.mark.host
def test_rows_kept_back_for_the_evaluation_loss_are_not_dropped_rows(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    one_arm["recipes"]["full"]["val_size"] = 0.2
    folder = prepared(study_file(one_arm), tmp_path / "run")
    reports, faults = row_reports(study_of(folder), folder, read_manifest(folder))
    assert faults == []
    (report,) = reports
    assert (report.rows, report.validation_rows, report.rows_in_file) == (32, 8, 40)
    assert report.faults() == []


def test_rows_that_are_short_in_bytes_need_no_tokenizer(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    one_arm["recipes"]["full"]["cutoff_len"] = 1024
    folder = tmp_path / "run"
    generate(str(study_file(one_arm)), folder)  # there is no student, and none is asked for
    check_lengths(folder, "fine", folder / "data/fine.lengths.json")
    (view,) = json.loads((folder / "data/fine.lengths.json").read_text()).values()
    assert view["truncated"] == 0
    assert 512 < view["tokens_at_most"] <= 1024


def test_a_scratch_student_s_own_tokenizer_counts_where_bytes_do_not_settle_it(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_arm["recipes"]["full"]["cutoff_len"] = 128
    folder = prepared(study_file(one_arm), tmp_path / "run")
    monkeypatch.setattr("sys.executable", "/no/python")  # the host cannot be asked
    check_lengths(folder, "fine", folder / "data/fine.lengths.json")
    (view,) = json.loads((folder / "data/fine.lengths.json").read_text()).values()
    assert 64 < view["tokens_at_most"] <= 128


def test_the_check_is_a_job_of_the_prepare_stage_that_training_waits_for(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    one_arm["recipes"]["full"]["cutoff_len"] = 1024
    folder = (tmp_path / "run").resolve()
    generate(str(study_file(one_arm)), folder)
    jobs = read_jobs(folder)
    gate = jobs["prepare", "fine+lengths"]
    assert gate.needs == (("prepare", "fine"), ("prepare", "tiny--fine"))
    assert gate.id in jobs["train", "tiny--fine--full--s42"].needs
    for need in gate.needs:
        assert run_step(folder, *need) == 0
    assert run_step(folder, *gate.id) == 0
    assert (folder / "data/fine.lengths.json").is_file()
    assert gate.id not in make_plan(folder, jobs).pending

    one_arm["recipes"]["full"]["max_truncated"] = 0.0
    generate(str(study_file(one_arm)), folder)
    assert make_plan(folder, read_jobs(folder)).pending[gate.id] == "its declaration changed"


def test_a_finished_training_is_not_repeated_for_a_check_that_came_later(
    one_arm: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    generate(str(study_file(one_arm)), folder)
    jobs = read_jobs(folder)
    gate = ("prepare", "fine+lengths")
    for job in jobs.values():
        if parts := made_from(folder, jobs, job):
            write_record(folder, job.id, JobRecord(parts, f"made {job}", 1.0, "now"))
            if job.output and not (folder / job.output).exists():
                (folder / job.output).mkdir(parents=True)
    (folder / "done/prepare/fine+lengths.json").unlink()
    assert list(make_plan(folder, jobs).pending) == [gate]
