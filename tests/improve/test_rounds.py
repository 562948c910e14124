"""What a round keeps, which alarms it raises, when a loop ends, and with which round."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.files.atomic import sha256_of
from cotdistill.improve.choose import choose
from cotdistill.improve.decide import decide
from cotdistill.improve.keep import keep_rows
from cotdistill.improve.likelihood import measure_likelihood, read_likelihood
from cotdistill.runfolder.round_records import read_data
from json_lines import rows
from loop_folder import LOOP, START, LoopFolder, study, write_inputs
from slow_server import slow_server


def right(number: int) -> int:
    return number + number % 7


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


def test_rounds_of_an_adapter_go_on_from_the_merged_model_before(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    declared = study(improve={"from": "previous"})
    declared["recipes"]["full"]["template"] = "lora"
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    root = tmp_path / "run"
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(root)]) == 0
    jobs = {(job["stage"], job["name"]): job for job in rows(root / "jobs.jsonl")}
    first, second = (f"{LOOP}--round{number}" for number in (1, 2))
    before = str(root / "exported" / first)
    for kind in ("train", "export"):
        file = yaml.safe_load((root / kind / f"{second}.yaml").read_text())
        assert file["model_name_or_path"] == before, kind
    assert ["export", first] in jobs["train", second]["needs"]
    words = jobs["sample", second]["command"]
    assert words[words.index("--model") + 1] == f"exported/{first}"
    start = yaml.safe_load((root / "train" / f"{first}.yaml").read_text())
    assert start["model_name_or_path"] == str(root / "exported" / START)


@pytest.mark.parametrize(("begin", "drawn"), [("base", True), ("previous", None)])
def test_rounds_from_the_last_one_keep_its_weights(
    tmp_path: Path, begin: str, drawn: bool | None
) -> None:
    write_inputs(tmp_path)
    declared = study(improve={"from": begin})
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    root = tmp_path / "run"
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(root)]) == 0
    expected = {START: True, f"{LOOP}--round1": drawn, f"{LOOP}--round2": drawn}
    for name, begins in expected.items():
        file = yaml.safe_load((root / "train" / f"{name}.yaml").read_text())
        assert file.get("train_from_scratch") is begins, name


def test_a_helper_that_disappears_in_round_3_fails_that_round_and_the_same_command_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path)

    def student(body: dict[str, Any]) -> str:
        text = " ".join(str(message["content"]) for message in body["messages"])
        number = int(re.findall(r"What is (\d+) plus", text)[0])
        return f"The answer is {right(number) if 'Add both.' in text else -1}."

    with slow_server(student) as asked, slow_server(lambda _: "Add both.") as helper:
        endpoint = {"endpoint": helper.url, "model": "helper"}
        sample = {"questions": "sums", "samples": 1, "attempts": 1, "helper": "helper"}
        declared = study(improve={"sample": sample, "for": {"strategy": ["interactive"]}})
        declared["models"]["helper"] = endpoint
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
        root = tmp_path / "run"
        assert main(["generate", str(tmp_path / "study.yaml"), "-o", str(root)]) == 0
        name = "tiny--improve-interactive--full--s42--round3"
        jobs = {(job["stage"], job["name"]): job for job in rows(root / "jobs.jsonl")}
        words = list(jobs["sample", name]["command"][1:])
        at = words.index("--transformers")
        words[at : at + 2] = ["--endpoint", asked.url, "--any-model", "--concurrency", "1"]
        words[1] = str(root / words[1])
        words[words.index("-o") + 1] = str(root / "data" / "sample" / name)
        helper.is_down = True
        assert main([*words, "--patience", "1"]) == 1
        printed = capsys.readouterr().err
        assert helper.url in printed
        before = len(asked.bodies)
        assert before == 40, "the plain samples are kept"
        helper.is_down = False
        assert main([*words, "--patience", "60"]) == 0
        assert len(asked.bodies) == before + 40, "nothing is asked twice"
    samples = rows(root / "data" / "sample" / name / "samples.jsonl")
    assert sum(row["correct"] is True for row in samples) == 40


def test_rows_that_their_writer_is_surer_of_are_an_alarm_unless_the_score_rises(
    loop: LoopFolder,
) -> None:
    loop.scores(0, [True, False] * 10)
    changed(loop, likelihood=10)
    for number, nats in ((1, 0.9), (2, 0.4), (3, 0.2)):
        path = loop.root / "rounds" / f"{loop.name(number)}.likelihood.json"
        found = {"questions": 10, "tokens": 9.0, "nll": nats, "low": nats, "high": nats + 0.1}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found))
    first = done(loop, 1, lambda n: [right(n)], [True] * 12 + [False] * 8)
    second = done(loop, 2, lambda n: [right(n)], [True] * 12 + [False] * 8)
    third = done(loop, 3, lambda n: [right(n)], [True] * 20)
    assert [one.likelihood for one in (first, second, third)] == [0.9, 0.4, 0.2]
    assert first.alarms == third.alarms == ()
    assert second.alarms == (
        "likelihood: the new rows cost the model that wrote them 0.900 -> 0.400 nats a token, and "
        "the score does not rise",
    )


@pytest.mark.host
def test_the_new_rows_are_scored_by_the_model_that_wrote_them(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    declared = study(improve={"likelihood": 6})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["generate", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "run")]) == 0
    loop = LoopFolder(tmp_path / "run")
    jobs = {(job["stage"], job["name"]): job for job in rows(loop.root / "jobs.jsonl")}
    job = jobs["likelihood", loop.name(2)]
    assert ["train", loop.name(1)] in job["needs"]
    assert ["likelihood", loop.name(2)] in jobs["decide", loop.name(2)]["needs"]
    loop.weights(START, seed=0)
    loop.samples(1, lambda n: [right(n)])
    keep_rows(loop.root, loop.name(1))
    found = measure_likelihood(loop.root, loop.name(1))
    assert found.questions == 6
    assert found == read_likelihood(loop.root, loop.name(1))
    assert found.low < found.nll < found.high
    kept = rows(loop.root / "data" / "rounds" / f"{loop.name(1)}.jsonl")
    first = list({row["question_id"]: row for row in reversed(kept)}.values())[::-1][:6]
    writer = loop.root / "checkpoints" / START
    assert found.nll == pytest.approx(statistics.fmean(nll(writer, row) for row in first), rel=1e-4)


def nll(model: Path, row: dict[str, Any]) -> float:
    """Return the mean negative log-likelihood of a response, by a plain forward pass."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    asked = [{"role": "user", "content": row["instruction"]}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    response = tokenizer(row["output"], add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + response])
    logits: Any = AutoModelForCausalLM.from_pretrained(model)(ids).logits[0, len(prompt) - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits.detach(), ids[0, len(prompt) :]))


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
        ({"sample": {"questions": "sums", "budget": 2}}, "sample.budget: a loop has no budget"),
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
