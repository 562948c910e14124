"""Studies with encoder-decoder students: what is generated, and a whole small one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.distill.seq2seq_file import seq2seq_key_faults
from cotdistill.errors import StudyError
from cotdistill.files.jsonl import read_rows
from cotdistill.files.yamls import read_yaml
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.runfolder.manifest import read_manifest
from tiny_models import PAIRED, ROWS, build
from tiny_t5 import build_t5

StudyFile = Callable[[dict[str, Any]], Path]
KD = "student--mentored--kd--s1"


@pytest.fixture
def mentored(tmp_path: Path) -> dict[str, Any]:
    """A mentor learns from a teacher's chains and samples more; the student learns from both."""
    pytest.importorskip("torch")
    made = build(tmp_path / "made")
    build_t5(tmp_path / "large", made, seed=1, width=24)
    build_t5(tmp_path / "small", made)
    with (tmp_path / "questions.jsonl").open("w") as stream:
        for row in ROWS:
            line = {"question": row["instruction"], "gold": "1", "kind": "number"}
            stream.write(json.dumps(line) + "\n")
    texts = ("It is {0}.", "So {0}.", "{0}.")
    chains = [
        {"instruction": row["instruction"], "output": texts[n % 3].format(1)}
        for n, row in enumerate(PAIRED)
    ]  # so short that a mentor learns in a few steps to end them
    (tmp_path / "chains.json").write_text(json.dumps(chains))
    kd = {"teacher": "mentor", "preset": "mentor-kd"}
    return {
        "schema_version": 2,
        "name": "mentored",
        "models": {
            "large": {"model": str(tmp_path / "large"), "template": "empty"},
            "student": {"model": str(tmp_path / "small"), "template": "empty"},
            "mentor": {"run": {"model": "large", "arm": "chains", "recipe": "mentor", "seed": 1}},
        },
        "students": ["large", "student"],
        "prompt": {"instruction": "none"},
        "questions": {"sums": {"file": str(tmp_path / "questions.jsonl"), "dev": 6}},
        "arms": {
            "chains": {"file": str(tmp_path / "chains.json")},
            "mentored": {
                "sample": {"questions": "sums", "model": "mentor", "strategy": "vanilla",
                           "samples": 2, "temperature": 0.1, "max_tokens": 24, "keep": "all"},
                "with": ["chains"],
            },
        },
        "recipes": {
            "ce": {
                "students": ["student"], "arms": ["chains"], "epochs": 2, "learning_rate": 1.0e-3,
                "global_batch": 8, "per_device_batch": 8, "cutoff_len": 64, "precision": "fp32",
            },
            "mentor": {
                "extends": "ce", "students": ["large"], "epochs": 40, "learning_rate": 1.0e-2
            },
            "kd": {"extends": "ce", "students": ["student"], "arms": ["mentored"], "kd": kd},
            "hidden": {"extends": "kd", "template": "lora",
                       "kd": kd | {"hidden_weight": 0.5, "rows": {"source": "chains"}}},
            "mcc": {"extends": "ce", "students": ["student"], "arms": ["chains"],
                    "kd": {"preset": "mcc-kd", "weight": 1.0}},
        },
        "seeds": [1],
        "hardware": {"gpus": 0},
        "evaluation": {"tasks": ["dev_sums"], "backend": "hf",
                       "generation": {"max_gen_toks": 8}},
    }  # fmt: skip


