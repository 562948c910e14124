"""A recipe with `keep: best` evaluates the epoch that is best on the development questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import DataError, StudyError
from cotdistill.files.yamls import dump_yaml, read_yaml
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.results.best_epoch import list_epochs
from cotdistill.runfolder.epochs import read_epoch_choice
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.studies.resolve import resolve
from cotdistill.studies.study import read_study
from trace_rows import write_jsonl

RUN = "tiny--golds--full--s42"
MERGED = "tiny--golds--lora--s42"


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Any]:
    """A study whose recipes keep the best of three epochs."""
    rows = [{"question": f"What is {n} plus 1?", "gold": str(n % 4)} for n in range(40)]
    write_jsonl(tmp_path / "q.jsonl", rows)
    shape = {"hidden_size": 32, "layers": 1, "heads": 2, "intermediate_size": 64, "context": 128}
    full = {"epochs": 3, "keep": "best", "global_batch": 16, "per_device_batch": 16,
            "cutoff_len": 64, "learning_rate": 0.01, "precision": "fp32"}  # fmt: skip
    return {
        "schema_version": 2,
        "name": "epochs",
        "models": {"tiny": {"scratch": shape}},
        "students": ["tiny"],
        "questions": {"q": {"file": str(tmp_path / "q.jsonl"), "dev": 10}},
        "arms": {"golds": {"answers": "q"}},
        "recipes": {"full": full, "lora": {"extends": "full", "template": "lora"}},
        "evaluation": {"tasks": ["dev_q"], "batch_size": 10, "generation": {"max_gen_toks": 8}},
        "hardware": {"gpus": 0},
    }


@pytest.fixture
def folder(study: dict[str, Any], tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(dump_yaml(study))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def faults_of(study: dict[str, Any]) -> str:
    with pytest.raises(StudyError) as caught:
        resolve(read_study(study, "s.yaml"), "s.yaml")
    return str(caught.value)


def test_every_epoch_is_scored_on_development_questions_and_the_chosen_one_on_the_tasks(
    folder: Path,
) -> None:
    jobs = read_declared_jobs(folder) or {}
    choice = jobs["decide", RUN]
    scored = [f"{RUN}--epoch{number}" for number in (1, 2, 3)]
    assert [need for need in choice.needs if need[0] == "evaluate"] == [
        ("evaluate", name) for name in scored
    ]
    for number, name in enumerate(scored, start=1):
        config = read_yaml(folder / f"eval/{name}.yaml")
        assert config["model_args"]["pretrained"] == f"{folder}/epochs/{RUN}/{number}"
        assert config["tasks"] == ["dev_q"]
    assert jobs["evaluate", RUN].needs == (("train", RUN), ("decide", RUN))
    final = read_yaml(folder / f"eval/{RUN}.yaml")
    assert final["model_args"]["pretrained"] == f"{folder}/epochs/{RUN}/best"


def test_the_training_file_keeps_every_epoch_and_is_one_for_the_stock_command(folder: Path) -> None:
    training = read_yaml(folder / f"train/{RUN}.yaml")
    assert (training["save_strategy"], training["save_total_limit"]) == ("epoch", None)
    assert training["num_train_epochs"] == 3


def test_adapters_are_merged_for_every_epoch(folder: Path) -> None:
    jobs = read_declared_jobs(folder) or {}
    assert ("export", MERGED) not in jobs
    export = read_yaml(folder / f"export/{MERGED}--epoch2.yaml")
    assert export["adapter_name_or_path"] == f"{folder}/epochs/{MERGED}/2"
    scored = read_yaml(folder / f"eval/{MERGED}--epoch2.yaml")
    assert scored["model_args"]["pretrained"] == f"{folder}/exported/{MERGED}--epoch2"
    runs = {run.run: run for run in read_manifest(folder)}
    assert runs[MERGED].outputs.export == f"exported/{MERGED}"
    assert runs[MERGED].files.export == f"export/{MERGED}--epoch1.yaml"


def test_checkpoints_are_found_in_the_order_of_their_steps(folder: Path) -> None:
    for step in (30, 9, 100):
        (folder / "checkpoints" / RUN / f"checkpoint-{step}").mkdir(parents=True)
    assert list_epochs(folder, RUN) == [9, 30, 100]
    assert (folder / "epochs" / RUN / "3").resolve().name == "checkpoint-100"
    (folder / "checkpoints" / RUN / "checkpoint-9").rmdir()
    with pytest.raises(DataError, match="2 checkpoints of 3 epochs"):
        list_epochs(folder, RUN)


@pytest.mark.usefixtures("folder")
def test_the_plan_counts_the_answers_of_every_epoch(tmp_path: Path) -> None:
    made = plan(str(tmp_path / "s.yaml"), [], Assumed())
    assert made.responses == 2 * (10 + 3 * 10)


@pytest.mark.parametrize(("changed", "wrong"), [
    ({"epochs": 1}, "recipes.full.epochs: 1, and keep: best chooses one; expected a whole number"),
    ({"epochs": 2.5}, "recipes.full.epochs: 2.5, and keep: best chooses one"),
    ({"epochs": None, "max_steps": 9}, "recipes.full.epochs: max_steps, and keep: best chooses"),
    ({"save_steps": 5}, "'save_steps' and keep: best, which saves every epoch"),
    ({"settings": {"save_total_limit": 1}}, "'save_total_limit' and keep: best"),
])  # fmt: skip
def test_what_leaves_no_epochs_to_choose_from_is_a_fault(
    study: dict[str, Any], changed: dict[str, Any], wrong: str
) -> None:
    study["recipes"] = {"full": {**study["recipes"]["full"], **changed}}
    assert wrong in faults_of(study)


def test_without_development_questions_nothing_can_be_chosen(study: dict[str, Any]) -> None:
    study["questions"]["q"].pop("dev")
    study["evaluation"]["tasks"] = ["cot_gsm8k"]
    assert "recipes.full.keep: no development questions to choose by" in faults_of(study)


def test_only_one_thing_chooses(study: dict[str, Any]) -> None:
    study["evaluation"]["checkpoints"] = True
    assert "keep: best, next to 'evaluation.checkpoints', which chooses too" in faults_of(study)


@pytest.mark.slow
@pytest.mark.host
def test_a_student_is_trained_and_its_best_epoch_evaluated(
    study: dict[str, Any], tmp_path: Path
) -> None:
    del study["recipes"]["lora"]
    (tmp_path / "s.yaml").write_text(dump_yaml(study))
    folder = tmp_path / "run"
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(folder)]) == 0
    assert main(["run", str(folder)]) == 0
    choice = read_epoch_choice(folder, RUN)
    assert choice is not None
    assert choice.dev[choice.epoch - 1] == max(choice.dev)
    chosen = folder / "epochs" / RUN / "best"
    assert chosen.resolve().name == f"checkpoint-{choice.steps[choice.epoch - 1]}"
    (results,) = (folder / "scores" / RUN).rglob("results_*.json")
    score = json.loads(results.read_text())["results"]["dev_q"]["exact_match,none"]
    assert score == pytest.approx(choice.dev[choice.epoch - 1])
