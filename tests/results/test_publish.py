"""`export`: records of Every Eval Ever, logs of Inspect, cards, and what is pushed to a hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from cotdistill.cli.main import main
from cotdistill.files.locks import only_writer
from cotdistill.runfolder.generate import generate
from hub_server import hub
from run_folder import add_scores, add_training

INSPECT = os.environ.get("COTDISTILL_INSPECT_PYTHON")


class Strict(BaseModel):
    """A part of the schema: names as in eval.schema.json 0.2.1, others are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Source(Strict):
    source_name: str | None = None
    source_type: str
    source_organization_name: str
    evaluator_relationship: str


class Named(Strict):
    name: str
    version: str
    additional_details: dict[str, str] = {}


class Model(Strict):
    name: str
    id: str
    developer: str
    inference_platform: str
    inference_engine: Named
    additional_details: dict[str, str]


class Result(Strict):
    evaluation_name: str
    evaluation_timestamp: str
    source_data: dict[str, Any]
    metric_config: dict[str, Any]
    score_details: dict[str, Any]
    generation_config: dict[str, Any]


class Detailed(Strict):
    format: str
    file_path: str
    hash_algorithm: str
    checksum: str
    total_rows: int


class Record(Strict):
    schema_version: str
    evaluation_id: str
    evaluation_timestamp: str
    retrieved_timestamp: str
    source_metadata: Source
    eval_library: Named
    model_info: Model
    evaluation_results: list[Result]
    detailed_evaluation_results: Detailed


@pytest.fixture
def folder(tmp_path: Path, study_file: Callable[[Any], Path], small_study: Any) -> Path:
    """A generated run folder of a small study in which one of two runs has finished."""
    small_study["name"] = "levels"
    made = generate(str(study_file(small_study)), tmp_path / "run").folder
    add_training(made, "tiny--fine--full--s42")
    add_scores(made, "tiny--fine--full--s42", [True, True, False, True], "cot_gsm8k")
    weights = made / "checkpoints/tiny--fine--full--s42"
    (weights / "model.safetensors").write_bytes(b"weights")
    (weights / "config.json").write_text("{}")
    return made


def files_of(folder: Path, ending: str) -> list[Path]:
    return sorted(path for path in folder.rglob(f"*{ending}") if path.is_file())


def test_a_record_has_the_schema_of_every_eval_ever(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder), "--format", "every-eval-ever"]) == 0
    out = capsys.readouterr()
    assert out.out.splitlines() == ["1 record", "1 question file"]
    assert "tiny--answer-only--full--s42: training not finished; left out" in out.err
    (path,) = files_of(folder / "published/every_eval_ever", ".json")
    assert path.parent.parts[-3:] == ("cot_gsm8k", "levels", "tiny--fine--full--s42")
    record = Record.model_validate_json(path.read_text())
    assert record.model_info.id == "levels/tiny--fine--full--s42"
    assert record.model_info.additional_details["arm"] == "fine"
    (result,) = record.evaluation_results
    assert result.score_details["score"] == 0.75
    assert result.score_details["uncertainty"]["confidence_interval"]["lower"] < 0.75
    assert record.retrieved_timestamp == "1767323045"
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert [row["evaluation"] for row in rows] == [
        {"score": float(right), "is_correct": right} for right in (True, True, False, True)
    ]
    assert {row["evaluation_id"] for row in rows} == {record.evaluation_id}
    assert rows[0]["input"]["reference"] == ["1"]
    assert rows[0]["output"]["raw"] == ["So it is \\boxed{1}."]


def test_the_same_folder_gives_the_same_bytes_and_what_is_gone_is_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(folder)]) == 0
    first = {path: path.read_bytes() for path in files_of(folder / "published", "")}
    assert main(["export", str(folder)]) == 0
    assert {path: path.read_bytes() for path in files_of(folder / "published", "")} == first
    assert main(["export", str(folder), "--format", "cards"]) == 0
    assert "removed 3 files of an earlier export" in capsys.readouterr().err
    assert files_of(folder / "published/inspect", ".json") == []


def test_files_of_others_are_not_touched(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "notes.txt").write_text("mine")
    assert main(["export", str(folder), "-o", str(theirs)]) == 2
    assert "not an empty folder, and not an earlier export" in capsys.readouterr().err
    assert [path.name for path in theirs.iterdir()] == ["notes.txt"]
    assert main(["export", str(folder), "-o", str(folder)]) == 2


