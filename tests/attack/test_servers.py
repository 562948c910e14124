"""Misbehaving servers: the judge asks again, gives up in time, says why, and keeps its key."""

from __future__ import annotations

import resource
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from attack.children import Outcome, longest, outcomes
from attack.servers import (
    BEHAVIOURS,
    GOOD,
    Behaviour,
    misbehaving,
    redirects,
    says,
    sends,
)
from cotdistill.errors import UserError
from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
from cotdistill.results.judge.judge import judge
from cotdistill.results.judge.options import JudgeOptions
from run_folder import add_scores

KEY = "sk-a-key-that-nobody-else-may-see"
LONGEST_S = 30.0
MOST_BYTES = 400 << 20
QUESTIONS = 3


def judged(url: str, place: Path) -> dict[str, Any]:
    """Judge three wrong answers and return how it ended, what it said, and how long it took."""
    add_scores(place, "one", [False] * QUESTIONS)
    endpoint = Endpoint(
        (url,), KEY, concurrency=2, timeout=0.5, attempts=2, first_wait=0.01, longest_wait=0.05,
        patience=2.0, silence=0.5,
    )  # fmt: skip
    began = time.monotonic()
    lines: list[str] = []
    try:
        asker = endpoint_asker(endpoint, tell=lines.append)
        found = judge([place], JudgeOptions("model"), asker, place / "cache.jsonl", lines.append)
        spent = found.spent
        ended = "failed" if spent.failed or spent.asked < QUESTIONS else "answered"
        lines.append(str(spent.last_failure or ""))
    except UserError as error:
        ended = "failed"
        lines.append(str(error))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return {
        "ended": ended,
        "said": "\n".join(lines),
        "seconds": time.monotonic() - began,
        "peak": peak,
    }


def checked(behaviour: Behaviour, outcome: Outcome) -> str:
    """Return what is wrong with how the judge took a server, or an empty text."""
    if outcome.ended != "fine":
        return outcome.ended
    result: Any = outcome.result
    if behaviour.expected not in ("either", result["ended"]):
        return f"{result['ended']}: {result['said']}"
    if result["ended"] == "failed" and not result["said"].strip():
        return "no reason is given"
    if KEY in result["said"] or "\x1b" in result["said"]:
        return f"says {result['said']}"
    if result["seconds"] > max(LONGEST_S, longest() / 2):
        return f"took {result['seconds']:.0f} s"
    return ""


def test_every_misbehaviour_ends_in_time_with_an_answer_or_a_reason(
    tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    chosen = part_of(BEHAVIOURS, 3)

    def run(behaviour: Behaviour) -> dict[str, Any]:
        with misbehaving(behaviour.behave) as server:
            return judged(server.url, tmp_path / behaviour.name.replace("/", "-")[:40])

    found = outcomes(chosen, run)
    faults = [
        f"{behaviour.name}: {wrong}"
        for behaviour, outcome in zip(chosen, found, strict=True)
        if (wrong := checked(behaviour, outcome))
    ]
    assert not faults, "\n".join(faults)
    count["behaviours of servers"] += len(chosen)
    if len(chosen) == len(BEHAVIOURS):
        assert len(chosen) >= 80
        peak = max(outcome.result["peak"] for outcome in found)  # type: ignore[index]
        assert peak < MOST_BYTES, f"{peak >> 20} MiB"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_never_takes_questions_or_keys_to_another_host(
    status: int, tmp_path: Path, count: Counter[str]
) -> None:
    with misbehaving(sends(GOOD)) as other:
        places = (f"http://localhost:{other.port}/v1", f"//127.0.0.1:{other.port}/", "file:///etc")
        for number, place in enumerate(places):
            with misbehaving(redirects(status, place)) as server:
                result = judged(server.url, tmp_path / str(number))
            assert result["ended"] == "failed"
            assert not other.requests
            count["behaviours of servers"] += 1


@pytest.mark.parametrize(
    "body", [f"Incorrect key: Bearer {KEY}", f'{{"error": {{"message": "key {KEY} \x1b[2J"}}}}']
)
@pytest.mark.parametrize("status", ["400 Bad", "401 Unauthorized", "403 Forbidden", "500 Error"])
def test_a_key_and_escapes_that_a_server_repeats_are_not_shown(
    status: str, body: str, tmp_path: Path, count: Counter[str]
) -> None:
    with misbehaving(says(body.encode(), status)) as server:
        url = server.url.replace("//", "//user:password-of-mine@")
        result = judged(url, tmp_path)
    assert result["ended"] == "failed"
    assert KEY not in result["said"]
    assert "password-of-mine" not in result["said"]
    assert "\x1b" not in result["said"]
    count["behaviours of servers"] += 1
