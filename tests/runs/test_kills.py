"""kill -9 of anything at any moment, then the same command: it completes and repeats nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

Wait = Callable[..., None]

pytestmark = pytest.mark.slow
VICTIMS = {
    "the command": (),
    "snakemake": ("snakemake", "--snakefile"),
    "the step": ("cotdistill step",),
    "the program": ("-S -E",),
}


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def strike(study: Any, command: Any, victim: str) -> None:
    if victim == "everything":
        kill([command.pid, *study.processes()])
    elif victim == "all but the programs":
        kill([command.pid, *study.processes("cotdistill step"), *study.processes("--snakefile")])
    elif victim == "the command":
        kill([command.pid])
    else:
        pids = study.processes(*VICTIMS[victim])
        assert pids
        kill(pids)


def uninterrupted(study: Any, tmp_path: Any) -> bytes:
    other = type(study)(tmp_path / "other")
    other.runs, other.scores = study.runs, study.scores
    other.write()
    status, output = other.run()
    assert status == 0, output
    return other.weights("one")


@pytest.mark.parametrize("victim", [*VICTIMS, "everything", "all but the programs"])
def test_a_kill_during_training_is_made_good_by_the_same_command(
    study: Any, victim: str, eventually: Wait, tmp_path: Any
) -> None:
    study.add("one", steps=30, pause=0.04, save=5, workers=True)
    study.write()
    command = study.start()
    eventually(lambda: (study.folder / "checkpoints/one/checkpoint-10/trainer_state.json").exists())

    strike(study, command, victim)
    command.wait(timeout=300)
    if victim in ("the step", "the program", "snakemake"):
        assert command.returncode == 1
    status, output = study.run()

    assert status == 0, output
    assert not study.lines("TWO_TRAINERS")
    assert len(study.trained()) == 2
    assert study.trained()[1][1] in ("checkpoint-10", "checkpoint-15")
    assert study.lines("EVALUATED") == ["scores/one"]
    study.runs["one"] |= {"workers": False}  # of no consequence for the weights
    assert study.weights("one") == uninterrupted(study, tmp_path)
    # each step stands in the log once
    assert len(study.lines("checkpoints/one/trainer_log.jsonl")) == 30, (
        "each step stands in the log once"
    )
    assert not study.processes()


@pytest.mark.parametrize("victim", ["the program", "everything"])
def test_a_kill_during_evaluation_trains_nothing_again(
    study: Any, victim: str, eventually: Wait
) -> None:
    study.add("one")
    study.scores["one"]["pause"] = 1.0
    study.write()
    command = study.start()
    eventually(lambda: study.lines("EVALUATED"))

    strike(study, command, victim)
    command.wait(timeout=300)
    status, output = study.run()

    assert status == 0, output
    assert len(study.trained()) == 1
    assert study.lines("EVALUATED") == ["scores/one"] * 2
    assert len(list((study.folder / "scores/one").rglob("results_*.json"))) == 1


def test_kills_at_any_moment_repeat_no_finished_job(study: Any) -> None:
    for number in range(4):
        study.add(f"run{number}", steps=2, pause=0.05, save=1, seed=number)
    study.write()
    finished: set[str] = set()
    for moment in (0.2, 0.7, 1.1, 1.4, 1.7, 2.0):
        command = study.start("--jobs", "2")
        time.sleep(moment)
        kill([command.pid, *study.processes()])
        command.wait(timeout=300)
        now = {str(path.relative_to(study.folder)) for path in study.folder.glob("done/*/*.json")}
        assert finished <= now, "a finished job was undone"
        finished = now
        at_the_kill = len(study.trained()), len(study.lines("EVALUATED"))

    status, output = study.run("--jobs", "2")

    assert status == 0, output
    assert not study.lines("TWO_TRAINERS")
    again = sum(name.startswith("done/train") for name in finished)
    assert len(study.trained()) - at_the_kill[0] <= 4 - again
    assert len(list(study.folder.glob("done/*/*.json"))) == 9


def test_a_second_run_in_a_folder_is_refused_and_names_the_first(
    study: Any, eventually: Wait
) -> None:
    study.add("one", steps=5000, pause=0.05)
    study.write()
    first = study.start()
    eventually(study.trained)

    status, output = study.run()

    assert status == 1
    assert f"another `cotdistill run` works here (pid {first.pid} on " in output
    assert f"stop it: kill {first.pid}" in output
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=300) == 130
    assert not study.processes(), "an asked end leaves nothing running"


def test_a_living_snakemake_started_by_hand_is_not_robbed_of_its_lock(
    study: Any, eventually: Wait
) -> None:
    import subprocess
    import sys

    study.add("one", steps=5000, pause=0.05)
    study.write()
    by_hand = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1"],
        cwd=study.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(study.trained)
        status, output = study.run()
        assert status == 1
        assert f"a snakemake that was started by hand (pid {by_hand.pid}) is working here" in output
    finally:
        by_hand.kill()
        by_hand.wait()
    eventually(
        lambda: "stopped" in (study.folder / ".cotdistill/attempts/train/one.json").read_text()
    )

    study.runs["one"]["steps"] = 2
    study.write()
    status, output = study.run()
    assert status == 0, output  # its lock is dead now, and cleared


def test_processes_of_other_folders_are_left_alone(study: Any, tmp_path: Any) -> None:
    import subprocess
    import sys

    other = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(900)"],
        env=os.environ | {"COTDISTILL_FOLDER": str(tmp_path / "folder2")},
    )
    left = subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(900)"],
        env=os.environ | {"COTDISTILL_FOLDER": str(tmp_path / "folder")},
    )
    try:
        study.add("one")
        study.write()
        status, output = study.run()
        assert status == 0, output
        assert other.poll() is None
        assert left.wait(timeout=60) == -signal.SIGTERM
    finally:
        for process in (other, left):
            process.kill()
            process.wait()
