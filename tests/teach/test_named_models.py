"""A model by its name, base models, and chat templates that are filled in here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.teach.asking import Decoding
from cotdistill.teach.continuing import Way, continued, working_mode
from json_lines import rows
from slow_server import slow_server
from teacher import obedient, write_questions


def study_of(folder: Path, models: dict[str, Any]) -> Path:
    write_questions(folder / "q.jsonl", 2)
    tiny = {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}
    mentor = {"run": {"model": "tiny", "arm": "a", "recipe": "full"}}
    declared = {
        "schema_version": 2,
        "name": "named",
        "models": {"tiny": tiny, "mentor": mentor, **models},
        "students": ["tiny"],
        "arms": {"a": {"file": "q.jsonl"}},
        "recipes": {"full": {"max_steps": 1, "precision": "fp32"}},
        "evaluation": {"tasks": ["cot_gsm8k"]},
        "hardware": {"gpus": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(declared))
    return path


def test_a_teacher_is_found_by_its_name_in_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with slow_server(obedient) as server:
        price = {"input": 1.0, "output": 2.0}
        study = study_of(
            tmp_path, {"big": {"endpoint": server.url, "model": "org/Big", "price": price}}
        )
        given = ["teach", str(tmp_path / "q.jsonl"), "--study", str(study), "-o"]
        assert main([*given, str(tmp_path / "out"), "--teacher", "big"]) == 0
        assert {body["model"] for body in server.bodies} == {"org/Big"}
        asked = len(server.bodies)
        assert main([*given, str(tmp_path / "two"), "--teacher", "bigg"]) == 2
        assert main([*given, str(tmp_path / "two"), "--teacher", "mentor"]) == 2
        assert len(server.bodies) == asked
        given[0] = "sample"
        assert main([*given, str(tmp_path / "sampled"), "--model", "big", "-k", "1"]) == 0
    err = capsys.readouterr().err
    assert "no model 'bigg'; did you mean 'big'?" in err
    assert "'mentor' is made while the study runs" in err
    (first, *_) = rows(tmp_path / "out" / "traces.jsonl")
    assert first["provenance"]["teacher"] == "big"
    assert json.loads((tmp_path / "out" / "ledger.json").read_text())["price"]["output"] == 2.0


def test_a_name_of_the_catalogue_becomes_its_id_at_the_endpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = write_questions(tmp_path / "q.jsonl", 1)
    with slow_server(obedient) as server:
        given = ["teach", str(questions), "--endpoint", server.url, "--any-model", "-o"]
        name = ["--teacher", "Qwen2.5-0.5B-Instruct"]
        assert main([*given, str(tmp_path / "out"), *name]) == 0
        assert server.bodies[0]["model"] == "Qwen/Qwen2.5-0.5B-Instruct"
        assert main([*given, str(tmp_path / "two"), "--teacher", "Qwen2.5-0.5B-Instrukt"]) == 2
        assert main([*given, str(tmp_path / "two")]) == 2
    err = capsys.readouterr().err
    assert "in the catalogue; did you mean 'Qwen2.5-0.5B-Instruct'?" in err
    assert "name who answers, with --model" in err


def test_a_base_model_is_asked_by_completions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def decide(body: dict[str, Any]) -> str:
        return obedient({"messages": [{"content": body["prompt"]}]})

    questions, out = write_questions(tmp_path / "q.jsonl", 2), tmp_path / "out"
    with slow_server(decide) as server:
        given = ["--endpoint", server.url, "--model", "m", "--api", "completions"]
        words = ["teach", str(questions), *given, "--levels", "3"]
        assert main([*words, "-o", str(out)]) == 0
        assert all("messages" not in body for body in server.bodies)
        assert server.bodies[0]["prompt"].endswith("Solution:")
        words = ["sample", str(questions), *given, "-o", str(tmp_path / "two")]
        corrected = ["--strategy", "interactive", "--teacher-model", "m", "--teacher-endpoint"]
        assert main([*words, *corrected, server.url]) == 2
        assert main([*words, "--thinking"]) == 2
    assert len(rows(out / "traces.jsonl")) == 2
    err = capsys.readouterr().err
    assert "is a conversation; completions has none" in err
    assert "switched by a chat template" in err


def test_a_chat_template_filled_in_here_continues_a_text_on_any_server() -> None:
    def chat_text(turns: Any, settings: Any) -> str:
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + f"<me>{settings}"

    decoding = Decoding("m", temperature=0.0, thinking=False)
    question = ({"role": "user", "content": "2 + 2?"},)
    request = continued(decoding, Way("template", chat_text), question, "It is ")
    assert request.prompt == "<user>2 + 2?<me>{'enable_thinking': False}It is"
    assert "chat_template_kwargs" not in request.body()

    def asker(requests: Any, take: Any) -> None:
        from cotdistill.hosts.request import Choice, Reply

        for one in requests:
            take(one, Reply((Choice(" four, five" if one.prompt else "One, two"),)))

    assert working_mode(asker, decoding, ("flags", "template"), chat_text) == "template"


@pytest.mark.host
@pytest.mark.filterwarnings("ignore")
def test_the_template_of_a_tokenizer_ends_where_the_models_turn_begins(tmp_path: Path) -> None:
    from cotdistill.errors import FaultsError
    from cotdistill.hosts.tokenizer import chat_text
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    build_student(Scratch(hidden_size=32, heads=2, layers=1), ["2 + 2 is 4"], tmp_path / "tiny")
    text = chat_text(str(tmp_path / "tiny"))([{"role": "user", "content": "2 + 2?"}], {})
    assert "2 + 2?" in text
    with pytest.raises(FaultsError, match="no tokenizer"):
        chat_text(str(tmp_path / "nothing"))
