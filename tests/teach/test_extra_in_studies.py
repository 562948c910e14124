"""`extra:` of an arm: keys of the request's body that only its server knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from slow_server import slow_server
from taught_study import generated, jobs_of, step, study
from teacher import obedient, write_questions

BODY = {"top_k": 20, "chat_template_kwargs": {"note": "für alle"}}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "a-key")


def with_extra(url: str, extra: Any) -> dict[str, Any]:
    declared = study(url)
    declared["arms"]["level-{level}"]["teach"]["extra"] = extra
    sampled = {"questions": "pens", "model": "teacher", "temperature": 0.7, "extra": extra}
    declared["arms"]["own"] = {"sample": sampled}
    return declared


def test_every_request_of_the_arm_has_the_keys(tmp_path: Path) -> None:
    with slow_server(obedient) as server:
        run = generated(tmp_path, with_extra(server.url, BODY))
        assert step(run, "teach", "level-1") == 0
        taught = len(server.bodies)
        step(run, "sample", "own")
        assert taught == 12 < len(server.bodies)
        assert all(BODY.items() <= body.items() for body in server.bodies)


def test_another_body_makes_other_rows_and_none_is_as_before(tmp_path: Path) -> None:
    def declared_in(extra: Any) -> dict[str, Any]:
        return jobs_of(generated(tmp_path, with_extra("http://127.0.0.1:9/v1", extra)))

    none, some = declared_in({}), declared_in({"top_k": 20})
    for job in (("teach", "level-1"), ("sample", "own")):
        assert "--extra" not in none[job]["command"]
        assert none[job]["declared"] != some[job]["declared"]


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [
        ({"n": 4}, "n: -k asks for several samples, each in a request of its own"),
        ({"seed": 1}, "extra repeats seed; it has an option of its own"),
        ({"top_k": float("nan")}, "a value is no JSON"),
        ([1], "extra"),
    ],
)
def test_keys_that_change_what_a_reply_is_are_refused_before_anything_is_asked(
    extra: Any, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_questions(tmp_path / "q.jsonl", 12)
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(with_extra("http://127.0.0.1:9/v1", extra)))
    assert main(["check", str(file)]) == 1
    found = capsys.readouterr()
    lines = [line for line in (found.out + found.err).splitlines() if wrong in line]
    assert any("arms.own.sample" in line for line in lines), found
    assert any("arms.level-1.teach" in line or "level-{level}" in line for line in lines), found
