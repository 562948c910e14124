"""Replies that are no rationale as asked for: asked again, kept with a flag, or left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from json_lines import rows
from slow_server import slow_server
from teach_command import ledger, teach, traces
from teacher import asked_about, obedient, solution, write_questions


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
