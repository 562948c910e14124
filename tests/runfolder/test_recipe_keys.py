"""Workers, warm-up, evaluation loss, packing and trackers of a study reach the training file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.errors import StudyError
from cotdistill.hosts.llamafactory.arguments import training_argument_faults
from cotdistill.runfolder.generate import generate
from cotdistill.studies.study import read_study

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]


def training_file(study: Path, folder: Path) -> dict[str, Any]:
    generate(str(study), folder)
    path = min((folder / "train").glob("*.yaml"))
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not training_argument_faults(values, path.name)
    return values


def test_a_machine_with_gpus_tokenises_with_several_processes_and_a_laptop_with_one(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    values = training_file(study_file(small_study), tmp_path / "laptop")
    assert (values["preprocessing_num_workers"], values["dataloader_num_workers"]) == (1, 0)
    small_study["hardware"] = {"gpus": 1}
    values = training_file(study_file(small_study), tmp_path / "gpu")
    assert (values["preprocessing_num_workers"], values["dataloader_num_workers"]) == (8, 4)
    small_study["recipes"]["full"]["workers"] = 2
    values = training_file(study_file(small_study), tmp_path / "two")
    assert (values["preprocessing_num_workers"], values["dataloader_num_workers"]) == (2, 2)


def test_the_evaluation_loss_packing_and_trackers_are_keys_of_the_study(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    plain = training_file(study_file(small_study), tmp_path / "plain")
    assert plain["report_to"] == "none"
    assert plain["warmup_ratio"] == 0.03
    assert not {"val_size", "packing", "neat_packing", "run_name"} & plain.keys()
    small_study["recipes"]["full"] |= {"val_size": 0.1, "packing": "neat", "warmup_ratio": 0.1}
    small_study["report_to"] = ["tensorboard", "wandb"]
    values = training_file(study_file(small_study), tmp_path / "all")
    assert (values["val_size"], values["eval_strategy"]) == (0.1, "epoch")
    assert (values["packing"], values["neat_packing"]) == (True, True)
    assert values["report_to"] == ["tensorboard", "wandb"]
    assert values["run_name"] == "tiny--answer-only--full--s42"


def test_a_validation_size_of_rows_is_written_as_a_whole_number(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["recipes"]["full"]["val_size"] = 5
    value = training_file(study_file(small_study), tmp_path / "run")["val_size"]
    assert (value, type(value)) == (5, int)
    small_study["recipes"]["full"]["val_size"] = 5.5
    with pytest.raises(StudyError, match=r"val_size 5\.5 is neither a number of rows nor a share"):
        read_study(small_study, "s.yaml")


@pytest.mark.parametrize(
    ("template", "rate", "warned"),
    [
        ("full", 1.0, "too high"),
        ("full", 1.0e-5, ""),
        ("lora", 2.0e-3, ""),
        ("lora", 1e-9, "too low"),
    ],
)
def test_a_learning_rate_far_from_the_usual_is_warned_of(
    small_study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    template: str,
    rate: float,
    warned: str,
) -> None:
    small_study["students"] = ["Qwen2.5-0.5B-Instruct"]
    small_study["recipes"]["full"] |= {"template": template, "learning_rate": rate}
    path = study_file(small_study)
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 0
    assert ("is most likely" in capsys.readouterr().err) == bool(warned)
    assert main(["check", str(path)]) == 0
    shown = capsys.readouterr()
    assert warned in shown.out + shown.err
    assert ("is most likely" in shown.out + shown.err) == bool(warned)


def test_students_that_are_randomly_initialised_may_have_high_learning_rates(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["recipes"]["full"]["learning_rate"] = 0.5
    assert generate(str(study_file(small_study)), tmp_path / "run").warnings == ()
