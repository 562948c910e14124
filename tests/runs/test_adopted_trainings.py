"""A training that a person started with the generated file counts; anything else is put aside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.hosts.llamafactory.trained_with import why_not_trained_with
from cotdistill.runfolder.generate import generate
from cotdistill.runs.step import run_step

CARD = """---
base_model: {model}
tags: [llama-factory, full]
---
This model is a fine-tuned version of [{model}](https://x/{model}) on the {arm} dataset.

The following hyperparameters were used during training:
- learning_rate: {rate}
- train_batch_size: 8
- seed: 42
- lr_scheduler_type: SchedulerType.COSINE
- training_steps: 2
"""
FILE = """# Run it: llamafactory-cli train a.yaml
model_name_or_path: some/model
dataset: long
learning_rate: 0.00001
per_device_train_batch_size: 8
gradient_accumulation_steps: 1
seed: 42
lr_scheduler_type: cosine
max_steps: 2
"""


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A training file, and what the host leaves of a training with it a minute later."""
    file, output = tmp_path / "a.yaml", tmp_path / "out"
    output.mkdir()
    file.write_text(FILE)
    (output / "model.safetensors").write_text("weights")
    totals = {"train_runtime": 20.0, "train_loss": 0.5}
    (output / "train_results.json").write_text(json.dumps(totals))
    (output / "README.md").write_text(CARD.format(model="some/model", arm="long", rate="1e-05"))
    written = file.stat().st_mtime
    os.utime(output / "train_results.json", (written + 60, written + 60))
    return file, output


def test_a_whole_training_whose_card_agrees_with_an_older_file_is_one_of_it(
    trained: tuple[Path, Path],
) -> None:
    file, output = trained
    assert why_not_trained_with(output, file, []) == ""


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({"rate": "2e-05"}, "trained with another learning_rate"),
        ({"arm": "short"}, "trained with another dataset"),
        ({"model": "other/model", "rate": "1"}, "another learning_rate, model_name_or_path"),
    ],
)
def test_a_card_that_says_something_else_is_another_training(
    trained: tuple[Path, Path], card: dict[str, str], why: str
) -> None:
    file, output = trained
    shown = CARD.format(**{"model": "some/model", "arm": "long", "rate": "1e-05", **card})
    (output / "README.md").write_text(shown)
    assert why in why_not_trained_with(output, file, [])


def test_files_written_after_the_training_began_are_not_what_it_read(
    trained: tuple[Path, Path],
) -> None:
    file, output = trained
    later = file.stat().st_mtime + 50
    rows = file.with_name("long.jsonl")
    rows.write_text("{}")
    os.utime(rows, (later, later))
    wrong = "long.jsonl was written after the training began"
    assert why_not_trained_with(output, file, [rows]) == wrong
    os.utime(file, (later, later))
    assert why_not_trained_with(output, file, []) == "a.yaml was written after the training began"


def test_a_training_that_has_not_ended_or_a_broken_card_is_not_adopted(
    trained: tuple[Path, Path],
) -> None:
    file, output = trained
    (output / "README.md").write_text("---\n: [\n---")
    assert why_not_trained_with(output, file, []) == "its model card cannot be read"
    (output / "train_results.json").unlink()
    assert why_not_trained_with(output, file, []) == "wrote no train_results.json"


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.timeout(300)
def test_what_the_stock_command_trained_is_adopted_by_run(
    small_study: dict[str, Any],
    study_file: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del small_study["arms"]["answer-only"]
    folder = (tmp_path / "run").resolve()
    generate(str(study_file(small_study)), folder)
    for name in ("fine", "tiny--fine", "fine+lengths"):
        assert run_step(folder, "prepare", name) == 0
    run = "tiny--fine--full--s42"
    words = [sys.executable, "-m", "llamafactory.cli", "train", str(folder / f"train/{run}.yaml")]
    subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    weights = (folder / f"checkpoints/{run}/model.safetensors").read_bytes()
    assert main(["run", str(folder), "--dry-run", "--only", "train"]) == 0
    line = f"would adopt checkpoints/{run}: it was trained with train/{run}.yaml\n"
    assert line in capsys.readouterr().err

    assert run_step(folder, "train", run) == 0

    assert (folder / f"checkpoints/{run}/model.safetensors").read_bytes() == weights
    assert not (folder / "stale").exists()
    record = json.loads((folder / f"done/train/{run}.json").read_text())
    assert record["notes"]["start"] == f"adopted: it was trained with train/{run}.yaml"
