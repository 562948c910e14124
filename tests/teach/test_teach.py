"""`teach` against scripted servers: what users of such tools complain about, one test each."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.hosts.request import Choice, Reply, Request, Take
from cotdistill.hosts.served_model import is_same_model
from cotdistill.teach.asking import Answer, Ask
from cotdistill.teach.engine import Engine
from cotdistill.teach.store import Store
from slow_server import SlowServer, completion, slow_server
from teacher import asked_about, level_in, obedient, solution, write_questions


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "questions.jsonl", 6)


def teach(questions: Path | str, server: SlowServer | str, out: Path, *words: str) -> int:
    url = server if isinstance(server, str) else server.url
    given = ["teach", str(questions), "--endpoint", url, "--model", "m", "-o", str(out), *words]
    return main(given)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def traces(out: Path) -> list[dict[str, Any]]:
    return rows(out / "traces.jsonl")


def ledger(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "ledger.json").read_text(encoding="utf-8"))
    return found


# -- what comes out


def test_every_question_is_taught_at_every_level_in_the_order_of_the_questions(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", "--levels", "1-6") == 0
    found = traces(tmp_path / "out")
    assert [row["id"] for row in found] == [
        f"toy-{n}-level{level}-natural-0" for n in range(6) for level in range(1, 7)
    ]
    assert {row["meta"]["correct"] for row in found} == {True}
    assert {row["split"] for row in found} == {"train"}
    first = found[0]["provenance"]
    assert (first["teacher"], first["level"], first["format"], first["sample"]) == (
        "m",
        1,
        "natural",
        0,
    )
    assert first["served_model"] == "m"
    assert first["gold_shown"] is False
    assert first["decoding"] == {"temperature": 0.0, "max_tokens": 1024}
    counts = ledger(tmp_path / "out")["counts"]
    assert counts == {
        "questions": 6,
        "asked": 36,
        "kept": 36,
        "cut": 0,
        "refused": 0,
        "failed": 0,
        "open": 0,
    }
    out = capsys.readouterr().out
    assert "natural: steps rise with the levels; mean Kendall tau of level and steps +1.00" in out
    assert "36 samples of 6 questions: 36 kept" in out


@pytest.mark.parametrize("verb", ["teach", "sample"])
def test_the_rows_are_the_same_bytes_if_a_server_was_too_busy_once(
    verb: str, questions: Path, tmp_path: Path
) -> None:
    calm, busy = tmp_path / "calm", tmp_path / "busy"
    how = ["--levels", "3"] if verb == "teach" else ["--strategy", "vanilla", "-k", "1"]
    how += ["--concurrency", "1"]  # so that the first request is one

    def ask(url: str, out: Path) -> int:
        return main([verb, str(questions), "--endpoint", url, "--model", "m", "-o", str(out), *how])

    with slow_server(obedient) as server:
        assert ask(server.url, calm) == 0
    with slow_server(lambda body: 503 if len(server.bodies) == 1 else obedient(body)) as server:
        assert ask(server.url, busy) == 0
        assert len(server.bodies) == 7
    assert traces(calm)
    assert (calm / "traces.jsonl").read_bytes() == (busy / "traces.jsonl").read_bytes()
    assert (ledger(calm)["sent_again"], ledger(busy)["sent_again"]) == (0, 1)


def test_the_journal_says_when_and_how_often_each_was_asked_and_the_ledger_sums_it_up(
    questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with slow_server(lambda body: 503 if len(server.bodies) == 1 else obedient(body)) as server:
        assert teach(questions, server, out, "--levels", "3", "--concurrency", "1") == 0
    (segment,) = (out / "journal").glob("*.jsonl")
    replies = [json.loads(line)["reply"] for line in segment.read_text().splitlines()]
    assert sorted(reply["attempts"] for reply in replies) == [1, 1, 1, 1, 1, 2]
    times = sorted(reply["asked_at"] for reply in replies)
    assert len(times) == 6
    assert all(time.endswith("+00:00") for time in times)
    assert ledger(out)["asked_at"] == {"first": times[0], "last": times[-1]}
    assert ledger(out)["sent_again"] == 1
    written = (out / "traces.jsonl").read_bytes()
    # a journal of an earlier version, without either
    lines = segment.read_text().splitlines(keepends=True)
    for reply in replies:
        del reply["asked_at"], reply["attempts"]
    heads = [line.partition('"reply": ')[0] for line in lines]
    older = [
        f'{head}"reply": {json.dumps(one)}}}\n' for head, one in zip(heads, replies, strict=True)
    ]
    segment.write_text("".join(older))
    with slow_server(obedient) as server:
        assert teach(questions, server, out, "--levels", "3") == 0
        assert not server.bodies
    assert (ledger(out)["asked_at"], ledger(out)["sent_again"]) == (None, 0)
    assert (out / "traces.jsonl").read_bytes() == written


def test_the_same_command_again_asks_nothing_and_writes_the_same_bytes(
    questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with slow_server(obedient) as server:
        teach(questions, server, out, "--levels", "1,3")
        before = (out / "traces.jsonl").read_bytes()
        asked = len(server.bodies)
        teach(questions, server, out, "--levels", "1,3")
        assert len(server.bodies) == asked == 12
    assert (out / "traces.jsonl").read_bytes() == before


def test_more_samples_ask_only_for_the_new_ones_and_another_address_for_none(
    questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    how = ("--levels", "2", "--temperature", "0.7")
    with slow_server(obedient) as server, slow_server(obedient) as moved:
        teach(questions, server, out, "-k", "2", *how)
        first = traces(out)
        teach(questions, moved, out, "-k", "3", *how)
        assert (len(server.bodies), len(moved.bodies)) == (12, 6)
        assert len({body["seed"] for body in server.bodies + moved.bodies}) == 18
        assert all("n" not in body for body in server.bodies)
        kept = {row["id"]: row for row in traces(out)}
        assert all(kept[row["id"]] == row for row in first)
        teach(questions, server, out, "-k", "1", *how)
        assert len(traces(out)) == 6
        assert len(server.bodies) == 12


def test_more_tokens_ask_only_for_what_was_truncated(questions: Path, tmp_path: Path) -> None:
    """A larger maximum of tokens must not throw whole replies away."""

    def decide(body: dict[str, Any]) -> Any:
        _, total = asked_about(body)
        if total == 9 and body["max_tokens"] < 64:
            return completion("1. So we", 32, body, "length")
        return completion(solution(total, 3), 40 if total == 9 else 20, body)

    out = tmp_path / "out"
    with slow_server(decide) as server:
        assert teach(questions, server, out, "--levels", "3", "--max-tokens", "32") == 1
        assert (len(traces(out)), len(server.bodies)) == (5, 6)
        (missing,) = rows(out / "failures.jsonl")
        assert (missing["state"], missing["question_id"]) == ("cut", "toy-1")
        before = {row["id"]: row["rationale"] for row in traces(out)}
        assert teach(questions, server, out, "--levels", "3", "--max-tokens", "64") == 0
        assert len(server.bodies) == 7
        after = {row["id"]: row["rationale"] for row in traces(out)}
        assert before.items() < after.items()
        assert teach(questions, server, out, "--levels", "3", "--max-tokens", "32") == 1
        assert len(server.bodies) == 7


def test_truncated_replies_can_be_asked_again_with_more_tokens_at_once(
    questions: Path, tmp_path: Path
) -> None:
    def decide(body: dict[str, Any]) -> Any:
        if body["max_tokens"] < 64:
            return completion("1. So", body["max_tokens"], body, "length")
        return completion(obedient(body), 40, body)

    out = tmp_path / "out"
    how = ("--levels", "3", "--max-tokens", "16", "--grow-max-tokens", "2")
    with slow_server(decide) as server:
        assert teach(questions, server, out, *how) == 0
        assert Counter(body["max_tokens"] for body in server.bodies) == {16: 6, 32: 6, 64: 6}
        teach(questions, server, out, *how)
        assert len(server.bodies) == 18
    assert len(traces(out)) == 6


@pytest.mark.parametrize("text", ["The answer is 7 and", ""])
def test_a_truncated_reply_is_never_read_for_an_answer(
    questions: Path, tmp_path: Path, text: str
) -> None:
    with slow_server(lambda body: completion(text, 9, body, "length")) as server:
        assert teach(questions, server, tmp_path / "out") == 1
    assert traces(tmp_path / "out") == []
    assert {row["state"] for row in rows(tmp_path / "out" / "failures.jsonl")} == {"cut"}


@pytest.mark.parametrize(
    "message",
    [
        {"content": "The answer is 7", "reasoning": "0 + 7"},
        {"content": "The answer is 7", "reasoning_content": "0 + 7"},
        {"content": "The answer is 7", "reasoning_details": [{"text": "0 + 7"}]},
        {"content": "<think>0 + 7</think>The answer is 7"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "0 + 7"}]},
                     {"type": "text", "text": "The answer is 7"}]},
    ],
    ids=["vllm", "deepspeek", "openrouter", "inline", "mistral"],
)  # fmt: skip
def test_thoughts_arrive_the_same_whatever_the_server_calls_them(
    tmp_path: Path, message: dict[str, Any]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    reply = {"choices": [{"message": message, "finish_reason": "stop"}]}
    with slow_server(lambda _: reply) as server:
        assert teach(questions, server, tmp_path / "out", "--profile", "long") == 0
        assert server.bodies[0]["chat_template_kwargs"] == {"enable_thinking": True}
    (row,) = traces(tmp_path / "out")
    assert row["rationale"] == "<think>\n0 + 7\n</think>\n\nThe answer is 7"
    assert row["meta"]["correct"] is True


def test_refused_and_empty_replies_become_no_rows_and_are_counted_apart(
    questions: Path, tmp_path: Path
) -> None:
    def decide(body: dict[str, Any]) -> Any:
        _, total = asked_about(body)
        if total == 7:
            return completion("I cannot", 3, body, "content_filter")
        if total == 9:
            return completion("", 0, body)
        if total == 11:
            return {"choices": [{"message": {"content": None, "refusal": "No."}}]}
        return solution(total, 2)

    out = tmp_path / "out"
    with slow_server(decide) as server:
        assert teach(questions, server, out, "--levels", "2") == 1
        asked = len(server.bodies)
        assert teach(questions, server, out, "--levels", "2") == 1
        assert len(server.bodies) == asked + 1  # the empty one only; the others were answers
    counts = ledger(out)["counts"]
    assert (counts["kept"], counts["refused"], counts["failed"]) == (3, 2, 1)
    assert len(traces(out)) == 3


def test_one_question_that_does_not_fit_is_one_named_failure(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 200)
    decide = lambda body: 400 if asked_about(body)[1] == 107 else obedient(body)  # noqa: E731
    with slow_server(decide) as server:
        assert teach(questions, server, tmp_path / "out", "--levels", "1") == 1
    assert len(traces(tmp_path / "out")) == 199
    (missing,) = rows(tmp_path / "out" / "failures.jsonl")
    assert missing["question_id"] == "toy-50"
    assert missing["why"].startswith("HTTP 400")


# -- obedience


def test_a_disobedient_reply_is_asked_for_again_with_what_was_wrong_at_most_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 2)

    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        if (
            total == 7
            and "it has 1 step, and 5 to 7 were asked for" in body["messages"][0]["content"]
        ):
            return solution(total, 6)
        return f"The sum is {total}. The answer is {total}"

    out = tmp_path / "out"
    with slow_server(decide) as server:
        assert teach(questions, server, out, "--levels", "5") == 0
        assert len(server.bodies) == 2 + 3
        teach(questions, server, out, "--levels", "5")
        assert len(server.bodies) == 5
    good, bad = traces(out)
    assert (good["provenance"]["asked"], good["meta"].get("flags")) == (2, None)
    assert (bad["provenance"]["asked"], bad["meta"]["flags"]) == (3, ["level_missed"])
    assert ledger(out)["obedience"][0]["level_missed"] == 1
    assert "50%" in capsys.readouterr().out


def test_a_teacher_that_keeps_no_level_is_reported_as_such(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decide = lambda body: solution(asked_about(body)[1], 3)  # noqa: E731
    with slow_server(decide) as server:
        teach(questions, server, tmp_path / "out", "--levels", "1,3,6", "--again", "0")
    out = capsys.readouterr().out
    assert "the teacher did NOT keep the levels: steps rise from level 1 to 3 on 0%, 3 to 6" in out
    entries = {entry["level"]: entry for entry in ledger(tmp_path / "out")["obedience"]}
    assert [entries[level]["share_in_budget"] for level in (1, 3, 6)] == [0.0, 1.0, 0.0]


def test_all_levels_in_one_reply_are_taken_apart_and_marked(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 2)

    def decide(body: dict[str, Any]) -> str:
        _, total = asked_about(body)
        levels = (1, 2) if total == 9 else (1, 2, 3)
        return "\n".join(f"### Level {n}\n{solution(total, n)}" for n in levels)

    out = tmp_path / "out"
    with slow_server(decide) as server:
        assert teach(questions, server, out, "--levels", "1-3", "--one-call") == 1
        assert len(server.bodies) == 1 + 3
    assert len(traces(out)) == 5
    assert all(row["meta"]["bundle"] for row in traces(out))
    (missing,) = rows(out / "failures.jsonl")
    assert missing["why"] == "its reply holds no part for level 3"


def test_formats_are_checked_by_what_they_hold(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    good = {
        "Break it into": "Q: How many has he?\nA: 0.\nQ: How many then?\nA: 7.\nThe answer is 7",
        "in symbols": "a = 0\nb = 7\ns = a + b = 7\nThe answer is 7",
        "restate the whole": "Rephrased question: Tom owns 0 pens and buys 7 pens. How many has he "
        "now?\n\n0 + 7 = 7.\nThe answer is 7",
        "Python program": "```python\nprint(0 + 7)\n```",
        "plain sentences": "0 + 7 = 7.\nThe answer is 7",
    }

    def decide(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        return next(reply for words, reply in good.items() if words in text)

    formats = "least-to-most,symbolic,rephrase,program,natural"
    with slow_server(decide) as server:
        assert teach(questions, server, tmp_path / "good", "--formats", formats) == 0
        assert len(server.bodies) == 5
    assert not any("flags" in row["meta"] for row in traces(tmp_path / "good"))
    with slow_server(lambda _: "It is 7.") as server:
        teach(questions, server, tmp_path / "bad", "--formats", formats, "--again", "0")
    flags = {row["provenance"]["format"]: row["meta"]["flags"] for row in traces(tmp_path / "bad")}
    assert flags == {
        "least-to-most": ["format_missed", "ending_missed"],
        "symbolic": ["format_missed", "ending_missed"],
        "rephrase": ["format_missed", "ending_missed"],
        "program": ["format_missed"],
        "natural": ["ending_missed"],
    }


def test_traces_are_rewritten_into_another_format_by_the_same_path(
    questions: Path, tmp_path: Path
) -> None:
    with slow_server(obedient) as server:
        teach(questions, server, tmp_path / "first", "--levels", "3")

    def rewritten(body: dict[str, Any]) -> str:
        text = body["messages"][0]["content"]
        assert "Given solution:\n1. Step 1 adds what is known." in text
        return solution(asked_about(body)[1], 6)

    with slow_server(rewritten) as server:
        source = tmp_path / "first" / "traces.jsonl"
        assert teach(source, server, tmp_path / "second", "--rewrite", "--levels", "6") == 0
    row = traces(tmp_path / "second")[0]
    assert row["meta"]["rewritten_from"] == "toy-0-level3-natural-0"
    assert row["provenance"]["strategy"] == "rewrite"
    assert row["provenance"]["level"] == 6


def test_the_reference_answer_reaches_the_teacher_only_when_it_is_shown(
    questions: Path, tmp_path: Path
) -> None:
    line = "The correct answer is known to be: 7"
    with slow_server(obedient) as server:
        teach(questions, server, tmp_path / "hidden")
        assert not any(line in body["messages"][0]["content"] for body in server.bodies)
        teach(questions, server, tmp_path / "shown", "--gold", "shown")
        assert any(line in body["messages"][0]["content"] for body in server.bodies)
    assert traces(tmp_path / "shown")[0]["provenance"]["gold_shown"] is True


def test_right_and_wrong_rationales_are_kept_with_a_flag_and_the_share_is_reported(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mentor-KD: three samples a question; wrong is told from what states no answer."""
    answers = iter(["The answer is 7", "The answer is 8", "Let us see now, it is hard to say."] * 9)
    questions = write_questions(tmp_path / "q.jsonl", 1)
    with slow_server(lambda _: next(answers)) as server:
        how = ("--profile", "mentor-kd", "--again", "0", "--concurrency", "1")
        teach(questions, server, tmp_path / "out", *how)
        assert {body["temperature"] for body in server.bodies} == {0.7}
    assert [row["meta"]["correct"] for row in traces(tmp_path / "out")] == [True, False, False]
    out = capsys.readouterr().out
    assert "33.3% of the graded rationales are correct (1 correct, 1 no_answer, 1 wrong)" in out


