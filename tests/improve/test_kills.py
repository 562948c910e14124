"""kill -9 in every round of a loop, then the same command: nothing is lost or done twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml

from cotdistill.cli.main import main
from loop_folder import LOOP, START, LoopFolder, study, write_inputs
from loop_programs import kill_all, noted, put_programs, reached, record, start


@pytest.fixture
def folder(tmp_path: Path) -> LoopFolder:
    write_inputs(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(), sort_keys=False))
    assert main(["generate", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "run")]) == 0
    return LoopFolder(tmp_path / "run")


@pytest.mark.slow
def test_a_kill_in_any_round_repeats_nothing_and_loses_nothing(folder: LoopFolder) -> None:
    root = folder.root
    scores = {folder.name(0): 0.25, folder.name(1): 0.5, folder.name(2): 0.75, folder.name(3): 0.5}
    put_programs(root, scores, str(root / "data/questions/sums.jsonl"))
    struck = [f"sample {folder.name(1)}", f"train {folder.name(2)}", f"evaluate {folder.name(3)}"]
    for one in struck:
        hold = root / "HOLD" / one.replace(" ", "--")
        hold.touch()
        command = start(root, "--jobs", "2")
        reached(root, one, command)
        kill_all(root, command)
        hold.unlink()
    command = start(root, "--jobs", "2")
    output, _ = command.communicate(timeout=600)
    assert command.returncode == 0, output
    started, ended = Counter(noted(root, "STARTED")), Counter(noted(root, "ENDED"))
    assert set(ended.values()) == {1}, "no program ends twice"
    again = {one: count for one, count in started.items() if count > 1}
    assert again == dict.fromkeys(struck, 2), "only what was killed starts again"
    assert record(root, "decide", LOOP)["notes"] == {}
    link = root / "checkpoints" / LOOP
    assert link.resolve().name == folder.name(2), "the round with the best development score"
    assert f"evaluate {LOOP}" in ended, "the test questions are asked once, of the chosen round"


@pytest.mark.slow
def test_the_rounds_after_the_end_of_a_loop_are_skipped_with_the_reason(
    folder: LoopFolder,
) -> None:
    root = folder.root
    scores = {folder.name(0): 0.5, folder.name(1): 0.25}
    put_programs(root, scores, str(root / "data/questions/sums.jsonl"))
    command = start(root, "--jobs", "2")
    output, _ = command.communicate(timeout=600)
    assert command.returncode == 0, output
    why = "stopped after round 1: a round without a gain of more than 0 points (last -25.0)"
    for number in (2, 3):
        for stage in ("sample", "filter", "train", "evaluate", "decide"):
            assert record(root, stage, folder.name(number))["notes"] == {"skipped": why}
    assert f"skipped: {why}" in output
    assert not any(folder.name(2) in line for line in noted(root, "STARTED"))
    assert (root / "checkpoints" / LOOP).resolve().name == START
    again = start(root, "--jobs", "2")
    output, _ = again.communicate(timeout=600)
    assert again.returncode == 0
    assert "nothing to do" in output or "already finished" in output
