"""Encoder-decoder students on transformers' own trainer, with tiny T5 models."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from cotdistill.cli.main import main
from cotdistill.distill.resuming import UNFINISHED, resuming_from
from cotdistill.distill.seq2seq_file import Seq2SeqFile, read_seq2seq_file
from cotdistill.distill.settings import Teacher
from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.forward import Distiller, install_student, install_teacher
from cotdistill.distill.trainer.seq2seq import train_seq2seq
from cotdistill.distill.trainer.seq2seq_models import load_seq2seq_teacher
from cotdistill.errors import FaultsError
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.tokenizer import load_tokenizer
from host_checkpoint import checkpoint
from naive_distillation import loss as naive_loss
from tiny_t5 import folder_with_models, t5, training_file

VOCABULARY = 296


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_is_that_of_the_models_own_logits(tied: bool) -> None:
    """T5 v1.0 scales its tied head; v1.1 and FLAN-T5 have a head of their own."""
    student, teacher = t5(tied=tied).train(), t5(seed=1, width=24, tied=tied).eval()
    numbers = torch.Generator().manual_seed(1)
    ids = torch.randint(3, VOCABULARY, (2, 9), generator=numbers)
    labels = torch.randint(3, VOCABULARY, (2, 6), generator=numbers)
    labels[1, 4:] = -100
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    keep = labels != -100
    objective = Objective(0.7, 0.3, "forward_kl", 2.0)
    theirs = teacher(**given).logits[keep].detach()[:, :VOCABULARY]
    ours = student(**given).logits[keep][:, :VOCABULARY]
    expected = naive_loss(objective, ours, theirs, labels[keep])
    wanted = torch.autograd.grad(expected, list(student.parameters()), allow_unused=True)
    install_teacher(teacher)
    install_student(student, Distiller(objective, VOCABULARY, teacher, chunk=4))
    value = student(**given, num_items_in_batch=1).loss
    found = torch.autograd.grad(value, list(student.parameters()), allow_unused=True)
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
    for left, right in zip(found, wanted, strict=True):
        if right is not None:
            torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)


def test_adapters_on_q_and_v_learn_and_nothing_else_does() -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q", "v"], task_type="SEQ_2_SEQ_LM")
    student, teacher = get_peft_model(t5(), config).train(), t5(seed=1, width=24).eval()
    numbers = torch.Generator().manual_seed(1)
    ids, labels = (torch.randint(3, VOCABULARY, (2, n), generator=numbers) for n in (9, 6))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    objective = Objective(0.7, 0.3, "forward_kl", 2.0)
    theirs = teacher(**given).logits.detach().flatten(0, 1)[:, :VOCABULARY]
    ours = student(**given).logits.flatten(0, 1)[:, :VOCABULARY]
    expected = naive_loss(objective, ours, theirs, labels.flatten())
    install_teacher(teacher)
    install_student(student, Distiller(objective, VOCABULARY, teacher, chunk=4))
    value = student(**given, num_items_in_batch=1).loss
    value.backward()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
    learning = {name for name, p in student.named_parameters() if p.grad is not None}
    assert learning
    assert all("lora_" in name for name in learning)


def adapted(base: Path, folder: Path, seed: int = 1) -> Path:
    """Write adapters on q and v that change what a model says."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=2, target_modules=["q", "v"], init_lora_weights=False)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    torch.manual_seed(seed)
    get_peft_model(model, config).save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Already found a .peft_config.:UserWarning")  # the second ones
def test_a_teacher_has_its_adapters_merged_into_it(tmp_path: Path) -> None:
    from peft import PeftModel

    base, small = tmp_path / "base", tmp_path / "small"
    t5(seed=1, width=24).save_pretrained(base)
    t5().save_pretrained(small)
    names = [adapted(base, tmp_path / str(seed), seed) for seed in (1, 2)]
    source = Teacher(model=str(base), adapters=", ".join(map(str, names)))
    teacher = load_seq2seq_teacher(source, torch.float32, "t.yaml:kd.teacher")
    ids = torch.arange(3, 12)[None]
    given = {"input_ids": ids, "decoder_input_ids": ids}
    with torch.no_grad():
        expected = t5(seed=1, width=24).eval()
        bare = expected(**given).logits
        for name in names:
            expected = PeftModel.from_pretrained(expected, name).merge_and_unload()
        assert not torch.allclose(teacher(**given).logits, bare, atol=1e-2)
        torch.testing.assert_close(teacher(**given).logits, expected(**given).logits)
    assert not teacher.training
    assert not [name for name, one in teacher.named_parameters() if one.requires_grad]
    assert not [name for name, _ in teacher.named_modules() if "lora" in name]
    others = Teacher(model=str(base), adapters=str(adapted(small, tmp_path / "others")))
    with pytest.raises(FaultsError, match=r"kd.teacher.adapters: .* cannot be put on") as caught:
        load_seq2seq_teacher(others, torch.float32, "t.yaml:kd.teacher")
    assert "\n" not in str(caught.value)


