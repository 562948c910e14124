"""Jobs through a scheduler that takes a script: cluster-generic with the shipped profile."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.files.bundle import bundle_folder
from local_cluster import LocalCluster

PROFILE = bundle_folder("templates") / "profiles" / "cluster-generic"
SOON = ("--seconds-between-status-checks", "1", "--latency-wait", "60")
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
        reason="snakemake-executor-plugin-cluster-generic is not installed: make setup",
    ),
]


def test_jobs_go_through_any_scheduler_and_a_failure_names_its_reason(
    study: Any, tmp_path: Path
) -> None:
    """It inherits no variables, like PBS without -V; what happened is known all the same."""
    cluster = LocalCluster(tmp_path / "cluster")
    study.add("bad", gpus=2, fail="cutoff_len is no number")
    study.add("good")
    study.write()

    words = ("--keep-going", "--jobs", "2", "--", "--profile", str(PROFILE), *SOON)
    status, output = study.run(*words, PATH=cluster.path())

    assert status == 1
    assert "finished train good" in output
    assert "finished evaluate good" in output
    assert f"train bad failed; its log: {study.folder / 'logs/train/bad.log'}" in output
    assert "    ValueError: cutoff_len is no number" in output
    assert "1 failed, 2 left to do" in output
    submitted = cluster.submitted()
    assert len(submitted) == 3  # the trainings and the evaluation; the report is made here
    assert all("-l h_rt=86400 -l h_vmem=32000M" in words for words in submitted)
    assert sorted("-l gpu=2 " in words for words in submitted) == [False, False, True]


@pytest.mark.slow
def test_a_killed_head_and_a_killed_job_are_made_good_by_the_same_command(
    study: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    cluster = LocalCluster(tmp_path / "cluster")
    study.add("one", steps=100000, pause=0.05)
    study.write()
    asking = ("--cluster-generic-status-cmd", str(cluster.folder / "status"))
    words = ("--only", "train", "--", "--profile", str(PROFILE), *SOON, *asking)
    head = study.start(*words, PATH=cluster.path())
    eventually(lambda: study.lines("STARTED"))
    head.send_signal(signal.SIGKILL)
    head.wait()
    assert (study.folder / "STARTED").is_file()

    again = study.start(*words, PATH=cluster.path())
    eventually(lambda: len(list(cluster.jobs.iterdir())) == 2)  # it waits for the first one's lock
    group = int((cluster.jobs / "0" / "pid").read_text())
    os.killpg(group, signal.SIGKILL)  # as a scheduler does at its limit of time
    eventually(lambda: len(study.lines("STARTED")) == 2)  # the second one does the job
    os.killpg(int((cluster.jobs / "1" / "pid").read_text()), signal.SIGKILL)
    _, errors = again.communicate(timeout=600)
    assert again.returncode == 1
    assert "Traceback" not in errors

    study.runs["one"]["steps"] = 4
    study.write()
    status, output = study.run(*words, PATH=cluster.path())
    assert status == 0, output
    assert not study.lines("TWO_TRAINERS")