def test_a_server_that_ignores_seeds_is_pointed_out(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(obedient) as server:
        teach(questions, server, tmp_path / "out", "-k", "4")
    assert "75% of the samples repeat another sample" in capsys.readouterr().err
    assert ledger(tmp_path / "out")["identical_texts_share"] == 0.75


# -- busy, broken and dead servers


def test_a_burst_of_refusals_loses_no_row_and_costs_few_requests(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 300)
    count = iter(range(1 << 30))

    def decide(body: dict[str, Any]) -> Any:
        number = next(count)
        return 429 if number < 20 and number % 5 < 3 else obedient(body)

    with slow_server(decide, latency=0.01) as server:
        assert teach(questions, server, tmp_path / "out", "--levels", "1") == 0
        assert len(server.bodies) == 300 + 12  # each refusal costs one request
    assert len(traces(tmp_path / "out")) == 300


def test_a_server_that_refuses_for_ever_ends_the_run_and_what_came_is_written(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with slow_server(lambda body: obedient(body) if server.answered < 3 else 429) as server:
        how = ("--levels", "1", "--patience", "1", "--timeout", "1", "--concurrency", "1")
        assert teach(questions, server, out, *how) == 1
    assert "last: HTTP 429" in capsys.readouterr().err
    assert len(traces(out)) == 3
    assert ledger(out)["counts"]["open"] == 3


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "--key-env"), (402, "no credit left"), (403, "may not use this model")],
)
def test_missing_rejected_or_exhausted_credentials_end_it_with_one_line(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, message: str
) -> None:
    with slow_server(lambda _: status) as server:
        assert teach(questions, server, tmp_path / "out") == 1
        assert len(server.bodies) <= 8
    err = capsys.readouterr().err.splitlines()
    assert message in err[-1]


