"""Scores of older files than a run folder holds are told from those of its study as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cotdistill
from cotdistill.cli.main import main
from cotdistill.runfolder.generate import generate
from cotdistill.runs.jobs import read_jobs
from cotdistill.runs.outdated import outdated_scores
from cotdistill.runs.records import JobRecord, made_from, write_record
from run_folder import add_scores, add_training
from small_study import EVALUATION, RECIPES

RUN = "tiny--long--full--s42"


def study_of(folder: Path, **recipe: float) -> Path:
    arms = {"short": {"puzzles": "ball", "level": 1, "rows": 8}}
    arms["long"] = {"puzzles": "ball", "level": 6, "rows": 8}
    size = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 256}
    study = {
        "schema_version": 2,
        "name": "small",
        "models": {"tiny": {"scratch": size}},
        "students": ["tiny"],
        "arms": arms,
        "recipes": {"full": {**RECIPES["full"], **recipe}},
        "evaluation": EVALUATION,
        "seeds": [42],
        "hardware": {"gpus": 0},
    }
    path = folder / "study.json"
    path.write_text(json.dumps(study))
    return path


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """Return a run folder whose jobs are all recorded as finished, with scores."""
    folder = tmp_path / "run"
    generate(str(study_of(tmp_path)), folder)
    jobs = read_jobs(folder)
    for job in jobs.values():
        parts = made_from(folder, jobs, job)
        assert parts is not None
        write_record(folder, job.id, JobRecord(parts, f"made {job}", 1.0, "now"))
        if job.stage == "prepare" and job.output and not (folder / job.output).suffix:
            (folder / job.output).mkdir(parents=True)
    for arm, right in (("short", 3), ("long", 6)):
        add_training(folder, f"tiny--{arm}--full--s42")
        verdicts = [True] * right + [False] * (8 - right)
        add_scores(folder, f"tiny--{arm}--full--s42", verdicts, task="cot_gsm8k")
    return folder


def test_scores_of_the_study_as_it_is_are_not_outdated(done: Path) -> None:
    assert outdated_scores([done]) == []


def test_scores_from_before_a_change_are_named_by_every_verb_that_shows_them(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(str(study_of(done.parent, learning_rate=1e-4)), done)
    (line,) = outdated_scores([done])
    assert line == (
        f"2 of 2 evaluations are of older files than {done} holds now: "
        "tiny--short--full--s42 (train tiny--short--full--s42: "
        "train/tiny--short--full--s42.yaml changed), "
        f"{RUN} (train {RUN}: train/{RUN}.yaml changed); cotdistill run {done} makes them again"
    )
    assert main(["report", str(done), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"][0] == line
    for name in ("report.md", "report.html"):
        assert "evaluations are of older files" in (done / "report" / name).read_text()
    for words in (["compare", str(done)], ["export", str(done), "--format", "cards"]):
        assert main(words) == 0
        assert "evaluations are of older files" in " ".join(capsys.readouterr().err.split())
    with pytest.warns(UserWarning, match="evaluations are of older files"):
        cotdistill.compare(done)


def test_of_scores_without_a_record_or_in_a_copy_nothing_is_said(done: Path) -> None:
    copy = done.parent / "copy"
    shutil.copytree(done, copy)
    assert outdated_scores([copy]) == []
    generate(str(study_of(done.parent, learning_rate=1e-4)), done)
    shutil.rmtree(done / "done" / "evaluate")
    assert outdated_scores([done, done / "scores"]) == []


def test_a_run_folder_that_lost_its_jobs_is_refused_by_name(
    done: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (done / "jobs.jsonl").unlink()
    for words in (["run", str(done), "--dry-run"], ["check", str(done)]):
        assert main(words) == 1
        printed = capsys.readouterr()
        assert "it has no jobs.jsonl" in " ".join((printed.out + printed.err).split())
    assert outdated_scores([done]) == []
