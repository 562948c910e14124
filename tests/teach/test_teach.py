"""`teach` against scripted servers: what users of such tools complain about, one test each."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from json_lines import rows
from slow_server import completion, slow_server
from teach_command import ledger, teach, traces
from teacher import asked_about, obedient, solution, write_questions


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