def test_a_variable_that_was_named_for_the_key_and_holds_none_is_refused(
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EMPTY_KEY", "")
    with slow_server(obedient) as server:
        for name in ("NO_SUCH_KEY", "EMPTY_KEY"):
            assert teach(questions, server, tmp_path / "out", "--key-env", name) == 2
            assert f"type: export {name}=KEY" in capsys.readouterr().err
        assert server.bodies == []
        assert teach(questions, server, tmp_path / "out") == 0


def test_a_server_that_refuses_every_request_is_named_with_what_to_look_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 40)
    with slow_server(lambda _: 400) as server:
        assert teach(questions, server, tmp_path / "out", "--concurrency", "1") == 1
    assert "does the model take such requests (context" in capsys.readouterr().err


def test_programs_in_another_language_are_kept_with_a_flag_and_pointed_out(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(lambda _: "```javascript\nconsole.log(36)\n```") as server:
        how = ("--formats", "program", "--again", "0")
        assert teach(questions, server, tmp_path / "out", *how) == 0
    assert {tuple(row["meta"]["flags"]) for row in traces(tmp_path / "out")} == {("format_missed",)}
    expected = "6 of 6 rationales miss their format; the first: toy-0: it holds no program between"
    assert expected in capsys.readouterr().err


def test_a_server_of_another_model_is_refused_unless_it_is_meant(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = lambda body: completion(obedient(body), 3, {"model": "gpt-3.5-turbo"})  # noqa: E731
    with slow_server(reply) as server:
        assert teach(questions, server, tmp_path / "out") == 1
        assert "the server answers as 'gpt-3.5-turbo'; expected 'm'" in capsys.readouterr().err
        assert teach(questions, server, tmp_path / "out", "--any-model") == 0


@pytest.mark.parametrize(
    ("asked", "served", "is_same"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-3-5-sonnet", "claude-3-5-sonnet-20241022", True),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", True),
        ("mistral-small-latest", "mistral-small", True),
        ("/models/Qwen2.5-7B/", "Qwen/qwen2.5-7b", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o-mini-latest", "gpt-4o-2024-08-06", False),
        ("Qwen2.5-7B", "Qwen2.5-7B-Instruct", False),
        ("Qwen2.5-7", "Qwen2.5-72", False),
        ("deepseek-r1", "deepseek-r1-distill-qwen-1.5b", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-05-13", False),
        ("gemma-2", "gemma-2-27", False),
        ("m", "m-other-tiny", False),
    ],
)
def test_a_name_that_only_begins_alike_is_another_model(
    asked: str, served: str, is_same: bool
) -> None:
    assert is_same_model(asked, served) is is_same


def test_a_server_that_adds_a_date_is_accepted_and_one_that_adds_a_size_is_not(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {"model": "m-2024-08-06"}
    reply = lambda body: completion(obedient(body), 3, name)  # noqa: E731
    with slow_server(reply) as server:
        assert teach(questions, server, tmp_path / "dated") == 0
        name["model"] = "m-tiny"
        assert teach(questions, server, tmp_path / "other") == 1
    assert "the server answers as 'm-tiny'; expected 'm'" in capsys.readouterr().err


def test_two_servers_share_the_work_and_one_that_dies_loses_nothing(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 150)
    with (
        slow_server(obedient, latency=0.005) as good,
        slow_server(lambda body: obedient(body) if dying.answered < 20 else 500) as dying,
    ):
        how = ("--endpoint", dying.url, "--concurrency", "2", "--levels", "1")
        assert teach(questions, good, tmp_path / "out", *how) == 0
    assert len(traces(tmp_path / "out")) == 150
    assert dying.answered >= 20


def test_after_a_restart_many_requests_are_under_way_again(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 600)
    out = tmp_path / "out"
    with slow_server(obedient, latency=0.05) as server:
        assert teach(questions, server, out, "--levels", "1", "--limit", "300") == 0
        server.under_way_most = 0
        assert teach(questions, server, out, "--levels", "1") == 0
        assert len(server.bodies) == 600
        assert server.under_way_most >= 32


# -- budgets, prices, pilots


def test_an_unknown_price_is_called_unknown_and_a_budget_needs_one(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(obedient) as server:
        teach(questions, server, tmp_path / "out")
        assert ledger(tmp_path / "out")["money"] == "unknown (no price was given)"
        assert teach(questions, server, tmp_path / "two", "--budget", "1") == 2
    assert "--budget needs a price" in capsys.readouterr().err


def test_a_budget_stops_before_it_is_passed_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 400)
    out = tmp_path / "out"
    price = "{input: 1.0, output: 10.0}"  # 20 and 7 tokens a request: 0.00009
    with slow_server(obedient, latency=0.01) as server:
        how = ("--levels", "1", "--price", price, "--budget", "0.02", "--max-tokens", "16")
        assert teach(questions, server, out, *how) == 1
    found = ledger(out)
    assert 0.0195 < found["money"] <= 0.02  # however many were under way at once
    assert found["counts"]["open"] == 400 - found["counts"]["kept"]
    assert "stopped at the budget of 0.02" in capsys.readouterr().err


def test_cached_tokens_are_priced_at_their_own_rate_and_not_twice(tmp_path: Path) -> None:
    def decide(body: dict[str, Any]) -> Any:
        reply = completion(obedient(body), 100, body)
        reply["usage"] = {
            "prompt_tokens": 1000,
            "completion_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 800},
        }
        return reply

    questions = write_questions(tmp_path / "q.jsonl", 1)
    with slow_server(decide) as server:
        price = "{input: 1.0, cached: 0.1, output: 10.0}"
        teach(questions, server, tmp_path / "out", "--price", price)
    assert ledger(tmp_path / "out")["money"] == pytest.approx((200 + 80 + 1000) / 1e6)


def test_a_pilot_estimates_the_whole_and_its_answers_are_not_paid_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 100)
    out = tmp_path / "out"
    price = ("--price", "{input: 1.0, output: 10.0}")
    with slow_server(obedient) as server:
        assert teach(questions, server, out, "--levels", "1,2", "--pilot", "20", *price) == 0
        assert len(server.bodies) == 40
        shown = capsys.readouterr().out
        assert "20 of 100 questions asked" in shown
        assert "completion tokens  1,400 (95 % interval 1,400 to 1,400)" in shown
        teach(questions, server, out, "--levels", "1,2", *price)
        assert len(server.bodies) == 200
    found = ledger(out)
    assert found["predicted"]["money"][1] == pytest.approx(found["money"])
    with slow_server(obedient) as server:
        how = ("--pilot", "5", "--budget", "0.001", *price)
        assert teach(questions, server, tmp_path / "other", *how) == 1


def test_a_budget_is_of_the_folder_and_not_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 100)
    out = tmp_path / "out"
    price = ("--price", "{input: 1.0, output: 10.0}")  # 0.00009 a request
    how = ("--levels", "1", *price, "--max-tokens", "16")
    with slow_server(obedient) as server:
        assert teach(questions, server, out, *how, "--budget", "0.0045") == 1
        assert "stopped at the budget of 0.0045; first" in capsys.readouterr().err
        asked, money = len(server.bodies), ledger(out)["money"]
        assert 0 < money <= 0.0045
        assert teach(questions, server, out, *how, "--budget", "0.0045") == 1
        assert len(server.bodies) - asked <= 1  # what a request may cost may now be known better
        money = ledger(out)["money"]
        expected = f"stopped at the budget of 0.0045, {money:,.4f} of it spent by earlier runs"
        err = capsys.readouterr().err
        assert expected in err
        assert "the same command with a higher --budget asks only for those" in err
        assert teach(questions, server, out, *how, "--budget", "0.01") == 0
        assert len(server.bodies) == 100
        assert teach(questions, server, out, *how, "--budget", "0.0045") == 0  # nothing is missing
        limited = ("--levels", "2", "--budget-tokens", "2750", "--max-tokens", "16")
        assert teach(questions, server, out, *limited) == 1
        assert "the limit of 2,750 tokens, 2,700 of them used by earlier" in capsys.readouterr().err
        assert len(server.bodies) == 100


def test_a_price_of_batch_files_is_not_that_of_a_server(questions: Path, tmp_path: Path) -> None:
    price = "{input: 1.0, output: 10.0, batch: 0.5}"
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", "--price", price) == 0
    assert ledger(tmp_path / "out")["money"] == pytest.approx(6 * 90 / 1e6)


def test_a_pilot_without_answers_estimates_nothing_and_fails(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    price = ("--price", "{input: 1.0, output: 10.0}")
    with slow_server(lambda _: 400) as server:
        assert teach(questions, server, tmp_path / "out", "--pilot", "2", *price) == 1
    shown = capsys.readouterr()
    assert "money" not in shown.out
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_pilot_leaves_questions_that_failed_out_of_its_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 9)
    fails = lambda body: "" if asked_about(body)[1] < good.tokens else obedient(body)  # noqa: E731
    how = ("--pilot", "9", "--price", "{input: 1.0, output: 10.0}")
    with slow_server(fails) as good:
        assert teach(questions, good, tmp_path / "all", *how) == 0
        good.tokens = 10  # of the sums, 7 and 9 are less
        assert teach(questions, good, tmp_path / "some", *how) == 1
        shown = capsys.readouterr()
        assert "9 of 9 questions asked, 7 answered; from those, for all:" in shown.out
        assert "completion tokens  90 (95 % interval 90 to 90)" in shown.out
        assert "2 of 9 questions were not answered, left out of the estimate; first: toy-0: an" in (
            shown.err
        )
        good.tokens = 22  # but for the last
        assert teach(questions, good, tmp_path / "one", *how) == 1
        shown = capsys.readouterr()
        assert "completion tokens  198 (from one question: no interval)" in shown.out


def test_only_a_pilot_of_the_same_settings_predicts(questions: Path, tmp_path: Path) -> None:
    price = ("--price", "{input: 1.0, output: 10.0}")
    out = tmp_path / "out"
    with slow_server(obedient) as server:
        assert teach(questions, server, out, "--levels", "1", "--pilot", "2", *price) == 0
        assert teach(questions, server, out, "--levels", "1,2", *price) == 0
        assert "predicted" not in ledger(out)
        assert teach(questions, server, out, "--levels", "1", "--limit", "3", *price) == 0
        assert "predicted" not in ledger(out)
        assert (
            teach(questions, server, out, "--levels", "1", "--price", "{input: 2, output: 2}") == 0
        )
        assert ledger(out)["predicted"]["money"] is None
        assert teach(questions, server, out, "--levels", "1", *price) == 0
        assert ledger(out)["predicted"]["money"][1] == pytest.approx(ledger(out)["money"])


# -- stopping and going on


def started(questions: Path, url: str, out: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cotdistill", "teach", str(questions), "--endpoint", url]
    command += ["--model", "m", "-o", str(out), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition: Any, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_interrupt_keeps_what_is_under_way_and_writes_the_outputs(
    tmp_path: Path, number: signal.Signals
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 200)
    with slow_server(obedient, latency=0.3) as server:
        program = started(questions, server.url, tmp_path / "out", "--concurrency", "4")
        wait_for(lambda: server.answered >= 4)
        program.send_signal(number)
        _, err = program.communicate(timeout=300)
        asked = len(server.bodies)
    assert program.returncode == 1
    assert "stopped at an interrupt" in err
    assert len(traces(tmp_path / "out")) == asked < 200


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 50)
    with slow_server(obedient, latency=60.0) as server:
        program = started(questions, server.url, tmp_path / "out")
        wait_for(lambda: server.bodies)
        program.send_signal(signal.SIGINT)
        time.sleep(2)  # two at once would count as one
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=300)
    assert program.returncode == 130


def test_no_file_holds_the_key(questions: Path, tmp_path: Path) -> None:
    key = "sk-secret-1234567890"
    with slow_server(lambda body: completion(f"{obedient(body)}", 3, body)) as server:
        environment = pytest.MonkeyPatch()
        environment.setenv("TEACHER_KEY", key)
        teach(questions, server, tmp_path / "out", "--key-env", "TEACHER_KEY")
        environment.undo()
        assert f"Bearer {key}" in server.headers[0]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not any(key.encode() in path.read_bytes() for path in files)


def test_two_programs_in_one_folder_are_refused_unless_each_has_a_shard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 30)
    out = tmp_path / "out"
    with slow_server(obedient, latency=0.2) as server:
        first = started(questions, server.url, out, "--shard", "1/2", "--concurrency", "2")
        wait_for(lambda: server.bodies)
        assert teach(questions, server, out) == 1
        assert "another program works in it" in capsys.readouterr().err
        assert teach(questions, server, out, "--shard", "1/3") == 1
        assert teach(questions, server, out, "--shard", "2/2") == 0
        first.communicate(timeout=60)
        assert len(server.bodies) == 30
        assert teach(questions, server, out) == 0
        assert len(server.bodies) == 30
    alone = tmp_path / "alone"
    with slow_server(obedient) as server:
        teach(questions, server, alone)
    assert (alone / "traces.jsonl").read_bytes() == (out / "traces.jsonl").read_bytes()


# -- input that is not right


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--levels", "0"), "0 is none; the levels are 1 (coarse) to 6 (fine)"),
        (("--levels", "1-7"), "7 is none; the levels are 1 (coarse) to 6 (fine)"),
        (("--levels", "fine"), "no list of levels"),
        (("--formats", "prose"), "no format 'prose'"),
        (("--profile", "longer"), "no profile 'longer'; did you mean 'long'?"),
        (("--gold", "seen"), "expected hidden or shown"),
        (("-k", "2", "--temperature", "0"), "are the same text"),
        (("--one-call",), "bundled levels are several levels"),
        (("--shard", "3/2"), "expected I/N"),
        (("--price", "{input: 1}"), "no 'output'"),
        (("--price", "free"), "takes a mapping"),
        (("--extra", "{temperature: 1}"), "extra repeats temperature"),
        (("--vllm", "{}"), "either --endpoint URL or --vllm SETTINGS"),
        (("--reasoning", "tags"), "expected think, plain or drop"),
        (("--prompts", "nowhere"), "no folder nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    questions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", *words) == 2
        assert server.bodies == []
    assert message in capsys.readouterr().err


def test_a_prompt_with_an_unknown_variable_is_named_before_anything_is_asked(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "prompts"
    mine.mkdir()
    (mine / "natural.j2").write_text("{{ question }} {{ granularity }}")
    (mine / "symbolic.j2").write_text("{% if %}")
    with slow_server(obedient) as server:
        formats = ("--formats", "natural,symbolic")
        assert teach(questions, server, tmp_path / "out", "--prompts", str(mine), *formats) == 1
        assert server.bodies == []
    err = capsys.readouterr().err
    assert "natural.j2: a value is missing ('granularity' is undefined)" in err
    assert "symbolic.j2:1: not Jinja2" in err


def test_prompts_of_ones_own_are_used_and_cannot_reach_out_of_the_sandbox(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "prompts"
    mine.mkdir()
    (mine / "haiku.j2").write_text("Write verses. {{ question }}")
    (mine / "haiku.system.j2").write_text("You are a poet.")
    (mine / "evil.j2").write_text("{{ question.__class__.__mro__ }}")
    how = ("--prompts", str(mine), "--formats")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out", *how, "haiku") == 0
        assert server.bodies[0]["messages"][0] == {"role": "system", "content": "You are a poet."}
        assert server.bodies[0]["messages"][1]["content"].startswith("Write verses. Tom has")
        asked = len(server.bodies)
        assert teach(questions, server, tmp_path / "two", *how, "evil") == 1
        assert len(server.bodies) == asked
    assert "evil.j2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("{", "not JSON"),
        ('{"id": "1", "dataset": "d", "split": "s", "question": "", "gold": "1"}', "no text in"),
        ('{"id": "1", "dataset": "d", "split": "s", "question": "x", "gold": "1", "kind": "?"}',
         "kind '?'"),
        ('{"colour": "red"}', "no column of a question"),
    ],
)  # fmt: skip
def test_a_file_without_questions_is_refused_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(text + "\n" if text else "")
    with slow_server(obedient) as server:
        assert teach(path, server, tmp_path / "out") == 1
        assert server.bodies == []
    err = capsys.readouterr().err
    assert message in err
    assert str(path) in err


def test_a_name_that_is_no_question_set_gets_a_suggestion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teach("svamb", "http://127.0.0.1:9/v1", tmp_path / "out") == 2
    assert "did you mean 'svamp'" in capsys.readouterr().err


def test_questions_without_a_reference_answer_are_taught_but_not_shown_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 3, gold="")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "out") == 0
        assert teach(questions, server, tmp_path / "two", "--gold", "shown") == 1
    assert "has no reference answer, which --gold shown needs" in capsys.readouterr().err
    assert ledger(tmp_path / "out")["grades"] == {"not_graded": 3}


