"""`cotdistill run` through the real Snakemake, with trainers that take a moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.host


def test_a_study_runs_to_its_report_and_then_there_is_nothing_to_do(study: Any) -> None:
    study.add("long", seed=1)
    study.add("short", seed=2)
    study.write()
    status, output = study.run("--dry-run")
    assert (status, "5 jobs to run, 0 finished" in output) == (0, True)
    assert not (study.folder / "done").exists()

    status, output = study.run("--jobs", "2")
    assert status == 0, output
    assert "finished train long" in output
    assert str(study.folder / "report" / "report.md") in output
    assert sorted(study.trained()) == [("long", None), ("short", None)]
    assert (study.folder / "logs/train/long.log").read_text().startswith("=== train long, ")

    status, output = study.run()
    assert (status, "0 jobs finished" in output, "5 already finished" in output) == (0, True, True)
    assert len(study.trained()) == 2


def test_one_changed_knob_trains_one_run_again_in_a_clean_folder(study: Any) -> None:
    study.add("long")
    study.add("short")
    study.write()
    status, output = study.run()
    assert status == 0, output
    before = study.weights("long"), study.weights("short")

    study.runs["long"]["seed"] = 9
    study.write()
    status, output = study.run()

    assert status == 0, output
    assert [run for run, _ in study.trained()] in (
        ["long", "short", "long"],
        ["short", "long", "long"],
    )
    assert sorted(study.lines("EVALUATED")) == ["scores/long"] * 2 + ["scores/short"]
    assert study.weights("long") != before[0]
    assert study.weights("short") == before[1]
    kept = study.folder / "stale/001/checkpoints/long/model.safetensors"
    assert kept.read_bytes() == before[0]
    assert "outdated results were moved aside: stale/001/checkpoints/long" in output


def test_a_failure_names_job_log_and_reason_and_keep_going_does_the_rest(study: Any) -> None:
    study.add("bad", fail="cutoff_len is no number")
    study.add("good", pause=0.05)
    study.write()

    status, output = study.run("--jobs", "1", "--keep-going")

    assert status == 1
    log = study.folder / "logs/train/bad.log"
    assert f"train bad failed; its log: {log}" in output
    assert "    ValueError: cutoff_len is no number" in output
    assert "    raise ValueError(settings" in output
    assert (study.folder / "done/evaluate/good.json").exists()
    assert not (study.folder / "done/evaluate/bad.json").exists()
    assert "1 failed, 2 left to do" in output

    study.runs["bad"].pop("fail")
    study.write()
    status, output = study.run()
    assert status == 0, output
    assert [run for run, _ in study.trained()].count("good") == 1


def test_an_exit_status_of_0_is_not_believed(study: Any) -> None:
    study.add("idle", lie=True)
    study.add("mute")
    study.scores["mute"]["lie"] = "samples"
    study.write()
    status, output = study.run("--keep-going", "--jobs", "2")
    assert status == 1
    assert "the trainer exited with 0 but wrote no train_results.json" in output
    assert "lm_eval exited with 0 but wrote no samples_*.jsonl" in output
    assert not (study.folder / "done/evaluate/mute.json").exists()


def test_a_checkpoint_trained_by_hand_is_put_aside_not_overwritten(study: Any) -> None:
    study.add("one")
    study.write()
    checkpoint = study.folder / "checkpoints/one"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_text("precious")
    status, output = study.run("--only", "train")
    assert status == 0, output
    kept = study.folder / "stale/001/checkpoints/one/model.safetensors"
    assert kept.read_text() == "precious"
    assert "was of unknown origin; moved to stale/001/checkpoints/one" in output


def test_optimizer_states_are_dropped_when_a_training_has_succeeded(study: Any) -> None:
    study.add("one", steps=4, save=2)
    study.write()
    status, output = study.run("--only", "train")
    assert status == 0, output
    assert not list(study.folder.glob("checkpoints/one/checkpoint-*/optimizer.pt"))
    assert len(list(study.folder.glob("checkpoints/one/checkpoint-*/model.safetensors"))) == 2


def test_gpus_are_dealt_out_so_that_no_two_jobs_share_one(study: Any, tmp_path: Any) -> None:
    for number in range(3):
        study.add(f"one{number}", gpus=1, pause=0.1)
    study.add("pair", gpus=2, pause=0.1)
    study.write()
    visible = {"CUDA_VISIBLE_DEVICES": "5,7", "XDG_RUNTIME_DIR": str(tmp_path)}

    status, output = study.run("--gpus", "2", "--only", "train", **visible)

    assert status == 0, output
    spans = {}
    for run in study.runs:
        done = json.loads((study.folder / f"done/train/{run}.json").read_text())
        log = (study.folder / f"logs/train/{run}.log").read_text()
        spans[run] = done["notes"]["gpus"]
        assert f", GPU {','.join(spans[run])}" in log
        assert f"CUDA_VISIBLE_DEVICES={','.join(spans[run])}\n" in log
    assert spans["pair"] == ["5", "7"]
    assert all(spans[f"one{number}"] in (["5"], ["7"]) for number in range(3))
    assert not study.lines("SHARED_GPU")


def test_two_studies_on_one_machine_do_not_meet_on_a_gpu(study: Any, tmp_path: Any) -> None:
    other = type(study)(tmp_path / "other", started=study.started)
    for one in (study, other):
        one.add("one", gpus=1, pause=0.2)
        one.write()
    visible = {"CUDA_VISIBLE_DEVICES": "0", "XDG_RUNTIME_DIR": str(tmp_path)}
    first, second = (one.start("--only", "train", **visible) for one in (study, other))
    assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    spans = []
    for one in (study, other):
        rows = one.lines("WHEN")
        spans.append((float(rows[0]), float(rows[-1])))
    (a, b), (c, d) = sorted(spans)
    assert b <= c or d <= a


def test_words_after_two_dashes_reach_snakemake(study: Any) -> None:
    study.add("one")
    study.write()
    status, output = study.run("--only", "train", "--", "--config", "x=1", "--not-an-option")
    assert status == 1
    assert "logs/snakemake.log: Snakemake ended with status 2" in output
    assert "--not-an-option" in output


def test_the_rules_ask_a_cluster_for_what_the_manifest_declares(study: Any) -> None:
    study.add("one", gpus=2)
    study.write()
    manifest = study.folder / "manifest.jsonl"
    text = manifest.read_text().replace('"gpus": 2', '"gpus": 2, "minutes": 90, "memory_mb": 5000')
    manifest.write_text(text)
    study.run("--only", "train", "--", "--executor", "dryrun")
    log = (study.folder / "logs/snakemake.log").read_text()
    assert "gpu=2" in log
    assert "runtime=90" in log
    assert "mem_mb=5000" in log


def test_the_loss_is_shown_while_it_trains(study: Any, eventually: Callable[..., None]) -> None:
    from cotdistill.runs.jobs import read_jobs
    from cotdistill.runs.watch import Watch

    study.add("one", steps=200, pause=0.05)
    study.write()
    study.start()
    watch = Watch(study.folder, read_jobs(study.folder), "")
    watch.expect([("train", "one")])
    eventually(lambda: len(study.lines("checkpoints/one/trainer_log.jsonl")) > 3)
    watch.run = json.loads((study.folder / ".cotdistill/attempts/train/one.json").read_text())[
        "run"
    ]
    assert [event.what for event in watch.look()] == ["started"]
    assert "0/1 jobs · train one step " in watch.line()
    assert "/200 loss 0." in watch.line()


def test_a_thousand_lines_of_log_leave_the_error_of_the_rank_that_broke(tmp_path: Any) -> None:
    from cotdistill.runs.log_errors import lines_that_matter

    log = tmp_path / "train.log"
    log.write_text(
        "loading\n" * 1000
        + "  5%|#  | 5/100 [00:01<00:10]\r 10%|##\n"
        + "[rank1]: Traceback (most recent call last):\n"
        + '[rank1]:   File "x.py", line 3, in step\n[rank1]:     model(batch)\n'
        + "[rank1]: torch.OutOfMemoryError: CUDA out of memory\n"
        + "W1121 03:01:53.341000 9474 torch/x.py:10] Sending process 1 closing signal\n"
        + "Traceback (most recent call last):\n"
        + '  File "run.py", line 9, in main\n    launch()\n'
        + "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n"
    )
    assert lines_that_matter(log) == [
        '  File "x.py", line 3, in step',
        "    model(batch)",
        "torch.OutOfMemoryError: CUDA out of memory",
    ]


def test_the_end_of_a_long_message_is_shown_because_it_says_what_to_do(tmp_path: Any) -> None:
    from cotdistill.runs.log_errors import lines_that_matter

    log = tmp_path / "prepare.log"
    message = f"arm l6: 14 rows are truncated: {'14 lose the end, ' * 20}generate with --set a=571"
    log.write_text(f"{message}\n{'x' * 5000} the end\n")
    shown, longest = lines_that_matter(log)
    assert shown == message
    assert len(longest) < 1010
    assert longest.endswith(" the end")
