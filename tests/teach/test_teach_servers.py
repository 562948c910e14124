"""`teach` with servers that are busy, broken, dead, or serve another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cotdistill.hosts.served_model import is_same_model
from slow_server import completion, slow_server
from teach_command import ledger, teach, traces
from teacher import obedient, write_questions


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
