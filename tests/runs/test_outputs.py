"""What hosts leave behind: whole checkpoints, a training that was none, half an evaluation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import FaultsError
from cotdistill.hosts.llamafactory.end_token import end_at_the_trained_token
from cotdistill.hosts.llamafactory.outputs import training_fault, training_now
from cotdistill.hosts.llamafactory.resume import (
    drop_optimizer_states,
    last_whole_checkpoint,
    store_last_weights_once,
)
from cotdistill.hosts.lm_eval.outputs import evaluation_fault
from cotdistill.runs.jobs import Job
from cotdistill.runs.output_folder import StartingPoint, prepare_output_folder
from cotdistill.runs.records import Attempt
from host_checkpoint import checkpoint


def test_the_newest_whole_checkpoint_is_found_by_number_not_by_name(tmp_path: Path) -> None:
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    assert last_whole_checkpoint(tmp_path) == newest


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth"])
def test_a_checkpoint_with_a_cut_file_is_passed_over(tmp_path: Path, name: str) -> None:
    older = checkpoint(tmp_path, 10)
    newer = checkpoint(tmp_path, 20)
    data = (newer / name).read_bytes()
    (newer / name).write_bytes(data[:-3])
    assert last_whole_checkpoint(tmp_path) == older


@pytest.mark.parametrize(
    "name",
    ["trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "model.safetensors"],
)
def test_a_checkpoint_without_all_that_the_next_step_needs_is_none(
    tmp_path: Path, name: str
) -> None:
    (checkpoint(tmp_path, 10) / name).unlink()
    assert last_whole_checkpoint(tmp_path) is None


def test_every_rank_must_have_saved_its_random_state(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 10)
    assert last_whole_checkpoint(tmp_path, ranks=2) is None
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    (folder / "rng_state_1.pth").write_bytes((folder / "rng_state_0.pth").read_bytes())
    assert last_whole_checkpoint(tmp_path, ranks=2) == folder


def test_the_last_checkpoint_of_all_would_train_nothing(tmp_path: Path) -> None:
    checkpoint(tmp_path, 100, steps=100)
    assert last_whole_checkpoint(tmp_path) is None


def test_inside_a_later_epoch_the_host_would_take_other_rows(tmp_path: Path) -> None:
    checkpoint(tmp_path, 16, epoch=1.6)
    assert last_whole_checkpoint(tmp_path) is None
    first = checkpoint(tmp_path, 6, epoch=0.6)
    assert last_whole_checkpoint(tmp_path) == first


def test_a_finished_training_keeps_its_weights_and_drops_what_only_resuming_needs(
    tmp_path: Path,
) -> None:
    folder = checkpoint(tmp_path, 100)
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    states = folder / "global_step100"
    states.mkdir()
    (states / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"y" * 1000)
    (folder / "latest").write_text("global_step100")
    (folder / "tokenizer.json").write_text("{}")
    before = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    freed = drop_optimizer_states(tmp_path)
    left = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert freed == before - left > 1000
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors", "tokenizer.json", "trainer_state.json",
    ]  # fmt: skip
    assert drop_optimizer_states(tmp_path) == 0


def test_a_finished_model_and_its_last_checkpoint_share_one_file(tmp_path: Path) -> None:
    earlier, last = checkpoint(tmp_path, 50), checkpoint(tmp_path, 100)
    weights = last / "model.safetensors"
    size = weights.stat().st_size
    for path, content in ((earlier, b"a"), (last, b"b"), (tmp_path, b"b")):
        (path / "model.safetensors").write_bytes(content * size)
    (last / "adapter_model.safetensors").write_bytes(b"other")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"o")
    assert store_last_weights_once(tmp_path) == size
    assert weights.samefile(tmp_path / "model.safetensors")
    assert weights.read_bytes() == b"b" * size
    assert (earlier / "model.safetensors").read_bytes() == b"a" * size
    assert (last / "adapter_model.safetensors").read_bytes() == b"other"
    assert not list(last.glob("*.link"))
    assert store_last_weights_once(tmp_path) == 0


def trained(output: Path, **results: Any) -> Path:
    output.mkdir(exist_ok=True)
    (output / "train_results.json").write_text(json.dumps(results))
    (output / "adapter_model.safetensors").write_bytes(b"")
    return output


def test_a_training_that_trained_nothing_does_not_count(tmp_path: Path) -> None:
    assert "wrote no train_results.json" in training_fault(tmp_path)
    assert training_fault(trained(tmp_path, train_runtime=12.5, train_loss=0.5)) == ""
    nothing = training_fault(trained(tmp_path, train_runtime=0.002, train_loss=0.0))
    assert "trained nothing (train_runtime 0.002, train_loss 0.0)" in nothing
    assert "no train_runtime" in training_fault(trained(tmp_path, epoch=1))
    (trained(tmp_path, train_runtime=1, train_loss=1) / "adapter_model.safetensors").unlink()
    assert "wrote no weights" in training_fault(tmp_path)


def test_an_evaluation_needs_results_and_samples(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    assert "wrote no results" in evaluation_fault(tmp_path)
    (model / "results_1.json").write_text('{"results": ')
    assert "is not whole" in evaluation_fault(tmp_path)
    (model / "results_1.json").write_text('{"results": {"t": {"acc": 1}}}')
    assert "wrote no samples" in evaluation_fault(tmp_path)
    (model / "samples_t_1.jsonl").write_text("")
    assert "samples_t_1.jsonl is empty" in evaluation_fault(tmp_path)
    (model / "samples_t_1.jsonl").write_text("{}\n")
    assert evaluation_fault(tmp_path) == ""


ATTEMPT = Attempt("running", {"settings": "a"}, "m:1:1", "r", "now")
TRAIN = Job("train", "one", output="checkpoints/one")


def start(folder: Path, before: Attempt | None, job: Job = TRAIN) -> StartingPoint:
    return prepare_output_folder(folder, job, {"settings": "a"}, before)


def test_an_interrupted_training_goes_on_and_what_came_later_is_put_aside(tmp_path: Path) -> None:
    output = tmp_path / "checkpoints/one"
    whole = checkpoint(output, 10)
    checkpoint(output, 20)
    (output / "checkpoint-20/optimizer.pt").write_bytes(b"PK cut")
    (output / "train_results.json").write_text("{}")
    rows = [json.dumps({"current_steps": step}) + "\n" for step in (5, 10, 15)]
    (output / "trainer_log.jsonl").write_text("".join(rows) + '{"current')
    found = start(tmp_path, ATTEMPT)
    assert found.resume_from == whole
    assert not (output / "checkpoint-20").exists()
    assert (tmp_path / "stale/001/checkpoints/one/checkpoint-20").is_dir()
    assert not (output / "train_results.json").exists()
    assert (output / "trainer_log.jsonl").read_text() == "".join(rows[:2])


def test_a_checkpoint_that_the_host_cannot_go_on_from_is_tried_once(tmp_path: Path) -> None:
    output = tmp_path / "checkpoints/one"
    checkpoint(output, 10)
    broke = replace(ATTEMPT, state="failed", notes={"resumed_from": "checkpoint-10"})
    killed = replace(broke, state="running")
    assert start(tmp_path, killed).resume_from == output / "checkpoint-10"
    found = start(tmp_path, broke)
    assert found.resume_from is None
    assert found.note.startswith("resuming from checkpoint-10 failed; moved to stale/001/")
    newer = checkpoint(output, 20)
    assert start(tmp_path, broke).resume_from == newer


def test_a_training_whose_end_was_not_recorded_is_not_repeated(tmp_path: Path) -> None:
    output = trained_whole(tmp_path)
    assert start(tmp_path, ATTEMPT).complete
    (output / "README.md").unlink()  # killed between the results and the last file
    found = start(tmp_path, ATTEMPT)
    assert not found.complete
    assert not output.exists()
    assert (tmp_path / "stale/001/checkpoints/one/checkpoint-100").is_dir()


def trained_whole(folder: Path) -> Path:
    output = folder / "checkpoints/one"
    checkpoint(output, 100, steps=100)
    trained(output, train_runtime=1.0, train_loss=0.5)
    (output / "README.md").write_text("card")
    return output


@pytest.mark.parametrize(
    ("before", "note"),
    [
        (None, "of unknown origin"),
        (Attempt("running", {"settings": "b"}, "m:1:1", "r", "now"), "of other settings"),
        (Attempt("finished", {"settings": "a"}, "m:1:1", "r", "now"), "used"),
    ],
)
def test_a_used_folder_is_never_trained_into(
    tmp_path: Path, before: Attempt | None, note: str
) -> None:
    output = trained_whole(tmp_path)
    found = start(tmp_path, before)
    assert (found.resume_from, found.complete) == (None, False)
    assert note in found.note
    assert not output.exists()
    assert (tmp_path / "stale/001/checkpoints/one/adapter_model.safetensors").exists()
    trained_whole(tmp_path)
    start(tmp_path, before)
    assert (tmp_path / "stale/002/checkpoints/one").exists(), "a second one does not overwrite it"


EVALUATE = Job("evaluate", "one", output="scores/one")


def test_an_interrupted_evaluation_keeps_its_responses_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "scores/one"
    (output / "model").mkdir(parents=True)
    (output / "model" / "results_2026.json").write_text("{}")
    (output / "left.json").write_text("{}")
    kept = output / ".unfinished-0123456789ab-0.jsonl"
    kept.write_text('{"key": "a", "value": "4"}\n{"key": "b", "value": "5"}\n{"key": "c')
    resumed = start(tmp_path, ATTEMPT, EVALUATE)
    assert (resumed.note, resumed.is_part) == ("resuming after 2 responses", True)
    assert list(output.iterdir()) == [kept]
    kept.write_text("")
    assert start(tmp_path, ATTEMPT, EVALUATE).note == "scores/one was half made; starting again"


def test_the_responses_of_other_settings_are_put_aside(tmp_path: Path) -> None:
    output = tmp_path / "scores/one"
    output.mkdir(parents=True)
    (output / ".unfinished-0123456789ab-0.jsonl").write_text('{"key": "a", "value": "4"}\n')
    other = replace(ATTEMPT, made_from={"settings": "b"})
    assert "of other settings; moved to stale/001/" in start(tmp_path, other, EVALUATE).note
    assert not output.exists()


def test_the_log_shows_the_last_loss_even_while_a_line_is_written(tmp_path: Path) -> None:
    assert training_now(tmp_path) is None
    log = tmp_path / "trainer_log.jsonl"
    line = {"current_steps": 30, "total_steps": 90, "loss": 0.12345, "remaining_time": "0:00:10"}
    log.write_text(json.dumps({"current_steps": 1}) + "\n" + json.dumps(line) + '\n{"curr')
    assert str(training_now(tmp_path)) == "step 30/90 loss 0.1235 0:00:10 left"
    evaluated = {"current_steps": 40, "total_steps": 90, "eval_loss": 9.0}
    log.write_text(json.dumps(line) + "\n" + json.dumps(evaluated) + "\n")
    assert str(training_now(tmp_path)) == "step 40/90 loss 0.1235"
    timed = line | {"current_steps": 50, "throughput": 1234.5}
    log.write_text(json.dumps(timed) + "\n")
    assert str(training_now(tmp_path)) == "step 50/90 loss 0.1235 1,234 tokens/s 0:00:10 left"


def exported(folder: Path, eos: Any, config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    added = {"7": {"content": "<|end|>"}, "8": {"content": "<pad>"}}
    tokenizer = {"eos_token": eos, "added_tokens_decoder": added}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    if config is not None:
        (folder / "generation_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"eos_token_id": 2, "do_sample": True}, {"eos_token_id": [7, 2], "do_sample": True}),
        ({"eos_token_id": [2, 7]}, {"eos_token_id": [7, 2]}),
        ({}, {"eos_token_id": 7}),
        (None, {"eos_token_id": 7}),
        ({"eos_token_id": [7, 2]}, {"eos_token_id": [7, 2]}),
    ],
)
def test_an_exported_model_stops_at_the_token_it_was_taught(
    tmp_path: Path, before: Any, after: Any
) -> None:
    model = exported(tmp_path, "<|end|>", before)
    assert end_at_the_trained_token(model) == (before != after)
    assert json.loads((model / "generation_config.json").read_text()) == after


def test_an_end_token_is_found_in_the_vocabulary_as_well(tmp_path: Path) -> None:
    model = exported(tmp_path, {"content": "</s>"}, {"eos_token_id": 1})
    with pytest.raises(FaultsError, match="the end token '</s>' has no number"):
        end_at_the_trained_token(model)
    (model / "tokenizer.json").write_text(json.dumps({"model": {"vocab": {"</s>": 5}}}))
    assert end_at_the_trained_token(model)
    assert json.loads((model / "generation_config.json").read_text()) == {"eos_token_id": [5, 1]}
