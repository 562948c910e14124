"""Prices, budgets and pilots of `teach`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slow_server import completion, slow_server
from teach_command import ledger, teach
from teacher import asked_about, obedient, write_questions


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