@pytest.mark.host
def test_only_chosen_rows_learn_from_an_adapted_teacher(tmp_path: Path) -> None:
    folder = folder_with_models(tmp_path)
    rows = [
        {"q": f"{n}?", "a": f"{text} --> {n}", "source": source}
        for n in range(8)
        for source, text in (("teacher", "One two three four."), ("mentor", "Four three two one."))
    ]  # rationales of one question with as many tokens, and more than it has
    (folder / "rows.json").write_text(json.dumps(rows))
    logged = {}
    for name, more in (
        ("base", {}),
        ("adapted", {"adapters": str(adapted(folder / "teacher", folder / "adapters"))}),
    ):
        kd = {"teacher": {"model": str(folder / "teacher"), **more}, "preset": "mentor-kd"}
        file = training_file(
            folder, name, kd=kd | {"rows": {"source": "mentor"}}, max_steps=1, val_size=None,
            best_epoch=False, per_device_train_batch_size=16,
        )  # fmt: skip
        assert train_seq2seq(read_seq2seq_file(read_yaml(file), str(file)), str(file)) == 0
        logged[name] = json.loads((folder / "out" / name / "kd_summary.json").read_text())
    assert logged["base"]["ce"] == logged["adapted"]["ce"]
    assert logged["base"]["kd"] != pytest.approx(logged["adapted"]["kd"], rel=1e-3)
    tokenizer = load_tokenizer(str(folder / "student"))
    tokens = sum(
        len(tokenizer(row["a"])["input_ids"]) + 1 for row in rows if row["source"] == "mentor"
    )
    assert [one["kd_tokens"] for one in logged.values()] == [tokens, tokens]
    assert logged["base"]["tokens"] > 1.9 * tokens


