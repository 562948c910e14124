"""Revisions of hub models and datasets: in files and manifest, refused where they are useless."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.errors import FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.preflight.check import check
from cotdistill.runfolder.generate import generate

STUDY = """
name: s
students: [{{model: Qwen/Qwen2.5-0.5B{student}}}]
arms: {{gold: {{dataset: gsm8k{dataset}}}}}
recipes: {{lora: {{template: lora, epochs: 1}}}}
evaluation: {{tasks: [cot_gsm8k]}}
"""


def made(folder: Path, student: str = "", dataset: str = "") -> Path:
    study = folder / "s.yaml"
    study.write_text(STUDY.format(student=student, dataset=dataset))
    generate(str(study), folder / "run")
    return folder / "run"


def test_a_model_s_revision_is_in_its_training_and_export_file_and_in_the_manifest(
    tmp_path: Path,
) -> None:
    run = made(tmp_path, ", revision: 060db64")
    for kind in ("train", "export"):
        (file,) = (run / kind).glob("*.yaml")
        assert read_yaml(file)["model_revision"] == "060db64"
    line = json.loads((run / "manifest.jsonl").read_text())
    assert line["revisions"] == {"Qwen/Qwen2.5-0.5B": "060db64", "openai/gsm8k": None}


@pytest.mark.parametrize("backend", ["hf", "vllm"])
def test_a_pinned_student_that_is_scored_untouched_is_scored_at_its_revision(
    tmp_path: Path, backend: str
) -> None:
    study = tmp_path / "s.yaml"
    study.write_text(
        "schema_version: 2\nname: s\nstudents: [qwen]\n"
        "models: {qwen: {model: Qwen/Qwen2.5-0.5B, revision: 060db64}}\n"
        "arms: {untouched: {train: none}, gold: {dataset: gsm8k}}\nrecipes: {full: {epochs: 1}}\n"
        f"evaluation: {{tasks: [cot_gsm8k], backend: {backend}}}\n"
    )
    generate(str(study), tmp_path / "run")
    arguments = {
        path.stem: read_yaml(path)["model_args"] for path in (tmp_path / "run/eval").iterdir()
    }
    pinned = {name: args.get("revision") for name, args in arguments.items()}
    assert sorted(pinned.values(), key=str) == ["060db64", None]
    assert "untouched" in next(name for name in pinned if pinned[name])


def test_check_names_what_no_revision_pins(tmp_path: Path) -> None:
    made(tmp_path, dataset=", revision: e53f048")
    changes = "no revision given, so a push to the hub changes the study: Qwen/Qwen2.5-0.5B"
    assert changes in check(str(tmp_path / "s.yaml")).notes
    assert changes in check(str(tmp_path / "run")).notes
    made(tmp_path, ", revision: 060db64", ", revision: e53f048")
    assert not [note for note in check(str(tmp_path / "run")).notes if "no revision" in note]


def test_files_without_a_revision_do_not_name_one(tmp_path: Path) -> None:
    run = made(tmp_path)
    assert "model_revision" not in next((run / "train").glob("*.yaml")).read_text()


def test_the_rows_of_a_pinned_dataset_are_fetched_by_the_prepare_stage(tmp_path: Path) -> None:
    """LLaMA-Factory cannot ask a hub for a revision of a dataset."""
    assert json.loads((made(tmp_path) / "manifest.jsonl").read_text())["files"]["data"] is None
    pinned = made(tmp_path, dataset=", revision: e53f048")
    line = json.loads((pinned / "manifest.jsonl").read_text())
    assert line["files"]["data"] == "data/gold.jsonl"
    assert line["revisions"]["openai/gsm8k"] == "e53f048"


def test_a_revision_of_something_local_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    study = tmp_path / "s.yaml"
    study.write_text(
        "name: s\nstudents: [{model: ./model, template: qwen, revision: abc}]\n"
        "arms: {levels: {dataset: SVAMP_ChatGPT_level1, revision: abc}}\n"
        "recipes: {full: {epochs: 1}}\nevaluation: {tasks: [cot_gsm8k]}\n"
    )
    with pytest.raises(FaultsError) as caught:
        generate(str(study), tmp_path / "run")
    text = str(caught.value)
    assert "models.model.revision: a revision is given, and" in text
    assert "arms.levels.revision: a revision is given, and 'SVAMP_ChatGPT_level1' is" in text
