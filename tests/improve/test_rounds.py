"""What a round keeps, which alarms it raises, when a loop ends, and with which round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.files.atomic import sha256_of
from cotdistill.improve.choose import choose
from cotdistill.improve.decide import decide
from cotdistill.improve.keep import keep_rows
from cotdistill.runfolder.round_records import read_data
from loop_folder import LOOP, START, LoopFolder, study, write_inputs


def right(number: int) -> int:
    return number + number % 7


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def changed(loop: LoopFolder, **values: Any) -> None:
    """Change keys of the loop in the run folder's own study."""
    path = loop.root / "study.yaml"
    declared = yaml.safe_load(path.read_text())
    declared["arms"]["improve-uniform"]["improve"].update(values)
    path.write_text(yaml.safe_dump(declared, sort_keys=False))


def done(loop: LoopFolder, number: int, answers: Any, dev: list[bool]) -> Any:
    """Do a round with these answers and these development scores, and decide."""
    loop.samples(number, answers)
    keep_rows(loop.root, loop.name(number))
    loop.weights(loop.name(number), seed=number)
    loop.scores(number, dev)
    return decide(loop.root, loop.name(number))


def test_rounds_are_unrolled_and_later_ones_look_at_what_was_decided(loop: LoopFolder) -> None:
    jobs = {(job["stage"], job["name"]): job for job in rows(loop.root / "jobs.jsonl")}
    for number in (1, 2, 3):
        for stage in ("sample", "filter", "train", "evaluate", "decide"):
            assert (stage, loop.name(number)) in jobs
    assert jobs["sample", loop.name(1)].get("unless") is None
    assert jobs["sample", loop.name(2)]["unless"] == [f"rounds/{loop.name(1)}.json"]
    assert jobs["train", loop.name(2)]["unless"] == [
        f"rounds/{loop.name(1)}.json", f"rounds/{loop.name(2)}.filter.json",
    ]  # fmt: skip
    assert "--model checkpoints/" + loop.name(1) in " ".join(
        jobs["sample", loop.name(2)]["command"]
    )
    train = yaml.safe_load((loop.root / f"train/{loop.name(2)}.yaml").read_text())
    assert train["model_name_or_path"].endswith("models/tiny--start")
    (run,) = [one for one in rows(loop.root / "manifest.jsonl") if one["run"] == LOOP]
    assert run["rounds"] == 3
    assert run["factors"] == {"questions": "sums", "strategy": "uniform"}
    assert run["tasks"] == ["cot_puzzles_digit_sum"]


def test_every_row_names_its_round_its_sample_and_the_weights_that_wrote_it(
    loop: LoopFolder,
) -> None:
    loop.samples(1, lambda n: [right(n), right(n) + 1, right(n), right(n)])
    data = keep_rows(loop.root, loop.name(1))
    kept = rows(loop.root / "data" / "rounds" / f"{loop.name(1)}.jsonl")
    weights = sha256_of(loop.root / "checkpoints" / START / "model.safetensors")
    assert data.model["sha256"] == weights
    samples = {
        row["id"]: row for row in rows(loop.root / f"data/sample/{loop.name(1)}/samples.jsonl")
    }
    assert len(kept) == 2 * 40, "two of each question that is not for development"
    for row in kept:
        assert (row["round"], row["model"], row["from"]) == (1, weights, "new")
        assert samples[row["sample"]]["response"] == row["output"]
        assert samples[row["sample"]]["correct"] is True
    held_out = {row["question"] for row in rows(loop.root / "data" / "dev" / "sums.jsonl")}
    assert len(held_out) == 5
    assert held_out.isdisjoint(row["instruction"] for row in kept)
    assert data.dropped == {"over_per_question": 40}
    assert data.coverage == 1.0
    assert data.correct == {"3": 40}


def test_rows_are_balanced_over_difficulties_and_the_others_counted(loop: LoopFolder) -> None:
    changed(loop, keep={"per_question": None, "balance": True})
    easy = {"1", "2", "3", "4"}
    loop.samples(
        1, lambda n: [right(n)] * 4 if str(n % 5 + 1) in easy or n % 10 == 4 else [right(n) + 1]
    )
    data = keep_rows(loop.root, loop.name(1))
    assert len({one.rows for one in data.bins}) == 1
    assert data.bins[-1].rows > 0
    assert data.dropped["unbalanced"] > 0
    assert data.hardest_share == pytest.approx(0.2)


def test_earlier_rows_or_those_of_the_start_are_kept_if_asked(loop: LoopFolder) -> None:
    loop.scores(0, [True, False] * 10)
    done(loop, 1, lambda n: [right(n)] if n % 2 else [0], [True] * 20)
    loop.samples(2, lambda n: [f"Another way. The answer is {right(n)}."] if n % 3 else [0])
    changed(loop, keep={"data": "previous", "per_question": 1})
    both = keep_rows(loop.root, loop.name(2))
    assert both.rows["previous"] > 10
    assert both.rows["new"] > 10
    kept = rows(loop.root / "data" / "rounds" / f"{loop.name(2)}.jsonl")
    assert {(row["from"], row["round"]) for row in kept} == {("new", 2), ("previous", 1)}
    assert main(["step", "prepare", "start", "--folder", str(loop.root)]) == 0
    changed(loop, keep={"data": "original", "per_question": 1})
    original = keep_rows(loop.root, loop.name(2))
    assert original.rows["original"] == 30
    assert "previous" not in original.rows