@pytest.mark.host
def test_a_student_is_trained_and_its_best_epoch_and_answers_are_kept(tmp_path: Path) -> None:
    folder = folder_with_models(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "cotdistill", "train", str(training_file(folder))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    out = folder / "out" / "t5"
    state = json.loads((out / "trainer_state.json").read_text())
    lines = [line for line in state["log_history"] if "loss" in line]
    assert all({"ce", "kd", "kd_share", "kd_agreement"} <= set(line) for line in lines)
    for line in lines:
        assert line["loss"] == pytest.approx(0.7 * line["ce"] + 0.3 * line["kd"], abs=1e-3)
    assert lines[-1]["ce"] < lines[0]["ce"]
    answered = sorted(out.glob("predictions-*.jsonl"))
    assert len(answered) == 2
    rows = [json.loads(line) for line in answered[0].read_text().splitlines()]
    assert len(rows) == 8
    assert set(rows[0]) == {"question", "prediction", "label", "correct"}
    asked = {row["question"] for row in rows}
    assert len(asked) == 8
    assert state["best_metric"] is not None
    assert (out / "model.safetensors").is_file()
    assert (out / "kd_summary.json").is_file()
    assert not (out / UNFINISHED).exists()


@pytest.mark.host
def test_faults_of_such_a_file_are_named_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_with_models(tmp_path)
    causal = str(folder / "made")
    otherwise = shutil.copytree(folder / "teacher", folder / "otherwise")
    parsed = json.loads((otherwise / "tokenizer.json").read_text())
    parsed["model"]["merges"] = parsed["model"]["merges"][:-5]
    (otherwise / "tokenizer.json").write_text(json.dumps(parsed))
    registry = json.loads((folder / "dataset_info.json").read_text())
    registry["numbers"] = registry["rows"] | {"file_name": "numbers.json"}
    (folder / "dataset_info.json").write_text(json.dumps(registry))
    (folder / "numbers.json").write_text('[{"q": "1 + 1?", "a": "2"}, {"q": "1 + 2?", "a": 3}]')
    for changes, message in (
        ({"dataset": "numbers"}, "numbers.json: row 2: no text in 'a'; expected a text"),
        ({"lerning_rate": 1}, "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ({"val_size": 0}, "best_epoch: the best epoch is chosen on development questions"),
        ({"dataset": "other"}, "no dataset 'other'"),
        ({"kd": {"teacher": {"signals": "s"}}}, "stored signals are those of a causal model"),
        (
            {"kd": {"teacher": {"model": str(folder / "teacher"), "quantization": 8}}},
            "kd.teacher.quantization: 8 bits were not tried with an encoder-decoder",
        ),
        (
            {"kd": {"teacher": {"model": str(folder / "teacher"), "adapters": causal}}},
            "kd.teacher.adapters: " + causal + " cannot be read",
        ),
        ({"kd": {"teacher": str(otherwise)}}, "is encoded otherwise, from token"),
        ({"kd": {"teacher": causal}}, "made is no encoder-decoder; expected as T5"),
        ({"model_name_or_path": causal}, "made is no encoder-decoder; expected as T5"),
        ({"kd": {"teacher": str(folder / "nowhere")}}, "cannot be read"),
    ):
        assert main(["train", str(training_file(folder, **changes))]) == 1
        shown = capsys.readouterr().err.strip().splitlines()
        assert message in shown[-1], shown
        assert not (folder / "out").exists()


@pytest.mark.host
@pytest.mark.slow
def test_two_processes_answer_each_development_question_once_and_alike(tmp_path: Path) -> None:
    folder = folder_with_models(tmp_path)
    answered = {}
    for count in ("1", "2"):
        # batches of 3 in two processes: the 8 questions are filled up to 12
        file = training_file(folder, count, per_device_eval_batch_size=3, learning_rate=1e-9)
        processes = {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": count, "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [sys.executable, "-m", "cotdistill", "train", str(file)],
            env=os.environ | processes, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        last = max((folder / "out" / count).glob("predictions-*.jsonl"))
        answered[count] = last.read_text()
    assert len(answered["1"].splitlines()) == 8
    assert answered["1"] == answered["2"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"disable_tqdm": False}, ""),
        ({"learning_rate": 0.5, "seed": 1}, "were made with another learning_rate, seed"),
        ({"rows": "[]"}, "were made with another rows"),
        ({"finished": True}, "are of a finished training, or of unknown settings"),
        ({"overwrite_output_dir": True}, "are not to be resumed from (overwrite_output_dir)"),
    ],
)
def test_an_encoder_decoder_goes_on_only_from_checkpoints_of_the_same_settings_and_rows(
    changes: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, out = tmp_path / "rows.json", tmp_path / "out"
    rows.write_text("[1]")
    registry = {"rows": {"file_name": "rows.json"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(registry))
    given = {
        "stage": "seq2seq", "model_name_or_path": "t5", "dataset_dir": str(tmp_path),
        "dataset": "rows", "output_dir": str(out),
    }  # fmt: skip
    assert resuming_from(Seq2SeqFile.model_validate(given)) is None
    newest = checkpoint(out, 10)
    rows.write_text(changes.pop("rows", "[1]"))
    if changes.pop("finished", False):
        (out / UNFINISHED).unlink()
    again = Seq2SeqFile.model_validate(given | changes)
    assert resuming_from(again) == (None if why else str(newest))
    note = "resuming from checkpoint-10"
    if why:
        note = f"starting again: the checkpoints in {out} {why}; moved to {out}/stale"
        assert (out / "stale" / "001" / "checkpoint-10").is_dir()
        assert not newest.exists()
    assert capsys.readouterr().err == f"note: {note}\n"


def test_the_stock_host_does_not_know_the_stage() -> None:
    from cotdistill.hosts.llamafactory.arguments import training_argument_faults

    (fault,) = training_argument_faults({"stage": "seq2seq"}, "t.yaml")
    assert "stage: 'seq2seq'" in str(fault)
