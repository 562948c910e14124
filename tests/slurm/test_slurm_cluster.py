"""Run folders on a SLURM of two nodes: a whole study, a killed head, a failing job, GPUs, nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.files.bundle import bundle_folder
from cotdistill.runfolder.generate import generate
from stand_in_vllm import stand_in_vllm
from teacher import write_questions

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(7000), pytest.mark.usefixtures("plugin", "slurm"),
]  # fmt: skip

PATIENCE_S = 6000  # a machine that does much else may take an hour
PROFILE = bundle_folder("templates") / "profiles" / "slurm"
HERE = [
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "2"),
    *("--latency-wait", "20", "--slurm-no-account"),
    *("--default-resources", "slurm_partition=loop", "mem_mb=400", "runtime=30"),
]
TRAINER = """#!{python}
import json, os, pathlib, subprocess, sys, time, yaml
settings = yaml.safe_load(open(sys.argv[2]))
output = pathlib.Path(settings["output_dir"])
here = pathlib.Path.cwd()
with open(here / "STARTED", "a") as started:
    started.write(sys.argv[2] + "\\n")
job = os.environ["SLURM_JOB_ID"]
shown = subprocess.run(["scontrol", "show", "job", "-d", job], capture_output=True, text=True)
(here / f"JOB-{{output.name}}").write_text(shown.stdout)
if (here / "FAIL").exists():
    raise ValueError("the loss is not a number")
deadline = time.monotonic() + 600
while (here / "WAIT").exists() and time.monotonic() < deadline:
    time.sleep(0.2)
