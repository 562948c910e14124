"""Arms that a teacher writes and arms that are sampled, in a study: their jobs and their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.runs.jobs import read_jobs, settings_digest
from json_lines import rows
from slow_server import slow_server
from taught_study import generated, jobs_of, step, study
from teacher import asked_about, obedient, solution, write_questions


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "a-key")


def test_a_model_that_its_server_calls_otherwise_is_accepted_where_a_study_says_so(
    tmp_path: Path,
) -> None:
    sampled = {
        "questions": "pens", "model": "student", "strategy": "interactive", "helper": "teacher",
        "temperature": 0.7,
    }  # fmt: skip
    declared = study("http://127.0.0.1:9/v1")
    declared["arms"]["guided"] = {"sample": sampled}
    declared["models"]["student"] = {"endpoint": "http://127.0.0.1:9/v1", "model": "s"}
    jobs = jobs_of(generated(tmp_path, declared, rationale="One adds both."))
    assert not any("--any-model" in job.get("command", ()) for job in jobs.values())
    declared["models"]["teacher"]["any_model"] = True
    jobs = jobs_of(generated(tmp_path, declared, rationale="One adds both."))
    assert "--any-model" in jobs["teach", "level-1"]["command"]
    assert "--any-model" in jobs["sample", "guided"]["command"]


def test_a_grid_of_levels_is_taught_filtered_and_written_as_training_rows(tmp_path: Path) -> None:
    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        return solution(total + 1, 3) if total == 9 else obedient(body)

    with slow_server(decide) as server:
        run = generated(tmp_path, study(server.url))
        jobs = jobs_of(run)
        assert jobs["prepare", "level-3"]["needs"] == [["teach", "level-3"]]
        command = jobs["teach", "level-3"]["command"]
        assert command[:3] == ["cotdistill", "teach", str(tmp_path / "q.jsonl")]
        assert command[command.index("--levels") + 1] == "3"
        assert command[command.index("--key-env") + 1] == "TEACHER_KEY"
        assert jobs["teach", "level-3"]["asks"]["requests"] == 12
        for level in ("level-1", "level-3"):
            assert step(run, "teach", level) == 0
            assert step(run, "prepare", level) == 0
        asked = len(server.bodies)
        assert step(run, "teach", "level-3") == 0
        assert len(server.bodies) == asked
    made = rows(run / "data" / "level-3.jsonl")
    assert len(made) == 11  # the wrong one is left out
    assert made[0]["output"].endswith("The answer is 7")
    ledger = json.loads((run / "data" / "level-3.ledger.json").read_text())
    assert ledger["counts"] == {"kept": 11, "wrong_answer": 1}


def test_sampled_rows_come_after_those_of_the_arms_named_with_them(tmp_path: Path) -> None:
    arms = {
        "level-1": {"teach": {"questions": "pens", "teacher": "teacher", "level": 1}},
        "more": {
            "sample": {
                "questions": "pens",
                "model": "teacher",
                "strategy": "uniform",
                "samples": 2,
                "temperature": 0.7,
            },
            "with": ["level-1"],
        },
    }

    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        if "Solution:" not in body["messages"][0]["content"]:
            return f"Try {body['seed']}: \\boxed{{{total}}}"
        return obedient(body)

    with slow_server(decide) as server:
        run = generated(tmp_path, study(server.url, arms=arms))
        needs = jobs_of(run)["prepare", "more"]["needs"]
        assert sorted(needs) == [["sample", "more"], ["teach", "level-1"]]
        for stage, name in (("teach", "level-1"), ("sample", "more"), ("prepare", "more")):
            assert step(run, stage, name) == 0
    made = rows(run / "data" / "more.jsonl")
    assert len(made) == 24 + 12
    assert made[0]["output"].startswith("Try ")
    assert made[-1]["output"].endswith("The answer is 29")
    assert {row["instruction"] for row in made} == {
        row["question"] for row in rows(tmp_path / "q.jsonl")
    }


def test_other_answers_of_a_teacher_make_the_rows_again(tmp_path: Path) -> None:
    with slow_server(obedient) as server:
        run = generated(tmp_path, study(server.url))
        step(run, "teach", "level-1")
        step(run, "prepare", "level-1")
        before = (run / "data" / "level-1.jsonl").read_bytes()
        declared = study(server.url)
        declared["arms"]["level-{level}"]["teach"]["seed"] = 5
        server.decide = lambda body: "Add. " + solution(asked_about(body)[1], 1)
        run = generated(tmp_path, declared)
        assert step(run, "teach", "level-1") == 0
        assert step(run, "prepare", "level-1") == 0
    assert (run / "data" / "level-1.jsonl").read_bytes() != before


def test_a_rewriting_arm_waits_for_the_arm_that_it_rewrites(tmp_path: Path) -> None:
    arms = {
        "level-3": {"teach": {"questions": "pens", "teacher": "teacher", "level": 3}},
        "level-6": {
            "teach": {
                "questions": "pens",
                "teacher": "teacher",
                "level": 6,
                "rewrite_of": "level-3",
            }
        },
    }
    with slow_server(obedient) as server:
        run = generated(tmp_path, study(server.url, arms=arms))
        job = jobs_of(run)["teach", "level-6"]
        assert job["needs"] == [["teach", "level-3"]]
        assert job["command"][2] == "data/teach/level-3/traces.jsonl"
        assert step(run, "teach", "level-3") == 0
        assert step(run, "teach", "level-6") == 0
    (first, *_) = rows(run / "data" / "teach" / "level-6" / "traces.jsonl")
    assert first["meta"]["rewritten_from"] == "toy-0-level3-natural-0"


def test_a_trained_run_is_sampled_once_it_is_trained(tmp_path: Path) -> None:
    declared = study("http://127.0.0.1:9/v1")
    declared["models"]["mentor"] = {"run": {"model": "tiny", "arm": "level-3", "recipe": "full"}}
    declared["arms"]["mentored"] = {
        "sample": {"questions": "pens", "model": "mentor", "samples": 3, "temperature": 0.7}
    }
    job = jobs_of(generated(tmp_path, declared))["sample", "mentored"]
    assert job["needs"] == [["train", "tiny--level-3--full--s42"]]
    command = job["command"]
    assert command[command.index("--model") + 1] == "checkpoints/tiny--level-3--full--s42"


def test_a_profile_is_one_key_of_an_arm_and_keys_that_are_given_win(tmp_path: Path) -> None:
    ask = {"questions": "pens", "teacher": "teacher"}
    arms = {
        "micota": {"teach": {**ask, "profile": "micota"}},
        "long": {"teach": {**ask, "profile": "long", "max_tokens": 99, "stop": ["END"]}},
        "mentored": {
            "sample": {"questions": "pens", "model": "teacher", "samples": 3, "keep": "all"}
        },
    }
    prompt = {"instruction": "Think of {question} first.", "system": "You are calm."}
    run = generated(tmp_path, study("http://127.0.0.1:9/v1", arms=arms, prompt=prompt))
    jobs = {name: job["command"] for (_, name), job in jobs_of(run).items() if "command" in job}

    def option(arm: str, name: str) -> str:
        return str(jobs[arm][jobs[arm].index(name) + 1])

    assert option("micota", "--formats") == "plain"
    assert option("micota", "--max-tokens") == "16384"
    assert option("long", "--max-tokens") == "99"
    assert option("long", "--reasoning") == "think"
    assert option("long", "--stop") == "END"
    assert "--thinking" in jobs["long"]
    assert option("mentored", "--keep") == "all"
    assert option("mentored", "--instruction") == prompt["instruction"]
    assert option("mentored", "--system") == "You are calm."


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"teach": {"questions": "pens", "teacher": "teacher", "profile": "x"}}, "no profile 'x'"),
        ({"teach": {"questions": "pens", "teacher": "techer"}}, "no model 'techer'"),
        ({"teach": {"questions": "pans", "teacher": "teacher"}}, "no question set 'pans'"),
        ({"teach": {"questions": "pens", "teacher": "tiny"}}, "'tiny' cannot be asked"),
        ({"teach": {"questions": "pens", "teacher": "teacher", "level": 7}}, "level"),
        ({"sample": {"questions": "pens"}}, "the key 'model' is missing"),
        ({"sample": {"questions": "pens", "model": "teacher"}, "with": ["x"]}, "is this arm"),
    ],
)
def test_what_a_study_asks_in_vain_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arm: dict[str, Any], message: str
) -> None:
    write_questions(tmp_path / "q.jsonl", 2)
    declared = study("http://127.0.0.1:9/v1", arms={"x": arm})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    assert main(["generate", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "jobs.jsonl").exists()


def test_the_plan_prices_teachers_and_calls_an_unknown_price_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = study("http://127.0.0.1:9/v1")
    generated(tmp_path, declared, count=100)
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "study.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first = found["asked_models"][0]
    assert (first["arm"], first["requests"], first["most_requests"]) == ("level-1", 100, 300)
    assert first["money"] == pytest.approx(100 * (420 + 2 * 52) / 1e6)
    del declared["models"]["teacher"]["price"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["plan", str(tmp_path / "study.yaml")]) == 0
    out = capsys.readouterr().out
    assert "unknown cost: 2 arms of a model without a price" in out
    assert "no teacher is called" not in out


ONE_CALL = {"questions": "pens", "teacher": "teacher", "one_call": True, "again": 0}


def test_arms_that_differ_in_their_level_only_are_asked_for_in_one_call(tmp_path: Path) -> None:
    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        parts = [f"### Level {level}\n{solution(total, level)}\n" for level in (1, 3, 6)]
        return "".join(parts if total != 9 else parts[1:])  # level 1 of one question is missing

    arms = {
        "level-{level}": {
            "for": {"level": [1, 3, 6]},
            "teach": {**ONE_CALL, "level": "{level}"},
            "filter": {"grade": "strict", "per_question": 1},
        },
        "plain-3": {"teach": {**ONE_CALL, "level": 3}, "with": ["apart"]},
        "apart": {"teach": {"questions": "pens", "teacher": "teacher", "level": 2}},
    }
    with slow_server(decide) as server:
        run = generated(tmp_path, study(server.url, arms=arms))
        jobs = jobs_of(run)
        assert [name for stage, name in jobs if stage == "teach"] == ["level-1", "apart"]
        words = jobs["teach", "level-1"]["command"]
        assert words[words.index("--levels") + 1] == "1,3,6"
        assert "--one-call" in words
        assert jobs["prepare", "level-6"]["needs"] == [["teach", "level-1"]]
        assert sorted(jobs["prepare", "plain-3"]["needs"]) == [
            ["teach", "apart"],
            ["teach", "level-1"],
        ]
        assert step(run, "teach", "level-1") == 0
        assert len(server.bodies) == 12
        for name in ("level-1", "level-3", "level-6"):
            assert step(run, "prepare", name) == 0
        server.decide = obedient
        assert step(run, "teach", "apart") == 0
        assert step(run, "prepare", "plain-3") == 0
    made = {
        name: rows(run / "data" / f"{name}.jsonl") for name in ("level-1", "level-3", "level-6")
    }
    assert [len(found) for found in made.values()] == [11, 12, 12]
    for name, found in made.items():
        steps = {row["output"].count("\n") for row in found}
        assert steps == {int(name[-1])}
    counts = json.loads((run / "data" / "level-3.ledger.json").read_text())["counts"]
    assert counts == {"kept": 12, "other_level": 23}
    plain = rows(run / "data" / "plain-3.jsonl")
    assert [row["output"] for row in plain[:12]] == [row["output"] for row in made["level-3"]]
    counts = json.loads((run / "data" / "plain-3.ledger.json").read_text())["counts"]
    assert counts["other_level"] == 23


def test_the_job_of_one_call_is_the_same_in_whatever_order_its_levels_and_arms_are_written(
    tmp_path: Path,
) -> None:
    by_level = {"for": {"level": [1, 3]}, "teach": {**ONE_CALL, "level": "{level}"}}
    plain = {"teach": {**ONE_CALL, "level": 1}}
    turned = {**by_level, "for": {"level": [3, 1]}}
    found = []
    for arms in (
        {"level-{level}": by_level, "plain": plain},
        {"plain": plain, "level-{level}": turned},
    ):
        run = generated(tmp_path, study("http://127.0.0.1:9/v1", arms=arms))
        jobs = jobs_of(run)
        (taught,) = [job for (stage, _), job in jobs.items() if stage == "teach"]
        needs = [jobs["prepare", name]["needs"] for name in ("level-1", "level-3", "plain")]
        found.append((taught, needs))
    assert found[0][0]["name"] == "level-1"
    assert found[0] == found[1]


def test_the_plan_prices_one_call_once_for_all_its_levels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = study("http://127.0.0.1:9/v1")
    declared["arms"]["level-{level}"]["teach"]["one_call"] = True
    generated(tmp_path, declared, count=100)
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "study.yaml"), "--json"]) == 0
    (asked,) = json.loads(capsys.readouterr().out)["asked_models"]
    assert (asked["arm"], asked["requests"]) == ("level-1, level-3", 100)
    assert asked["prompt_tokens"] == 100 * (60 + 2 * 185)
    assert asked["generated_tokens"] == 100 * (52 + 75)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"level": 2}, "x.teach.one_call: no other arm differs from this one in 'level' only"),
        ({}, "one_call needs a level"),
        (
            {"format": "symbolic", "prompt": "mine", "rewrite_of": "y"},
            "one_call needs a level, the format natural, no prompt of its own, questions to answer",
        ),
    ],
)
def test_what_cannot_be_one_call_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], message: str
) -> None:
    write_questions(tmp_path / "q.jsonl", 2)
    declared = study("http://127.0.0.1:9/v1", arms={"x": {"teach": {**ONE_CALL, **changed}}})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    assert main(["check", str(tmp_path / "study.yaml")]) == 1
    assert message in capsys.readouterr().out


def test_an_arm_of_one_call_cannot_be_rewritten_as_its_rows_are_not_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_questions(tmp_path / "q.jsonl", 2)
    ask = {"questions": "pens", "teacher": "teacher", "level": 2, "rewrite_of": "level-1"}
    declared = study("http://127.0.0.1:9/v1")
    declared["arms"]["level-{level}"]["teach"]["one_call"] = True
    declared["arms"]["again"] = {"teach": ask}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    assert main(["check", str(tmp_path / "study.yaml")]) == 1
    assert "again.teach.rewrite_of: 'level-1' is asked for in one call" in capsys.readouterr().out


def test_a_budget_stops_the_job_of_an_arm_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    ask = {"questions": "pens", "teacher": "teacher", "level": 1, "max_tokens": 16}
    with slow_server(obedient) as server:  # 20 and 7 tokens a request, 34 millionths
        arms = {"short": {"teach": {**ask, "budget": 0.002, "budget_tokens": 100_000}}}
        run = generated(tmp_path, study(server.url, arms=arms), count=100)
        words = jobs_of(run)["teach", "short"]["command"]
        assert words[words.index("--budget") + 1] == "0.002"
        assert words[words.index("--budget-tokens") + 1] == "100000"
        assert step(run, "teach", "short") == 1
        log = (run / "logs" / "teach" / "short.log").read_text()
        assert "stopped at the budget of 0.002" in log
        assert 0 < len(server.bodies) * 34e-6 <= 0.002
        arms["short"]["teach"] |= {"budget": 5, "budget_tokens": None}
        generated(tmp_path, study(server.url, arms=arms), count=100)
        assert step(run, "teach", "short") == 0
        assert len(server.bodies) == 100  # none of those that were paid for is asked again


def test_a_budget_stops_the_job_of_a_sampled_arm_and_a_higher_one_goes_on(tmp_path: Path) -> None:
    ask = {"questions": "pens", "model": "teacher", "temperature": 0.7, "max_tokens": 16}
    ask |= {"strategy": "vanilla", "keep": "all"}
    with slow_server(obedient) as server:
        arms = {"own": {"sample": {**ask, "budget": 0.002}}}
        run = generated(tmp_path, study(server.url, arms=arms), count=100)
        assert step(run, "sample", "own") == 1
        log = (run / "logs" / "sample" / "own.log").read_text()
        assert "stopped at the budget of 0.002" in log
        paid_for = len(server.bodies)
        assert 0 < paid_for < 100
        arms["own"]["sample"] |= {"budget": 5}
        generated(tmp_path, study(server.url, arms=arms), count=100)
        assert step(run, "sample", "own") == 0
        assert len(server.bodies) == 100


def test_a_budget_of_a_local_model_is_that_of_its_helper(tmp_path: Path) -> None:
    ask = {"questions": "pens", "model": "Qwen2.5-0.5B-Instruct", "strategy": "interactive"}
    ask |= {"helper": "teacher", "temperature": 0.7, "budget": 3.5}
    declared = study("http://127.0.0.1:9/v1", arms={"own": {"sample": ask}})
    words = jobs_of(generated(tmp_path, declared, rationale="Add."))["sample", "own"]["command"]
    assert words[words.index("--budget") + 1] == "3.5"
    assert json.loads(words[words.index("--price") + 1]) == {"input": 0, "output": 0}
    assert json.loads(words[words.index("--teacher-price") + 1])["output"] == 2.0


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("teach", {"questions": "pens", "teacher": "teacher", "level": 1}),
        ("sample", {"questions": "pens", "model": "teacher", "temperature": 0.7}),
    ],
)
def test_another_budget_makes_no_finished_job_outdated(
    tmp_path: Path, stage: str, asked: dict[str, Any]
) -> None:
    found, rows_of = [], []
    for changed in ({"budget": 5, "budget_tokens": 1000}, {"budget": 6.5}, {}, {"samples": 2}):
        arms = {"short": {stage: {**asked, **changed}}}
        run = generated(tmp_path, study("http://127.0.0.1:9/v1", arms=arms))
        jobs = read_jobs(run)
        assert ("--budget" in jobs[stage, "short"].command) == ("budget" in changed)
        found.append(settings_digest(run, jobs[stage, "short"]))
        rows_of.append(settings_digest(run, jobs["prepare", "short"]))
    for digests in (found, rows_of):
        assert digests[0] == digests[1] == digests[2] != digests[3]


def test_the_plan_shows_budgets_and_how_much_of_an_arm_they_cover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = study("http://127.0.0.1:9/v1")
    declared["arms"]["level-{level}"]["teach"]["budget"] = 0.0262
    generated(tmp_path, declared, count=100)
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "study.yaml"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["asked_models"]
    assert (first["budget"], first["budget_tokens"]) == (0.0262, None)
    assert found["cost"] == pytest.approx(2 * 0.0262)
    assert first["money"] == pytest.approx(2 * 0.0262)
    assert main(["plan", str(tmp_path / "study.yaml")]) == 0
    out = capsys.readouterr().out
    assert "level-1: its budget covers about 50% of what is asked" in out
    assert second["money"] > first["money"]
    half = 50 * (330 + 950) + 50 * 2 * 52 * 3.5
    assert first["disk"] * 2**30 == pytest.approx(half, rel=0.01)
    assert "disk in all: about" in out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": 2}, "x.teach.budget: 2, and 'free' has no price; expected price: {input: "),
        ({"budget": 2, "teacher": "Qwen2.5-0.5B-Instruct"}, "is no server that is paid by token"),
        ({"budget": -1}, "greater than or equal to 0"),
        ({"budget": "much"}, "x.teach.budget"),
        ({"budget_tokens": 0.5}, "x.teach.budget_tokens"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], message: str
) -> None:
    write_questions(tmp_path / "q.jsonl", 2)
    arms = {"x": {"teach": {"questions": "pens", "teacher": "free", **changed}}}
    declared = study("http://127.0.0.1:9/v1", arms=arms)
    declared["models"]["free"] = {"endpoint": "http://127.0.0.1:9/v1", "model": "s"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    assert main(["check", str(tmp_path / "study.yaml")]) == 1
    assert message in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "free"}, "x.sample.budget: 2, and 'free' has no price"),
        ({"model": "teacher", "helper": "free"}, "x.sample.budget: 2, and 'free' has no price"),
        ({"model": "Qwen2.5-0.5B-Instruct"}, "is no server that is paid by token"),
    ],
)
def test_a_budget_of_a_sampled_arm_needs_a_price_of_every_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, Any], message: str
) -> None:
    write_questions(tmp_path / "q.jsonl", 2)
    asked = {"questions": "pens", "strategy": "vanilla", "temperature": 0.7, "budget": 2}
    asked |= {"strategy": "interactive"} if "helper" in changed else {}
    declared = study("http://127.0.0.1:9/v1", arms={"x": {"sample": {**asked, **changed}}})
    declared["models"]["free"] = {"endpoint": "http://127.0.0.1:9/v1", "model": "s"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared))
    assert main(["check", str(tmp_path / "study.yaml")]) == 1
    assert message in capsys.readouterr().out


def test_the_teacher_that_corrects_a_sampled_arm_is_planned_and_paid_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    free = {"endpoint": "http://127.0.0.1:9/v1", "model": "s", "price": {"input": 0, "output": 0}}
    sampled = {
        "questions": "pens", "model": "student", "strategy": "interactive", "helper": "teacher",
        "samples": 2, "attempts": 3, "temperature": 0.7, "max_tokens": 100,
    }  # fmt: skip
    declared = study("http://127.0.0.1:9/v1", arms={"guided": {"sample": sampled}})
    declared["models"]["student"] = free
    run = generated(tmp_path, declared, count=100, rationale="One adds both.")
    words = jobs_of(run)["sample", "guided"]["command"]
    price = json.loads(words[words.index("--teacher-price") + 1])
    assert price == {"input": 1.0, "output": 2.0}
    capsys.readouterr()
    assert main(["plan", str(tmp_path / "study.yaml"), "--json"]) == 0
    student, teacher = json.loads(capsys.readouterr().out)["asked_models"]
    assert (student["model"], student["requests"], student["money"]) == ("student", 200, 0)
    assert (teacher["arm"], teacher["model"], teacher["requests"]) == ("guided", "teacher", 0)
    assert teacher["most_requests"] == 300
    tokens = student["generated_tokens"] // 200
    assert teacher["money"] == pytest.approx(300 * (90 + 2 * tokens + 2 * 150) / 1e6)


def test_thoughts_of_reasoning_models_are_paid_for_and_become_no_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(**more: Any) -> Any:
        arms = {
            "taught": {"teach": {"questions": "pens", "teacher": "teacher", "level": 1}},
            "guided": {"sample": {"questions": "pens", "model": "Qwen2.5-0.5B-Instruct",
                                  "strategy": "interactive", "helper": "teacher"}},
        }  # fmt: skip
        declared = study("http://127.0.0.1:9/v1", arms=arms)
        declared["models"]["teacher"] |= more
        generated(tmp_path, declared, count=100, rationale="One adds both.")
        capsys.readouterr()
        assert main(["plan", str(tmp_path / "study.yaml"), "--answer-tokens", "500", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        taught, _, helper = found["asked_models"]
        return taught["money"], helper["money"], found["runs"][0]["tokens"]

    plain, thinking = planned(), planned(openai_reasoning=True)
    assert thinking[0] - plain[0] == pytest.approx(100 * 500 * 2 / 1e6)
    assert thinking[1] - plain[1] == pytest.approx(100 * 500 * 2 / 1e6)
    assert thinking[2] == plain[2]