def test_a_filter_that_keeps_nothing_ends_the_loop_with_the_model_before(loop: LoopFolder) -> None:
    loop.scores(0, [True, False] * 10)
    first = done(loop, 1, lambda n: [right(n)], [True] * 15 + [False] * 5)
    assert (first.verdict, first.best) == ("continue", 1)
    loop.samples(2, lambda n: [right(n) + 1])
    data = keep_rows(loop.root, loop.name(2))
    why = "the filter of round 2 kept nothing (0 of 200 samples are correct)"
    why += "; the model of round 1 is kept"
    assert data.skip == {"*": why}
    second = decide(loop.root, loop.name(2))
    assert (second.verdict, second.best, second.reason) == ("stop", 1, why)
    assert second.skip == {"*": why}


def test_a_loop_ends_after_rounds_without_a_gain_and_ends_with_its_best(loop: LoopFolder) -> None:
    changed(loop, stop={"patience": 2, "gain": 0.0})
    loop.scores(0, [True] * 10 + [False] * 10)
    first = done(loop, 1, lambda n: [right(n)], [True] * 14 + [False] * 6)
    assert (first.gain, first.best, first.verdict) == (pytest.approx(20), 1, "continue")
    second = done(loop, 2, lambda n: [right(n)], [True] * 13 + [False] * 7)
    assert (second.gain, second.best, second.verdict) == (pytest.approx(-5), 1, "continue")
    third = done(loop, 3, lambda n: [right(n)], [True] * 14 + [False] * 6)
    assert (third.gain, third.best, third.verdict) == (0, 1, "end")
    choice = choose(loop.root, LOOP)
    assert choice.round == 1
    assert choice.dev == (0.5, 0.7, 0.65, 0.7)
    link = loop.root / "checkpoints" / LOOP
    assert link.resolve() == (loop.root / "checkpoints" / loop.name(1)).resolve()
    assert choice.model["sha256"] == sha256_of(link / "model.safetensors")


def test_a_loop_without_any_gain_ends_with_the_model_that_it_started_from(loop: LoopFolder) -> None:
    loop.scores(0, [True] * 15 + [False] * 5)
    first = done(loop, 1, lambda n: [right(n)], [True] * 5 + [False] * 15)
    assert (first.verdict, first.best) == ("stop", 0)
    assert any(line.startswith("score: -50.0 points") for line in first.alarms)
    for number in (2, 3):
        (loop.root / f"rounds/{loop.name(number)}.json").write_text(
            (loop.root / f"rounds/{loop.name(1)}.json").read_text()
        )
    choice = choose(loop.root, LOOP)
    assert (choice.round, choice.dev[1:]) == (0, (0.25, None, None))
    assert (loop.root / "checkpoints" / LOOP).resolve().name == START


def test_the_tail_alarm_fires_on_a_collapse_and_is_silent_on_a_healthy_loop(
    loop: LoopFolder,
) -> None:
    """One sample a question and no cap against four, capped and balanced."""
    loop.scores(0, [True, False] * 10)
    healthy = done(loop, 1, lambda n: [right(n)], [True] * 20)
    assert healthy.alarms == ()
    changed(loop, keep={"per_question": None})
    collapsed = done(loop, 2, lambda n: [0] if n % 5 == 4 and n > 4 else [right(n)], [True] * 20)
    (line,) = [one for one in collapsed.alarms if one.startswith("tail:")]
    assert line.startswith("tail: the hardest questions (Level 5) are 2")
    data = read_data(loop.root, loop.name(2))
    assert data is not None
    assert data.hardest_share is not None
    assert data.hardest_share < 0.1


def test_long_copied_and_truncated_texts_raise_alarms(loop: LoopFolder) -> None:
    loop.scores(0, [True, False] * 10)
    done(loop, 1, lambda n: [right(n)], [True] * 12 + [False] * 8)
    same = "Well, 1 + 1 = 3, and so on and so forth, for a while longer. The answer is {}."
    second = done(loop, 2, lambda n: [same.format(right(n))], [True] * 20)
    kinds = [line.partition(":")[0] for line in second.alarms]
    assert "distinct" in kinds
    assert "length" in kinds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rounds": 0}, "improve.rounds: 0; expected greater than or equal to 1"),
        ({"stop": {"patience": 3}}, "stop.patience 3 never ends a loop of 3 rounds early"),
        ({"start": "strat"}, "no arm 'strat'"),
        ({"recipe": "fast"}, "no recipe 'fast'"),
        ({"difficulty": "hardness"}, "40 of 40 sampled questions of sums have no 'hardness'"),
        ({"for": {"strategy": ["interactive"]}}, "the strategy interactive needs a 'helper'"),
        ({"for": {"colour": ["red"]}}, "'colour' is no key of sample that loops can differ in"),
        ({"sample": {"questions": "sums", "model": "tiny"}}, "a loop samples its own student"),
        ({"sample": {"questions": "mus"}}, "no question set 'mus'"),
        ({"start": None}, "the randomly initialised 'tiny' has nothing to sample from"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_loop_is_said_before_anything_is_written(
    given: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study(improve=given), sort_keys=False))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_loop_needs_development_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)
    declared = study(questions={"sums": {"file": "sums.jsonl", "task": "cot_gsm8k"}})
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert "no development questions to choose its round by" in capsys.readouterr().err