output.mkdir(parents=True, exist_ok=True)
(output / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{{}}")
(output / "README.md").write_text("card")
(output / "train_results.json").write_text(json.dumps({{"train_runtime": 1.5, "train_loss": 0.5}}))
"""


def command(folder: Path, *words: str) -> list[str]:
    run = [sys.executable, "-m", "cotdistill", "run", str(folder), "--jobs", "4", *words]
    return [*run, "--", "--profile", str(PROFILE), *HERE]


def eventually(what: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@pytest.fixture
def fake(tmp_path: Path, study_file: Callable[[Any], Path], small_study: Any) -> tuple[Path, Any]:
    """A run folder whose arm is prepared, and an environment whose trainer is a stand-in."""
    small_study |= {"name": "fake", "hardware": {"gpus": 1}}
    del small_study["arms"]["answer-only"]
    small_study["recipes"]["full"]["precision"] = "fp32"
    folder = generate(str(study_file(small_study)), tmp_path / "run").folder
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "llamafactory-cli").write_text(TRAINER.format(python=sys.executable))
    (programs / "llamafactory-cli").chmod(0o755)
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return folder, env


def ran(folder: Path, env: Any, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words),
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_a_killed_head_leaves_its_job_alone_and_a_failure_shows_its_lines(
    fake: tuple[Path, Any],
) -> None:
    """The job of a killed head goes on; the same command waits for it and repeats nothing."""
    folder, env = fake
    name = "tiny--fine--full--s42"
    (folder / "FAIL").touch()
    failed = ran(folder, env, "--only", "train")
    assert failed.returncode == 1
    assert "the loss is not a number" in failed.stdout + failed.stderr
    assert f"logs/train/{name}.log" in failed.stdout + failed.stderr
    (folder / "FAIL").unlink()
    (folder / "STARTED").unlink()

    (folder / "WAIT").touch()
    head = subprocess.Popen(command(folder, "--only", "train"), env=env, stderr=subprocess.DEVNULL)
    try:
        eventually((folder / "STARTED").exists)
    finally:
        head.send_signal(signal.SIGKILL)
        head.wait()
    again = subprocess.Popen(
        command(folder, "--only", "train"), env=env, stderr=subprocess.PIPE, text=True
    )
    try:
        time.sleep(5)
        (folder / "WAIT").unlink()
        _, errors = again.communicate(timeout=PATIENCE_S)
    finally:
        again.kill()
        again.wait()
    assert again.returncode == 0, errors
    assert "started by hand" not in errors
    assert len((folder / "STARTED").read_text().splitlines()) == 1
    assert (folder / f"done/train/{name}.json").is_file()
    shown = (folder / f"JOB-{name}").read_text()
    assert "gres/gpu=1" in shown or "gpu:1" in shown
    assert "NumNodes=1" in shown


def test_gpus_are_those_of_each_node(
    tmp_path: Path, study_file: Callable[[Any], Path], small_study: Any, fake: tuple[Path, Any]
) -> None:
    """Two nodes with two GPUs each are four GPUs for SLURM, two for each torchrun."""
    _, env = fake
    small_study |= {"name": "wide", "hardware": {"gpus": 2, "nodes": 2}}
    small_study["arms"].pop("answer-only", None)
    small_study["recipes"]["full"]["per_device_batch"] = 2
    folder = generate(str(study_file(small_study)), tmp_path / "wide").folder
    done = ran(folder, env, "--only", "train")
    assert done.returncode == 0, done.stdout + done.stderr
    started = (folder / "STARTED").read_text().splitlines()
    assert len(started) == 2  # one launcher on each node
    shown = (folder / "JOB-tiny--fine--full--s42").read_text()
    assert "NumNodes=2" in shown
    assert "gres/gpu=4" in shown or "gpu:4" in shown, shown


def test_an_array_answers_a_batch_file_on_both_nodes(tmp_path: Path) -> None:
    """The shipped script as `sbatch --array`, with `vllm run-batch` played by a program."""
    questions, out = write_questions(tmp_path / "q.jsonl", 6), tmp_path / "out"
    ask = [
        sys.executable,
        "-m",
        "cotdistill",
        "teach",
        str(questions),
        "--model",
        "m",
        "-o",
        str(out),
    ]
    ask += ["--levels", "1,6"]
    subprocess.run([*ask, "--batch-out", "openai"], check=True, capture_output=True)
    requests = out / "batch" / "requests-0001.jsonl"
    programs = stand_in_vllm(tmp_path / "bin")
    env = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    array = ["sbatch", "--wait", "--array=0-3", "--mem=100", "--time=5", "--partition=loop"]
    array += [
        "--output",
        str(tmp_path / "log-%a"),
        str(PROFILE / "run-batch.sh"),
        str(requests),
        "m",
    ]
    done = subprocess.run(
        array, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    logs = "".join(path.read_text() for path in sorted(tmp_path.glob("log-*")))
    assert done.returncode == 0, done.stderr + logs
    replies = sorted((out / "batch" / "replies-0001").glob("*.jsonl"))
    assert [path.stem for path in replies] == ["0", "1", "2", "3"]
    given = [word for path in replies for word in ("--batch-in", str(path))]
    subprocess.run([*ask, *given], check=True, capture_output=True)
    assert len((out / "traces.jsonl").read_text().splitlines()) == 12


def test_a_whole_study_runs_and_two_nodes_train_one_model(
    tmp_path: Path, study_file: Callable[[Any], Path], small_study: Any
) -> None:
    """Prepare, train, evaluate and collect with the real hosts; the training over both nodes."""
    pytest.importorskip("llamafactory")
    pytest.importorskip("lm_eval")
    small_study |= {"name": "whole", "hardware": {"gpus": 0, "nodes": 2}}
    del small_study["arms"]["answer-only"]
    small_study["recipes"]["full"]["per_device_batch"] = 4
    small_study["evaluation"] = {"tasks": ["cot_puzzles_digit_sum"], "limit": 2, "batch_size": 2}
    folder = generate(str(study_file(small_study)), tmp_path / "run").folder
    env = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    done = ran(folder, env)
    log = folder / "logs/train/tiny--fine--full--s42.log"
    assert done.returncode == 0, done.stderr + (log.read_text()[-4000:] if log.is_file() else "")
    text = log.read_text()
    assert "srun --nodes 2 --ntasks 2" in text
    assert "world size: 2" in text
    results = list((folder / "scores").rglob("results_*.json"))
    assert [list(json.loads(path.read_text())["results"]) for path in results] == [
        ["cot_puzzles_digit_sum"]
    ]
    assert (folder / "report/report.html").is_file() or (
        folder / "done/collect/report.json"
    ).is_file()
