"""One training over several nodes: what is started on each, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import FaultsError
from cotdistill.hosts.slurm import by_hand, on_all_nodes
from cotdistill.runfolder.generate import generate
from cotdistill.runs.jobs import read_jobs
from fake_slurm import fake_slurm

ECHO = ["sh", "-c", 'echo "$NODE_RANK of $NNODES at $MASTER_ADDR:$MASTER_PORT $0"', "a b"]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("PATH", f"{fake_slurm(tmp_path / 'slurm')}{os.pathsep}{os.environ['PATH']}")
    return {**os.environ, "SLURM_JOB_ID": "1234567", "SLURM_JOB_NODELIST": "n1,n2"}


def test_every_node_gets_its_rank_and_all_meet_at_the_first_one(slurm: dict[str, str]) -> None:
    command, variables = on_all_nodes(ECHO, 2, slurm, "train a")
    done = subprocess.run(
        command, env=slurm | variables, capture_output=True, text=True, check=True
    )
    port = 20000 + 1234567 % 20000
    assert sorted(done.stdout.splitlines()) == [
        f"{rank} of 2 at n1:{port} a b" for rank in range(2)
    ]


def test_a_failure_on_one_node_is_a_failure(slurm: dict[str, str]) -> None:
    command, variables = on_all_nodes(["sh", "-c", "exit $NODE_RANK"], 2, slurm, "train a")
    assert subprocess.call(command, env=slurm | variables) == 1


def test_the_nodes_are_asked_for_where_the_variable_was_dropped(slurm: dict[str, str]) -> None:
    del slurm["SLURM_JOB_NODELIST"]
    _, variables = on_all_nodes(ECHO, 2, slurm, "train a")
    assert variables["MASTER_ADDR"] == "localhost"


def test_another_number_of_nodes_is_a_fault(slurm: dict[str, str]) -> None:
    with pytest.raises(FaultsError, match=r"SLURM gave the job 2 nodes \(n1, n2\); expected 3"):
        on_all_nodes(ECHO, 3, slurm, "train a")


def test_accelerate_gets_its_rank_as_words(slurm: dict[str, str]) -> None:
    words = ["accelerate", "launch", "--num_machines", "2", "-m", "worker", "t.yaml"]
    command, _ = on_all_nodes(words, 2, slurm, "train a")
    assert command[-1].startswith(
        'NODE_RANK="$SLURM_NODEID" exec accelerate launch --machine_rank "$SLURM_NODEID" '
        '--main_process_ip "$MASTER_ADDR" --main_process_port "$MASTER_PORT" --num_machines 2'
    )
    assert "--machine_rank 1 --main_process_ip FIRST_NODE" in by_hand(words, 2, {})[1]


def two_nodes(study: Any) -> Any:
    study["recipes"]["full"]["per_device_batch"] = 4
    return study | {"name": "two", "hardware": {"gpus": 0, "nodes": 2}}


def test_without_slurm_the_commands_to_type_are_printed(
    study_file: Callable[[Any], Path],
    small_study: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    folder = generate(str(study_file(two_nodes(small_study))), tmp_path / "run").folder
    jobs = read_jobs(folder)
    assert {job.nodes for (stage, _), job in jobs.items() if stage == "train"} == {2}
    assert {job.nodes for (stage, _), job in jobs.items() if stage != "train"} == {1}
    assert main(["run", str(folder), "--dry-run"]) in (0, 1)
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "one training over 2 nodes, and this is no SLURM job" in text
    assert "NODE_RANK=1 llamafactory-cli train" in text


@pytest.mark.slow
def test_two_launchers_train_one_model(
    study_file: Callable[[Any], Path], small_study: Any, tmp_path: Path, slurm: dict[str, str]
) -> None:
    """Two torchrun on loopback (gloo) share each batch; one step holds the lock and the record."""
    pytest.importorskip("llamafactory")
    folder = generate(str(study_file(two_nodes(small_study))), tmp_path / "run").folder
    name = "tiny--fine--full--s42"
    own = {
        "SLURM_JOB_NODELIST": "localhost,localhost",
        "GLOO_SOCKET_IFNAME": "lo",
        "CUDA_VISIBLE_DEVICES": "",
        "SLURM_JOB_ID": str(os.getpid()),
    }
    jobs = read_jobs(folder)
    for stage, job in [*jobs[("train", name)].needs, ("train", name)]:
        words = [sys.executable, "-m", "cotdistill", "step", stage, job, "--folder", str(folder)]
        done = subprocess.run(
            words, env=slurm | own, capture_output=True, text=True, timeout=800, check=False
        )
        log = folder / "logs" / stage / f"{job}.log"
        assert done.returncode == 0, done.stderr + (log.read_text()[-3000:] if log.exists() else "")
    text = (folder / f"logs/train/{name}.log").read_text()
    assert "world size: 2" in text
    assert text.count("=== ") == 2  # one attempt: its head and its command
    assert (folder / f"checkpoints/{name}/model.safetensors").is_file()
    assert (folder / f"done/train/{name}.json").is_file()
