"""OpenAI's reasoning models: another name for the maximum of tokens, and no temperature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.errors import MisuseError
from cotdistill.teach.asking import Decoding, request_of
from slow_server import completion, slow_server
from taught_study import generated, jobs_of, step, study
from teacher import asked_about, obedient, write_questions


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", "a-key")


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
        sampled = ["sample", *asked[1:], "--temperature", "0.5", "--top-p", "0.9", "--stop", "END"]
        assert main([*sampled, "--thinking"]) == 2
        expected = "take no --temperature, --top-p, --stop, --thinking; leave that out"
        assert expected in capsys.readouterr().err
        assert main([*asked, "--api", "completions"]) == 2
        assert "answer chat only" in capsys.readouterr().err
        assert len(server.bodies) == 3


def test_a_profile_s_temperature_and_switch_of_thoughts_are_left_out(tmp_path: Path) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    how = ["--openai-reasoning", "--profile", "long", "-o", str(tmp_path / "out")]
    with slow_server(lambda _: "4") as server:
        assert main(["teach", str(questions), "--endpoint", server.url, "--model", "m", *how]) == 0
    (body,) = server.bodies
    assert not {"max_tokens", "temperature", "chat_template_kwargs"} & set(body)
    assert "max_completion_tokens" in body


def test_what_only_the_profile_of_an_arm_sets_is_left_out_and_what_is_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(lambda _: "4") as server:
        declared = reasoning_study(server.url)
        asked = {"questions": "pens", "teacher": "teacher", "profile": "long"}
        declared["arms"] = {"long": {"teach": asked}}
        run = generated(tmp_path, declared, count=1)
        assert main(["check", str(tmp_path / "study.yaml")]) == 0
        assert step(run, "teach", "long") == 0
    (body,) = server.bodies
    assert not {"max_tokens", "temperature", "chat_template_kwargs"} & set(body)
    assert body["max_completion_tokens"] == 16384
    asked["temperature"] = 0.0  # as the profile has it, but written
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    capsys.readouterr()
    assert main(["check", str(tmp_path / "study.yaml")]) == 1
    faults = capsys.readouterr().out
    assert "arms.long.teach.temperature: 0.0: 'teacher' is one of OpenAI's" in faults
    assert "teach.thinking" not in faults


@pytest.mark.parametrize("of_teacher", [True, False])
def test_the_teacher_that_corrects_is_asked_so_if_it_is_one(
    tmp_path: Path, of_teacher: bool
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1, rationale="One adds both.")
    with slow_server(lambda _: "The answer is 0") as server:
        where = ["--endpoint", server.url, "--teacher-endpoint", server.url]
        how = ["--model", "small", "--teacher-model", "big", "--strategy", "interactive"]
        how += ["--rounds", "1", "-k", "1", "-o", str(tmp_path / "out")]
        how += ["--teacher-openai-reasoning"] if of_teacher else []
        main(["sample", str(questions), *where, *how])
    of_big = [body for body in server.bodies if body["model"] == "big"]
    of_small = [body for body in server.bodies if body["model"] == "small"]
    assert of_big
    assert all("max_tokens" in body and "temperature" in body for body in of_small)
    names = {"max_tokens", "max_completion_tokens", "temperature", "top_p"}
    expected = {"max_completion_tokens"} if of_teacher else names - {"max_completion_tokens"}
    assert all(names & set(body) == expected for body in of_big)
    most = {body.get("max_completion_tokens", body.get("max_tokens")) for body in of_big}
    assert most == {8192 if of_teacher else 1024}


def test_models_of_a_study_say_how_they_are_asked_and_its_jobs_follow(tmp_path: Path) -> None:
    with slow_server(lambda _: '{"verdict": "correct"} 4') as server:
        run = generated(tmp_path, reasoning_study(server.url), count=1, rationale="One adds both.")
        jobs = jobs_of(run)
        assert "--openai-reasoning" in jobs["sample", "guided"]["command"]
        assert "--teacher-openai-reasoning" in jobs["sample", "guided"]["command"]
        assert step(run, "teach", "long") == 0
        taught = list(server.bodies)
        write_samples(run / "scores" / "one")
        assert main(jobs["judge", "scores"]["command"][1:]) == 0
        judged = server.bodies[len(taught) :]
        named = ["teach", str(tmp_path / "q.jsonl"), "--study", str(tmp_path / "study.yaml")]
        assert main([*named, "--teacher", "teacher", "-o", str(tmp_path / "out")]) == 0
        by_name = server.bodies[len(taught) + len(judged) :]
    assert taught
    assert judged
    assert by_name
    for body in (*taught, *judged, *by_name):
        assert "max_completion_tokens" in body
        assert not {"max_tokens", "temperature", "top_p"} & set(body)


def test_everything_that_such_a_model_refuses_is_named_before_anything_is_paid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = reasoning_study("http://127.0.0.1:9/v1")
    refused = {"temperature": 0.7, "top_p": 0.9, "stop": ["END"], "thinking": "on"}
    declared["arms"]["long"]["teach"] |= refused
    declared["arms"]["guided"]["sample"]["temperature"] = 0.5
    declared["evaluation"]["models"] = ["teacher"]
    write_questions(tmp_path / "q.jsonl", 2, rationale="One adds both.")
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["check", str(path)]) == 1
    faults = capsys.readouterr().out
    for key, value, without in (
        ("temperature", "0.7", "null"),
        ("top_p", "0.9", "null"),
        ("stop", "['END']", "[]"),
        ("thinking", "'on'", "data"),
    ):
        wrong = f"{value}: 'teacher' is one of OpenAI's reasoning models, which take none"
        assert f"arms.long.teach.{key}: {wrong}; expected {without}; leave it out" in faults
    assert "arms.guided.sample.temperature: 0.5: 'teacher'" in faults
    assert "evaluation.models.0: 'teacher' is one of OpenAI's" in faults
    declared = reasoning_study("http://127.0.0.1:9/v1")
    declared["models"]["teacher"]["api"] = "completions"
    path.write_text(yaml.safe_dump(declared, sort_keys=False))
    assert main(["check", str(path)]) == 1
    shown = capsys.readouterr()
    assert "models.teacher" in shown.out
    assert "answer chat only; leave 'api' out" in shown.out


def reasoning_study(url: str) -> dict[str, Any]:
    arms = {
        "long": {"teach": {"questions": "pens", "teacher": "teacher", "format": "plain"}},
        "guided": {
            "sample": {
                "questions": "pens", "model": "teacher", "strategy": "interactive",
                "helper": "teacher",
            }
        },
    }  # fmt: skip
    declared = study(url, arms=arms, judge={"model": "teacher"})
    declared["models"]["teacher"]["openai_reasoning"] = True
    return declared


def write_samples(folder: Path) -> None:
    answer = {
        "doc_id": 0, "doc": {"question": "2 + 2?", "answer": "#### 4"}, "target": "4",
        "filter": "none", "arguments": {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {}}},
        "resps": [["The answer is 5"]], "filtered_resps": ["The answer is 5"],
    }  # fmt: skip
    folder.mkdir(parents=True)
    path = folder / "samples_cot_gsm8k_2026-01-01T00-00-00.000000.jsonl"
    path.write_text(json.dumps(answer) + "\n")


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
