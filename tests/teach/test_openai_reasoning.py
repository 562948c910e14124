"""OpenAI's reasoning models: another name for the maximum of tokens, and no temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.errors import MisuseError
from cotdistill.teach.asking import Decoding, request_of
from slow_server import completion, slow_server
from teacher import asked_about, obedient, write_questions


def test_the_maximum_goes_by_its_other_name_and_raising_it_asks_only_for_what_was_truncated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide(body: dict[str, Any]) -> Any:
        if asked_about(body)[1] == 9 and body["max_completion_tokens"] < 64:
            return completion("", 32, body, "length")
        return completion(obedient(body), 20, body)

    questions = write_questions(tmp_path / "q.jsonl", 2)
    how = ["-o", str(tmp_path / "out"), "--openai-reasoning"]
    with slow_server(decide) as server:
        asked = ["teach", str(questions), "--endpoint", server.url, "--model", "m", *how]
        assert main([*asked, "--max-tokens", "32"]) == 1
        assert main([*asked, "--max-tokens", "64"]) == 0
        assert len(server.bodies) == 3
        assert not any({"max_tokens", "temperature"} & set(body) for body in server.bodies)
        assert main([*asked, "--temperature", "0"]) == 2
        assert "take no --temperature" in capsys.readouterr().err
        sampled = ["sample", *asked[1:], "--temperature", "0.5"]
        assert main(sampled) == 2
        assert "take no --temperature" in capsys.readouterr().err


def test_the_name_of_the_maximum_does_not_change_what_is_asked() -> None:
    turns = [{"role": "user", "content": "2 + 2?"}]
    named = Decoding("m", max_tokens=9, openai_reasoning=True)
    assert request_of(named, turns).key == request_of(Decoding("m", max_tokens=9), turns).key


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("max_completion_tokens", "--openai-reasoning sends --max-tokens under this name"),
        ("max_tokens", "--max-tokens sets it"),
        ("stream", "--stream on"),
        ("best_of", "-k asks"),
        ("n", "-k asks"),
    ],
)
def test_an_extra_key_that_changes_what_a_reply_is_is_refused_with_the_way_out(
    name: str, way: str
) -> None:
    with pytest.raises(MisuseError, match=f"--extra: {name}: {way}"):
        Decoding("m", extra={name: 3})
