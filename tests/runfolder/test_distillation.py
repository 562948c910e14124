"""Recipes with a teacher: the block next to the training file, and what it waits for."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cached_hub import cache_rows
from cotdistill.cli.main import main
from cotdistill.distill.train_file import read_train_file
from cotdistill.errors import FaultsError, StudyError
from cotdistill.preflight.check import check_run_folder
from cotdistill.preflight.distillation import teacher_vocabularies
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.runs.jobs import read_jobs, settings_digest
from tiny_models import TEXTS, build

Study = dict[str, Any]
MENTOR = "mentor--fine--full--s1"
TAUGHT = "tiny--fine--kd--s1"


@pytest.fixture
def taught(small_study: Study) -> Study:
    """A mentor that is trained on an arm, and a student that learns from it."""
    study = copy.deepcopy(small_study)
    full = study["recipes"]["full"]
    study["schema_version"] = 2
    scratch = {"hidden_size": 32, "heads": 2, "layers": 1}
    study["models"] = {
        "tiny": {"scratch": scratch},
        "mentor": {"scratch": scratch | {"hidden_size": 48, "seed": 3}},
        "the-mentor": {"run": {"model": "mentor", "arm": "fine", "recipe": "full"}},
    }
    study["students"] = ["tiny", "mentor"]
    study["seeds"] = [1]
    study["arms"] = {"fine": study["arms"]["fine"]}
    study["recipes"]["full"] = full | {"students": ["mentor"]}
    study["recipes"]["kd"] = full | {
        "students": ["tiny"],
        "kd": {"teacher": "the-mentor", "preset": "mentor-kd"},
    }
    return study


def with_kd(study: Study, **kd: Any) -> Study:
    study["recipes"]["kd"]["kd"] = kd
    return study


@pytest.mark.host
def test_the_training_file_stays_a_stock_file_and_the_block_lies_next_to_it(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    train = folder / "train" / f"{TAUGHT}.yaml"
    assert train.read_text().startswith(f"# distillation: {TAUGHT}.kd.yaml\n")
    assert f"# Run it:  cotdistill train {train}" in train.read_text()
    assert "kd" not in yaml.safe_load(train.read_text())
    assert yaml.safe_load((folder / "train" / f"{TAUGHT}.kd.yaml").read_text()) == {
        "teacher": {"model": str(folder / "checkpoints" / MENTOR)},
        "divergence": "forward_kl", "weight": 0.3, "temperature": 2.0, "t2_scale": False,
        "count_padding": False,
    }  # fmt: skip
    read = read_train_file([str(train)])
    assert read is not None
    assert read.distillation.kd_weight == 0.3
    assert read.distillation.source.model == str(folder / "checkpoints" / MENTOR)
    assert not (folder / "train" / f"{MENTOR}.kd.yaml").exists()


def test_a_block_that_was_removed_stops_the_training(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    (folder / "train" / f"{TAUGHT}.kd.yaml").unlink()
    with pytest.raises(FaultsError, match="without it this would be plain fine-tuning"):
        read_train_file([str(folder / "train" / f"{TAUGHT}.yaml")])


def test_check_knows_an_edited_block_from_a_generated_one(
    taught: Study,
    study_file: Callable[[Study], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    main(["check", str(folder)])
    assert "was edited" not in capsys.readouterr().out
    block = folder / "train" / f"{TAUGHT}.kd.yaml"
    block.write_text(block.read_text().replace("0.3", "0.4"))
    assert main(["check", str(folder)]) == 1
    assert f"{TAUGHT}.yaml: was edited after it was generated" in capsys.readouterr().out


def test_the_student_waits_for_its_mentor(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    jobs = read_jobs(folder)
    assert ("train", MENTOR) in jobs["train", TAUGHT].needs
    assert ("train", MENTOR) not in jobs["train", MENTOR].needs
    assert jobs["train", TAUGHT].command[:2] == ("cotdistill", "train")
    assert jobs["train", MENTOR].command[:2] == ("llamafactory-cli", "train")


@pytest.mark.host
def test_a_mentor_that_is_an_adapter_is_merged_first(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    taught["recipes"]["full"]["template"] = "lora"
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    assert ("export", MENTOR) in read_jobs(folder)["train", TAUGHT].needs
    read = read_train_file([str(folder / "train" / f"{TAUGHT}.yaml")])
    assert read is not None
    assert read.distillation.source.model == str(folder / "exported" / MENTOR)


def test_another_block_makes_another_training(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    before = settings_digest(folder, read_jobs(folder)["train", TAUGHT])
    taught["recipes"]["kd"]["kd"]["weight"] = 0.4
    done = generate(str(study_file(taught)), tmp_path / "run")
    assert done.changed == (TAUGHT,)
    assert settings_digest(folder, read_jobs(folder)["train", TAUGHT]) != before


def test_a_resolved_study_with_a_preset_gives_the_same_files_again(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    again = generate(str(folder / "study.yaml"), tmp_path / "run")
    assert again.changed == ()
    assert again.new == ()


@pytest.mark.host
def test_signals_are_a_teacher_too(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    study = with_kd(taught, teacher={"signals": str(tmp_path / "signals")}, temperature=2.0)
    folder = generate(str(study_file(study)), tmp_path / "run").folder
    read = read_train_file([str(folder / "train" / f"{TAUGHT}.yaml")])
    assert read is not None
    assert read.distillation.source.signals == str(tmp_path / "signals")
    assert not read.distillation.source.is_loaded


@pytest.mark.parametrize(
    ("kd", "message"),
    [
        ({"teacher": "nobody"}, "recipes.kd.kd.teacher: no model 'nobody'"),
        ({"teacher": "mentor"}, "'mentor' has no weights to load here (scratch)"),
        ({"teacher": "served"}, "'served' has no weights to load here (endpoint)"),
        ({"teacher": "elsewhere"}, "'elsewhere' is a run that the study does not have"),
        (
            {"teacher": "itself"},
            "models.itself: goes in a circle (models.itself -> recipes.kd -> models.itself)",
        ),
        ({"teacher": "the-mentor", "weight": 0}, "weight 0 with a teacher would train without it"),
        ({"teacher": "the-mentor", "beta": 0.2}, "beta has no effect with divergence forward_kl"),
        ({"teacher": "the-mentor", "temperature": 0}, "temperature: 0; expected greater than 0"),
        (
            {"teacher": "the-mentor", "preset": "mcc-kd"},
            "consistency with a teacher would train without it",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_is_named(
    kd: dict[str, Any], message: str, taught: Study, study_file: Callable[[Study], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    run = {"model": "mentor", "arm": "fine", "recipe": "full"}
    taught["models"] |= {
        "served": {"endpoint": "http://127.0.0.1:1/v1", "model": "m"},
        "elsewhere": {"run": run | {"seed": 9}},
        "itself": {"run": run | {"model": "tiny", "recipe": "kd"}},
    }
    for name in ("elsewhere", "itself"):
        if name != kd["teacher"]:
            del taught["models"][name]
    with pytest.raises(StudyError) as caught:
        generate(str(study_file(with_kd(taught, **kd))), tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_study_trains_the_mentor_and_then_the_student_from_it(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    folder = generate(str(study_file(taught)), tmp_path / "run").folder
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "run", str(folder), "--only", "train", "--jobs", "2"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "checkpoints" / TAUGHT / "kd_summary.json").read_text())
    assert summary["batches"] == 2
    assert summary["loss"].startswith("0.7 * CE + 0.3 * forward_kl")


@pytest.mark.host
def test_vocabularies_of_students_and_teachers_are_compared_before_anything_is_loaded(
    taught: Study, study_file: Callable[[Study], Path], tmp_path: Path
) -> None:
    for name, teacher in (("same", "teacher"), ("other", "other")):
        build(tmp_path / name / "student")
        build(tmp_path / name / "teacher", width=24)
        if teacher == "other":
            path = tmp_path / name / "teacher" / "tokenizer.json"
            path.write_text(path.read_text().replace('"A":', '"\\u0000":').replace('"B":', '"A":'))
        taught["models"]["tiny"] = {"model": str(tmp_path / name / "student"), "template": "chatml"}
        taught["models"]["the-mentor"] = {"model": str(tmp_path / name / "teacher")}
        root = generate(str(study_file(taught)), tmp_path / f"run-{name}").folder
        faults, missing, unread, pairs = teacher_vocabularies(root, read_manifest(root))
        assert (missing, unread, pairs) == ([], [], 1)
        assert bool(faults) == (name == "other")
        checked = check_run_folder(root)
        assert "the vocabularies of 1 student and its teacher" in checked.looked_at
        assert set(faults) <= set(checked.faults)
    assert "token ids mean something else" in str(faults[0])


def two_models(taught: Study, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a study a student and a teacher of its own, and the hub's library an empty cache."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    for name in ("student", "teacher"):
        build(folder / name)
    taught["models"]["tiny"] = {"model": str(folder / "student"), "template": "chatml"}
    taught["models"]["the-mentor"] = {"model": str(folder / "teacher")}


@pytest.mark.host
def test_rows_of_the_hub_are_compared_from_the_cache_and_named_where_they_are_not_there(
    taught: Study,
    study_file: Callable[[Study], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two_models(taught, tmp_path, monkeypatch)
    path = tmp_path / "teacher" / "tokenizer.json"
    merged = json.loads(path.read_text())
    merged["model"]["merges"] = merged["model"]["merges"][:-5]
    path.write_text(json.dumps(merged))
    taught["arms"] = {"fine": {"dataset": "MATH_training_split_long_cot"}}
    root = generate(str(study_file(taught)), tmp_path / "run").folder
    place = "UWNSL/MATH_training_split_long_cot"
    unread = f"{place}: its rows are not in the local cache"
    assert teacher_vocabularies(root, read_manifest(root)) == ([], [], [unread], 1)
    notes = check_run_folder(root).notes
    words = f"vocabulary not compared on rows: {unread}; the training compares them at its start"
    assert words in notes
    cache_rows(tmp_path / "cache", place, [{"problem": text, "solution": ""} for text in TEXTS])
    found = teacher_vocabularies(root, read_manifest(root))
    assert (found.missing, found.unread, found.compared) == ([], [], 1)
    assert "is encoded otherwise, from token" in str(found.faults[0])


@pytest.mark.host
def test_rows_of_the_hub_are_named_after_a_local_arm_of_the_same_student_and_teacher(
    taught: Study,
    study_file: Callable[[Study], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two_models(taught, tmp_path, monkeypatch)
    taught["arms"] |= {"of-hub": {"dataset": "MATH_training_split_long_cot"}}
    root = generate(str(study_file(taught)), tmp_path / "run").folder
    arms = [run.arm for run in read_manifest(root) if run.recipe == "kd"]
    assert arms == ["fine", "of-hub"]
    place = "UWNSL/MATH_training_split_long_cot"
    unread = f"{place}: its rows are not in the local cache"
    assert teacher_vocabularies(root, read_manifest(root)) == ([], [], [unread], 1)
    path = tmp_path / "teacher" / "tokenizer.json"
    merged = json.loads(path.read_text())
    merged["model"]["merges"] = merged["model"]["merges"][:-5]
    path.write_text(json.dumps(merged))
    cache_rows(tmp_path / "cache", place, [{"problem": text, "solution": ""} for text in TEXTS])
    found = teacher_vocabularies(root, read_manifest(root))
    assert (found.missing, found.unread, found.compared) == ([], [], 1)
    assert "is encoded otherwise, from token" in str(found.faults[0])
