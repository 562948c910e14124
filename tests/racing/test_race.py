"""A race over seeds: its batches, whom it trains further, and what it ends with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.improve.decide import pass_on
from cotdistill.preflight.cost import Machine
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.racing.decide import decide_race
from cotdistill.runfolder.race import Batch, most_of_batches
from cotdistill.stats.racing import halves, leaders, may_drop, seeds_of_batches, standings
from cotdistill.studies.requests import Race
from loop_folder import study, write_inputs
from loop_programs import kill_all, noted, put_programs, reached, record, start
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


def shares(arms: Sequence[str], seeds: Sequence[int]) -> dict[str, float]:
    truth = dict(zip(ARMS, (0.1, 0.4, 0.8, 0.6, 0.3), strict=True))
    return {f"tiny--{arm}--full--s{seed}": truth[arm] for arm in arms for seed in seeds}


def test_a_race_is_priced_as_at_most_with_the_most_expensive_arms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = race_study(final=1)
    declared["seeds"] = [1, 2]
    declared["arms"]["l6"]["rows"] = 320
    declared["recipes"]["full"].update({"max_steps": None, "epochs": 1})
    write_inputs(tmp_path)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    made = plan(str(tmp_path / "s.yaml"), [], Assumed(Machine(0.06)))
    (race,) = made.races
    assert (race.arms, len(race.race), len(race.final)) == (5, 11, 4)
    steps = [cost.steps for cost in race.race]
    assert steps.count(80) == 3, "the most expensive arm is in every batch"
    assert made.responses == 4 * 2 + 11 * 5, "test questions of the finalists, and development ones"
    assert made.hours == pytest.approx(sum(cost.hours or 0 for cost in (*race.race, *race.final)))
    everything = sum(cost.hours or 0 for cost in made.runs)
    assert len(made.runs) == 10
    assert made.hours > everything / 2
    assert main(["plan", str(tmp_path / "s.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "15 runs at most" in printed
    assert "race of 5 arms (tiny, full): at most 11 runs, then 4 runs of the finalists" in printed


@pytest.mark.parametrize(
    ("race", "free", "kept", "most"),
    [
        ({"top": 2, "batches": 2}, 4, 1, [5, 3, 3]),
        ({"top": 2, "batches": 20}, 3, 1, [4, 4, 4, 4, 4, *[3] * 16]),
        ({"procedure": "halving", "top": 3, "batches": 3}, 6, 1, [7, 7, 4, 4]),
    ],
)
def test_a_race_is_never_longer_than_it_was_said(
    race: dict[str, Any], free: int, kept: int, most: list[int]
) -> None:
    """Where few arms race for long, nothing is dropped before a quarter of all runs is done."""
    shape = Race(**race)
    sizes = [shape.first, *seeds_of_batches(shape.procedure, shape.batches)]
    batches = [Batch(number, tuple(range(size))) for number, size in enumerate(sizes)]
    assert most_of_batches(shape, free, kept, batches) == most


def test_loops_race_with_every_round_of_a_seed(tmp_path: Path) -> None:
    declared = study(race={"batches": 1, "top": 1}, improve={
        "rounds": 2, "stop": None, "for": {"strategy": ["uniform", "vanilla", "state_reset"]},
    })  # fmt: skip
    root = generated(tmp_path, declared)
    jobs = jobs_of(root)
    for seed in (1001, 1002):
        for strategy in ("uniform", "vanilla", "state_reset"):
            run = f"tiny--improve-{strategy}--full--s{seed}"
            assert ("decide", run) in jobs
            assert ("train", f"{run}--round2") in jobs
            assert jobs["evaluate", run]["output"] == f"race/scores/{run}"
        assert ("train", f"tiny--start--full--s{seed}") in jobs, "what the loops start from"
        for name in (f"{run}--round1", f"{run}--round2", run):
            pass_on(root, name)  # the race leaves the loop out: there is no round before
            assert not (root / "rounds" / f"{name}.json").exists()
    later = jobs["train", "tiny--improve-uniform--full--s1002--round1"]
    assert later["unless"][0] == "race/tiny--full--batch0.json"


@pytest.mark.slow
def test_a_race_of_loops_runs_to_its_end(tmp_path: Path) -> None:
    declared = study(race={"batches": 1, "top": 1}, improve={
        "rounds": 1, "stop": None, "for": {"strategy": ["uniform", "vanilla"]},
    })  # fmt: skip
    root = generated(tmp_path, declared)
    best = {f"tiny--improve-vanilla--full--s{seed}": 0.9 for seed in (1001, 1002, 42)}
    rounds = {f"{name}--round1": 0.9 for name in best}
    put_programs(root, best | rounds, str(root / "data/questions/sums.jsonl"))
    command = start(root, "--jobs", "2")
    output, _ = command.communicate(timeout=600)
    assert command.returncode == 0, output
    done = noted(root, "ENDED")
    assert "train tiny--improve-vanilla--full--s1002--round1" in done
    assert "train tiny--improve-uniform--full--s1002--round1" not in done
    assert "evaluate tiny--improve-vanilla--full--s42" in done
    skipped = record(root, "train", "tiny--improve-uniform--full--s42--round1")
    assert "not among the finalists" in skipped["notes"]["skipped"]


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
    assert again == {"train tiny--l2--full--s1002"}
    for arm in ("l1", "l6"):
        assert f"train tiny--{arm}--full--s1002" not in started
        why = record(root, "train", f"tiny--{arm}--full--s1002")["notes"]["skipped"]
        assert why.startswith("not in batch 1 of the race")
    assert "train tiny--l2--full--s42" in ended
    assert "train tiny--l3--full--s42" not in started
    page = (root / "report" / "report.html").read_text(encoding="utf-8")
    assert "not among the finalists of the race" in page