def test_training_files_are_our_own_and_nothing_is_asked_through_a_chat_template(
    mentored: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    root = generate(str(study_file(mentored)), tmp_path / "run").folder
    train = read_yaml(root / f"train/{KD}.yaml")
    assert (train["stage"], train["eval_dataset"], train["best_epoch"]) == (
        "seq2seq", "dev-rows-sums", True
    )  # fmt: skip
    assert seq2seq_key_faults(train, "t.yaml") == []
    assert "# distillation: " in (root / f"train/{KD}.yaml").read_text()
    assert read_yaml(root / f"train/{KD}.kd.yaml")["teacher"]["model"].endswith(
        "checkpoints/large--chains--mentor--s1"
    )
    jobs = read_declared_jobs(root) or {}
    for job in jobs.values():
        if job.stage == "train":
            assert job.command[:2] == ("cotdistill", "train")
    assert not any(job.stage == "export" for job in jobs.values())
    evaluation = read_yaml(root / f"eval/{KD}.yaml")
    assert evaluation["model_args"]["backend"] == "seq2seq"
    assert evaluation["apply_chat_template"] is False
    assert ("train", "large--chains--mentor--s1") in jobs["sample", "mentored"].needs
    registry = json.loads((root / "dataset_info.json").read_text())
    assert registry["dev-rows-all"]["file_name"].endswith("data/dev/all.rows.jsonl")
    assert main(["check", str(root)]) == 0  # rows that a run will sample are no fault


def test_a_run_whose_development_questions_change_is_trained_again(
    mentored: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    before = generate(str(study_file(mentored)), tmp_path / "run").folder
    digests = {run.run: run.sha256.train for run in read_manifest(before)}
    mentored["questions"]["sums"]["largest_number"] = 7
    root = generate(str(study_file(mentored)), tmp_path / "run").folder
    assert read_yaml(root / f"train/{KD}.yaml")["eval_dataset"] == "dev-rows-sums-up-to-7"
    registry = json.loads((root / "dataset_info.json").read_text())
    assert {name for name in registry if name.startswith("dev-rows-")} == {
        "dev-rows-sums-up-to-7", "dev-rows-all-sums-up-to-7"
    }  # fmt: skip
    after = {run.run: run.sha256.train for run in read_manifest(root)}
    assert all(after[run] != digest for run, digest in digests.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"packing": "neat"},
            "recipes.ce.packing: does not apply to 'student', an encoder-decoder",
        ),
        ({"deepspeed": "z2"}, "recipes.ce.deepspeed: does not apply to 'student'"),
        ({"precision": "fp16"}, "recipes.ce.precision: does not apply to 'student'"),
        ({"template": "qlora"}, "recipes.ce.template: 'qlora' for 'student', an encoder-decoder"),
        ({"settings": {"lerning_rate": 1}}, "unknown key 'lerning_rate'"),
    ],
)
def test_what_an_encoder_decoder_cannot_have_is_one_line(
    change: dict[str, Any], message: str, mentored: dict[str, Any], study_file: StudyFile,
    tmp_path: Path,
) -> None:  # fmt: skip
    mentored["recipes"]["ce"] |= change
    with pytest.raises(Exception, match=r".") as caught:
        generate(str(study_file(mentored)), tmp_path / "run")
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_pairs_need_whole_pairs_in_a_batch(
    mentored: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    mentored["recipes"]["mcc"] |= {"per_device_batch": 1}
    with pytest.raises(StudyError, match="per_device_train_batch_size: 1; expected an even number"):
        generate(str(study_file(mentored)), tmp_path / "run")


@pytest.mark.slow
def test_a_mentor_is_trained_sampled_and_distilled_in_one_study(
    mentored: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    root = generate(str(study_file(mentored)), tmp_path / "run").folder
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "run", str(root)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-2000:]
    rows = list(read_rows(root / "data/mentored.jsonl"))
    assert {row["source"] for row in rows} == {"mentored", "chains"}
    dev = {row["instruction"] for row in read_rows(root / "data/dev/all.rows.jsonl")}
    assert len(dev) == 6
    assert not dev & {row["instruction"] for row in rows}
    for recipe in ("kd", "hidden"):
        out = root / f"checkpoints/student--mentored--{recipe}--s1"
        assert (out / "model.safetensors").is_file()
        assert not (out / "adapter_config.json").exists()
        summary = json.loads((out / "kd_summary.json").read_text())
        assert summary["kd_share"] > 0
        share = summary["kd_tokens"] / summary["tokens"]
        assert share == 1 if recipe == "kd" else 0 < share < 1
        answered = sorted(out.glob("predictions-*.jsonl"))
        assert len(answered) == 2
        assert len(list(read_rows(answered[0]))) == 6
    assert list((root / "scores" / KD).rglob("results_*.json"))