def test_an_export_under_way_keeps_a_second_one_away_and_a_broken_off_one_is_ended(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = folder / "published"
    with only_writer(target / ".export.lock"):
        assert main(["export", str(folder)]) == 1
        assert "another program is writing it" in capsys.readouterr().err
        assert [path.name for path in target.iterdir()] == [".export.lock"]
    assert main(["export", str(folder)]) == 0
    assert files_of(target, ".json")


def test_a_card_names_arm_ledger_teacher_licence_decontamination_and_study(folder: Path) -> None:
    assert main(["export", str(folder), "--format", "cards"]) == 0
    card = (folder / "published/models/tiny--fine--full--s42/README.md").read_text()
    _, header, text = card.split("---\n", 2)
    assert yaml.safe_load(header)["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.75
    assert "A randomly initialised model fine-tuned on the training set `fine` of the study" in text
    assert "| fine | generated puzzles | not stated | made by rule |" in text
    assert "| kept | 40 |" in text
    assert "No rows were dropped for overlap with test questions." in text
    assert "| cot_gsm8k | exact_match | 75.0 % [" in text
    assert "learning_rate: 0.002" in text
    assert str(folder) not in card
    rows = (folder / "published/datasets/fine/README.md").read_text()
    assert "puzzles: digit-sum" in rows


def test_a_log_has_a_sample_for_each_response(folder: Path) -> None:
    assert main(["export", str(folder), "--format", "inspect"]) == 0
    (path,) = files_of(folder / "published/inspect", ".json")
    log = json.loads(path.read_text())
    assert (log["version"], log["status"], log["eval"]["task"]) == (2, "success", "cot_gsm8k")
    assert [one["scores"]["cotdistill"]["value"] for one in log["samples"]] == [1.0, 1.0, 0.0, 1.0]
    assert log["results"]["scores"][0]["metrics"]["accuracy"]["value"] == 0.75


@pytest.mark.skipif(not INSPECT, reason="set COTDISTILL_INSPECT_PYTHON to a python with inspect_ai")
def test_inspect_reads_the_log(folder: Path) -> None:
    assert main(["export", str(folder), "--format", "inspect"]) == 0
    (path,) = files_of(folder / "published/inspect", ".json")
    code = (
        "import sys; from inspect_ai.log import read_eval_log; log = read_eval_log(sys.argv[1]); "
        "print(log.eval.task, len(log.samples), log.results.scores[0].metrics['accuracy'].value, "
        "log.samples[0].output.completion, log.samples[2].scores['cotdistill'].value)"
    )
    done = subprocess.run(
        [str(INSPECT), "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[0] == "cot_gsm8k 4 0.75 So it is \\boxed{1}. 0.0", done.stderr


def test_nothing_finished_is_a_fault(
    tmp_path: Path,
    study_file: Callable[[Any], Path],
    small_study: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = generate(str(study_file(small_study)), tmp_path / "run").folder
    assert main(["export", str(made)]) == 1
    assert "no run has a score" in capsys.readouterr().err
    assert not (made / "published").exists()


def pushed(folder: Path, address: str, token: str) -> subprocess.CompletedProcess[str]:
    words = ["export", str(folder), "--format", "cards", "--push", "lab"]
    own = {"HF_ENDPOINT": address, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "cotdistill", *words],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.host
def test_models_and_datasets_are_pushed_with_their_cards(folder: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with hub("secret") as taken:
        done = pushed(folder, taken.address, "secret")
        assert done.returncode == 0, done.stderr
        again = pushed(folder, taken.address, "secret")
        assert again.returncode == 0, again.stderr
        refused = pushed(folder, taken.address, "another")
    assert set(taken.repositories) == {"lab/levels-tiny-fine-full-s42", "lab/levels-fine"}
    assert all(one["private"] for one in taken.repositories.values())
    model = taken.files["models/lab/levels-tiny-fine-full-s42"]
    assert model["model.safetensors"] == b"weights"
    assert set(model) == {"README.md", "config.json", "model.safetensors"}
    rows = taken.files["datasets/lab/levels-fine"]
    assert rows["data/train.jsonl"] == (folder / "data/fine.jsonl").read_bytes()
    assert rows["README.md"].startswith(b"---\n")
    assert "pushed http://127.0.0.1" in done.stdout
    assert refused.returncode == 1
    assert "not pushed" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "another" not in refused.stderr
