"""Signals that are captured through the real host, and trainings from them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.distill.signals.manifest import read_manifest
from cotdistill.files.locks import only_writer
from tiny_models import build, losses, training_file, write_rows

pytestmark = pytest.mark.host

KD: dict[str, Any] = {"temperature": 2.0, "weight": 0.5}
PACKED = {
    "packing": True, "neat_packing": True, "cutoff_len": 96, "per_device_train_batch_size": 2,
    "num_train_epochs": 2, "max_steps": -1, "save_strategy": "steps", "save_steps": 3,
}  # fmt: skip
Made = tuple[Path, dict[str, str], str]


def words(folder: Path, name: str, out: str, *more: str, teacher: str = "teacher") -> str:
    options = ["--teacher", str(folder / teacher), "-o", str(folder / out), *more]
    return " ".join(["capture", str(folder / f"{name}.yaml"), *options])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Capture and train everything in one process; return folder, endings and what was printed."""
    folder = tmp_path_factory.mktemp("captured")
    build(folder / "student")
    build(folder / "teacher", width=24, seed=1)
    shutil.copytree(folder / "teacher", folder / "broken")
    with (folder / "broken" / "model.safetensors").open("r+b") as weights:
        weights.truncate(weights.seek(0, 2) // 2)
    shutil.copytree(folder / "student", folder / "no-ids")
    vocabulary = json.loads((folder / "no-ids" / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary["model"]["vocab"] = dict.fromkeys(vocabulary["model"]["vocab"], "no id")
    (folder / "no-ids" / "tokenizer.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    write_rows(folder)
    online = {"kd": {"teacher": str(folder / "teacher"), **KD}}
    full = {"kd": {"teacher": {"signals": str(folder / "full")}, **KD}}
    few = {"kd": {"teacher": {"signals": str(folder / "few")}, **KD}}
    resumed = {"resume_from_checkpoint": str(folder / "out" / "packed" / "checkpoint-3")}
    cases = {
        "plain": {},
        "online": online,
        "stored": full,
        "few online": {"kd": online["kd"] | {"top_k": 16}},
        "few stored": few,
        "packed": PACKED | few,
        "resumed": PACKED | few | resumed,
        "packed online": PACKED | {"kd": online["kd"] | {"top_k": 16}},
        "other template": few | {"template": "alpaca"},
        "other cutoff": few | {"cutoff_len": 24},
        "more tokens": {"kd": few["kd"] | {"top_k": 32}},
        "other temperature": {"kd": few["kd"] | {"temperature": 3.0}},
        "no-ids": {"model_name_or_path": str(folder / "no-ids")},
        "other teacher": {"kd": few["kd"] | {"teacher": {"model": "x", **few["kd"]["teacher"]}}},
    }
    for name, change in cases.items():
        training_file(folder, name, change)
    both = ["--temperature", "2"]
    script = Path(__file__).parents[1] / "support" / "train_many.py"
    steps = {
        "full": words(folder, "plain", "full", *both, "--top-k", "500"),
        "few": words(folder, "plain", "few", *both, "--top-k", "16"),
        "broken": words(folder, "plain", "from-broken", teacher="broken"),
        "another k": words(folder, "plain", "few", *both, "--top-k", "8"),
        "of no ids": words(folder, "no-ids", "of-no-ids"),
        "held": words(folder, "plain", "held"),
        **{name: str(folder / f"{name}.yaml") for name in cases if name != "no-ids"},
        "again": words(
            folder, "plain", "few", *both, "--top-k", "16"
        ),  # its output folder is there
    }
    with only_writer(folder / "held" / ".lock"):
        done = subprocess.run(
            [sys.executable, str(script), *steps.values()],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    endings = json.loads(done.stdout.splitlines()[-1])
    return folder, dict(zip(steps, endings, strict=True)), done.stdout + done.stderr


def test_captures_and_trainings_from_them_work(made: Made) -> None:
    good = ["full", "few", "again", "stored", "few stored", "packed", "resumed", "packed online"]
    assert [made[1][name] for name in good] == ["ok"] * len(good)


def test_stored_signals_of_the_whole_vocabulary_train_as_the_teacher_in_memory_does(
    made: Made,
) -> None:
    """The only difference is the rounding to 1/12 nat."""
    for key, near in (("loss", 2e-3), ("ce", 1e-3), ("kd", 2e-2), ("grad_norm", 1e-2)):
        found, expected = losses(made[0], "stored", key), losses(made[0], "online", key)
        assert found == pytest.approx(expected, rel=near), key


def test_a_few_stored_tokens_train_as_the_same_few_of_a_teacher_in_memory(made: Made) -> None:
    for key, near in (("loss", 2e-3), ("ce", 1e-3), ("kd", 3e-2)):
        found, expected = losses(made[0], "few stored", key), losses(made[0], "few online", key)
        assert found == pytest.approx(expected, rel=near), key


def test_packing_two_epochs_and_shuffling_find_each_row_again(made: Made) -> None:
    found, expected = losses(made[0], "packed"), losses(made[0], "packed online")
    assert len(found) == len(expected) >= 8
    assert found == pytest.approx(expected, rel=3e-3)
    summary = json.loads((made[0] / "out" / "packed" / "kd_summary.json").read_text())
    assert summary["kd_tokens"] == summary["tokens"]


def test_a_training_that_resumes_within_an_epoch_ends_with_the_same_weights(made: Made) -> None:
    folder = made[0]
    assert losses(folder, "resumed")[3:] == losses(folder, "packed")[3:]
    files = [folder / "out" / name / "model.safetensors" for name in ("resumed", "packed")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_the_manifest_says_what_was_captured(made: Made) -> None:
    manifest = read_manifest(made[0] / "few", "t")
    assert (manifest.rows, manifest.job.top_k) == (48, 16)
    assert manifest.job.temperatures == (1.0, 2.0)
    assert manifest.job.rows["template"] == "chatml"
    assert set(manifest.weights) == {"model.safetensors"}
    assert 0 < manifest.mass_worst < manifest.mass_mean < 1
    assert read_manifest(made[0] / "full", "t").mass_mean == pytest.approx(1.0, abs=1e-4)
    assert "few: 48 rows" in made[2]


def test_a_finished_capture_is_not_repeated_and_another_one_is_refused(made: Made) -> None:
    assert made[1]["another k"] == "failed"
    assert "few: holds signals captured with top_k 16, not 8; choose another folder" in made[2]


def test_a_teacher_that_the_host_cannot_load_is_named_with_what_the_host_says(made: Made) -> None:
    assert made[1]["broken"] == "failed"
    assert f"{made[0] / 'broken'}: LLaMA-Factory cannot load it as the teacher (" in made[2]


def test_a_folder_that_another_capture_is_writing_is_left_to_it(made: Made) -> None:
    assert made[1]["held"] == "failed"
    assert f"{made[0] / 'held'}: another program is writing it (process " in made[2]
    assert [path.name for path in (made[0] / "held").iterdir()] == [".lock"]


def test_a_student_s_tokenizer_that_cannot_be_loaded_is_named(made: Made) -> None:
    assert made[1]["of no ids"] == "failed"
    assert f"{made[0] / 'no-ids'}: has no tokenizer that can be loaded (" in made[2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other template", "48 of 48 rows have no signals, the first is row 1: template is 'alpaca'"
         " here and was 'chatml'"),
        ("other cutoff", "cutoff_len is 24 here and was 96"),
        ("more tokens", "the signals hold 16 tokens of the teacher; expected at least 32"),
        ("other temperature", "the signals were captured for T = 1, 2; expected T = 3; capture with"
         " --temperature 3"),
        ("other teacher", "the signals are those of "),
    ],
)  # fmt: skip
def test_signals_of_something_else_are_refused_with_the_difference(
    name: str, message: str, made: Made
) -> None:
    ending = made[1][name]
    assert message in ending
    assert "\n" not in ending
    assert not (made[0] / "out" / name).exists()
