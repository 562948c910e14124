"""A race over seeds: its batches, whom it trains further, and what it ends with."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.racing.decide import decide_race
from cotdistill.stats.racing import halves, leaders, may_drop, standings
from loop_folder import study, write_inputs
from loop_programs import kill_all, noted, put_programs, record, start
from run_folder import add_scores

ARMS = ["base", "l1", "l2", "l3", "l6"]


def race_study(**race: Any) -> dict[str, Any]:
    """Return a study of five arms that race over seeds."""
    declared = study(race={"batches": 2, "top": 2} | race)
    declared["arms"] = {
        "base": {"puzzles": "digit-sum", "level": "answer-only", "rows": 32},
        **{f"l{n}": {"puzzles": "digit-sum", "level": n, "rows": 32} for n in (1, 2, 3, 6)},
    }
    declared["compare"] = {"baseline": "base"}
    del declared["improve"]
    return declared


def generated(folder: Path, declared: Mapping[str, Any]) -> Path:
    write_inputs(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(dict(declared), sort_keys=False))
    assert main(["generate", str(folder / "study.yaml"), "-o", str(folder / "run")]) == 0
    return folder / "run"


def score(root: Path, arm: str, seed: int, share: float) -> None:
    right = [number < round(40 * share) for number in range(40)]
    add_scores(root / "race", f"tiny--{arm}--full--s{seed}", right, task="dev_sums")


def jobs_of(root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    found = map(json.loads, (root / "jobs.jsonl").read_text().splitlines())
    return {(job["stage"], job["name"]): job for job in found}


def test_leaders_get_the_seeds_and_the_baseline_is_never_dropped(tmp_path: Path) -> None:
    root = generated(tmp_path, race_study())
    jobs = jobs_of(root)
    for seed in (1001, 1002, 1003):
        for arm in ARMS:
            assert ("train", f"tiny--{arm}--full--s{seed}") in jobs
    assert jobs["train", "tiny--l1--full--s42"]["unless"] == ["race/tiny--full.json"]
    assert jobs["train", "tiny--l1--full--s1002"]["unless"] == ["race/tiny--full--batch0.json"]
    for arm, share in zip(ARMS, (0.1, 0.4, 0.8, 0.6, 0.3), strict=True):
        score(root, arm, 1001, share)
    first = decide_race(root, "tiny--full--batch0")
    assert first.goes_on == ("base", "l2", "l3")
    assert (first.done, first.planned) == (5, 11)
    assert first.skip["l1"].startswith(
        "not in batch 1 of the race: 40.0% after 1 runs, 40.0 points"
    )
    for arm, share in (("base", 0.1), ("l2", 0.5), ("l3", 0.7)):
        score(root, arm, 1002, share)
    second = decide_race(root, "tiny--full--batch1")
    assert second.goes_on == ("base", "l2", "l3")
    for arm, share in (("base", 0.1), ("l2", 0.5), ("l3", 0.7)):
        score(root, arm, 1003, share)
    last = decide_race(root, "tiny--full")
    assert last.goes_on == ("base", "l3"), "the leader and the baseline are compared in the end"
    assert set(last.skip) == {"l1", "l2", "l6"}
    assert [one.arm for one in last.places][:2] == ["l3", "l2"]
    assert (last.done, last.planned) == (11, 11)


def test_halving_gives_ever_more_seeds_to_ever_fewer_arms(tmp_path: Path) -> None:
    root = generated(tmp_path, race_study(procedure="halving", top=1))
    jobs = jobs_of(root)
    seeds = sorted({int(name.rpartition("s")[2]) for _, name in jobs if "--s10" in name})
    assert seeds == [1001, 1002, 1003, 1004]
    for arm, share in zip(ARMS, (0.1, 0.4, 0.8, 0.6, 0.3), strict=True):
        score(root, arm, 1001, share)
    assert decide_race(root, "tiny--full--batch0").goes_on == ("base", "l2", "l3")


def test_nothing_is_dropped_before_a_quarter_of_the_runs_is_done() -> None:
    assert not may_drop(5, 21)
    assert may_drop(6, 24)


def test_close_and_little_tried_arms_stay_ahead_by_their_upper_bounds() -> None:
    order = standings({"a": [0.50, 0.50, 0.50, 0.50], "b": [0.49], "c": [0.2]}, declared=0.04)
    assert leaders(order, top=1) == ["b"]
    assert halves(order, arms_left=3, least=1) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"top": 4}, "race.top: top 4 of 4 arms that may be dropped"),
        ({"batches": 0}, "race.batches: 0"),
        ({"first": 0}, "race.first: 0"),
        ({"procedure": "halve"}, "race.procedure"),
    ],
)
def test_what_is_wrong_with_a_race_is_said(
    given: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(race_study(**given), sort_keys=False))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err


def test_a_race_needs_development_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    declared = race_study() | {"questions": {}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert "race: no development questions to decide by" in capsys.readouterr().err


def reached(root: Path, one: str, command: subprocess.Popen[str]) -> None:
    """Wait until a program has started."""
    while one not in noted(root, "STARTED"):
        assert command.poll() is None, command.communicate()[0]
        time.sleep(0.05)


def shares(arms: Sequence[str], seeds: Sequence[int]) -> dict[str, float]:
    truth = dict(zip(ARMS, (0.1, 0.4, 0.8, 0.6, 0.3), strict=True))
    return {f"tiny--{arm}--full--s{seed}": truth[arm] for arm in arms for seed in seeds}


@pytest.mark.slow
def test_a_race_that_is_killed_between_batches_goes_on_where_it_was(tmp_path: Path) -> None:
    root = generated(tmp_path, race_study(batches=1))
    put_programs(root, shares(ARMS, [1001, 1002, 42]))
    hold = root / "HOLD" / "train--tiny--l2--full--s1002"
    hold.touch()
    command = start(root, "--jobs", "2")
    reached(root, "train tiny--l2--full--s1002", command)
    kill_all(root, command)
    hold.unlink()
    command = start(root, "--jobs", "2")
    output, _ = command.communicate(timeout=900)
    assert command.returncode == 0, output
    started, ended = Counter(noted(root, "STARTED")), Counter(noted(root, "ENDED"))
    assert set(ended.values()) == {1}
    again = {one for one, count in started.items() if count > 1}
    assert again <= {f"train tiny--{arm}--full--s1002" for arm in ("base", "l2", "l3")}
    for arm in ("l1", "l6"):
        assert f"train tiny--{arm}--full--s1002" not in started
        why = record(root, "train", f"tiny--{arm}--full--s1002")["notes"]["skipped"]
        assert why.startswith("not in batch 1 of the race")
    assert "train tiny--l2--full--s42" in ended
    assert "train tiny--l3--full--s42" not in started
    page = (root / "report" / "report.html").read_text(encoding="utf-8")
    assert "not among the finalists of the race" in page