def test_an_output_folder_that_holds_the_questions_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "traces.jsonl", 2)
    before = questions.read_bytes()
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path) == 2
    assert "is an input" in capsys.readouterr().err
    assert questions.read_bytes() == before


def test_another_kind_of_journal_is_not_touched(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "journal").mkdir(parents=True)
    mine = out / "journal" / "notes.jsonl"
    mine.write_text('{"note": 1}\n')
    with slow_server(obedient) as server:
        assert teach(questions, server, out) == 1
    assert "not a line of a journal of replies" in capsys.readouterr().err
    assert mine.read_text() == '{"note": 1}\n'


# -- kills


@pytest.mark.slow
def test_a_program_killed_a_hundred_times_pays_nothing_twice_and_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    """Only what was under way at a kill may be asked again: at most `concurrency` for each."""
    import random

    chance = random.Random(7)
    questions = write_questions(tmp_path / "q.jsonl", 1500)
    how = ("--levels", "1,5", "--concurrency", "4")
    with slow_server(obedient) as server:
        assert teach(questions, server, tmp_path / "calm", *how) == 0
    out = tmp_path / "out"
    kills = 0
    with slow_server(obedient, latency=0.02) as server:
        while kills < 100:
            before = len(server.bodies)
            program = started(questions, server.url, out, *how)
            wanted = before + chance.randrange(0, 30)
            while program.poll() is None and len(server.bodies) <= wanted:
                time.sleep(0.002)
            time.sleep(chance.random() * 0.03)
            if program.poll() is not None:
                break
            os.kill(program.pid, signal.SIGKILL)
            program.communicate()
            kills += 1
        assert kills >= 90
        assert teach(questions, server, out, *how) == 0
        keys = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    assert len(keys) == 3000
    assert len(server.bodies) - len(keys) <= 4 * kills
    for name in ("traces.jsonl", "failures.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


def test_a_torn_last_line_answers_nothing_and_is_asked_again(
    questions: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with slow_server(obedient) as server:
        teach(questions, server, out, "--levels", "3")
        (segment,) = (out / "journal").glob("*.jsonl")
        whole = segment.read_bytes()
        segment.write_bytes(whole[:-20])
        before = (out / "traces.jsonl").read_bytes()
        assert teach(questions, server, out, "--levels", "3") == 0
        assert len(server.bodies) == 7
    assert (out / "traces.jsonl").read_bytes() == before
    assert level_in(server.bodies[0]) == 3


def test_what_goes_wrong_in_a_pause_is_raised_although_nothing_is_asked_afterwards(
    tmp_path: Path,
) -> None:
    failed: list[str] = []

    def course(prompt: str) -> Generator[Sequence[Ask], Sequence[Answer], None]:
        yield [Ask(Request("m", prompt=prompt, key=prompt.encode().hex()))]
        if prompt == "first":
            failed.append(prompt)
            raise ZeroDivisionError

    def asker(requests: Iterator[Request], take: Take) -> None:
        async def main() -> None:
            first, second = requests
            take(first, Reply((Choice("4", finish_reason="stop"),)))
            while not failed:  # a pause, in which the first course goes on
                await asyncio.sleep(0.001)
            take(second, Reply((Choice("4", finish_reason="stop"),)))

        asyncio.run(main())

    with Store(tmp_path) as store, pytest.raises(ZeroDivisionError):
        Engine(store, {"": asker}).ask(course(prompt) for prompt in ("first", "second"))
