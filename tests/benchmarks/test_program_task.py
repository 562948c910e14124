"""Responses that are programs run in the sandbox, and what they print is graded like any answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.benchmarks import program_task
from cotdistill.cli.main import main
from cotdistill.errors import StudyError
from cotdistill.files.bundle import bundle_folder
from cotdistill.hosts.sandbox.execution import Execution
from cotdistill.hosts.sandbox.sandbox import Sandbox, SandboxError
from cotdistill.studies.load import load_study
from cotdistill.studies.resolve import resolve

DOCUMENT = {
    "id": "q-1",
    "question": "6 * 7?",
    "gold": "42",
    "kind": "number",
    "options": None,
    "meta": {},
}
RIGHT = "```python\nprint(6 * 7)\n```"


@pytest.fixture(autouse=True)
def _a_sandbox_works() -> None:
    try:
        program_task._sandbox(program_task.os.getpid())
    except SandboxError as error:
        pytest.skip(str(error))
    return


def test_what_programs_print_is_graded_and_what_became_of_them_is_reported() -> None:
    found = program_task.grade_programs(
        DOCUMENT, [[RIGHT, "print(41)", "print(1 / 0)", "I think 42."]]
    )
    assert found["exact_match"] == 0.25
    assert found["no_answer"] == 0.5
    assert [entry["outcome"] for entry in found["answered"]] == [
        "correct",
        "wrong",
        "no_answer",
        "no_answer",
    ]
    shares = {name: found[f"program_{name}"] for name in ("ok", "raised", "unsupported", "timeout")}
    assert shares == {"ok": 0.5, "raised": 0.25, "unsupported": 0.25, "timeout": 0.0}
    assert found["sandbox_failed"] == 0.0
    assert found["pass@4"] == 1.0


def test_a_program_may_print_an_option_or_its_value() -> None:
    document = {**DOCUMENT, "gold": "B", "kind": "letter", "options": {"A": "41", "B": "42"}}
    assert program_task.grade_programs(document, ["print(42)"])["exact_match"] == 1.0
    assert program_task.grade_programs(document, ["print('A')"])["exact_match"] == 0.0


def test_a_response_whose_sandbox_failed_is_in_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Sandbox, programs: Any) -> Iterator[Execution]:  # noqa: ARG001
        for place, _ in enumerate(programs):
            yield Execution("sandbox_failed") if place else Execution("ok", "42")

    monkeypatch.setattr(Sandbox, "run_many", fail)
    both = program_task.grade_programs(DOCUMENT, [[RIGHT, RIGHT]])
    assert (both["exact_match"], both["sandbox_failed"]) == (1.0, 0.5)
    monkeypatch.setattr(Sandbox, "run_many", lambda *_: iter([Execution("sandbox_failed")]))
    alone = program_task.grade_programs(DOCUMENT, [RIGHT])
    assert alone["sandbox_failed"] == 1.0
    assert "exact_match" not in alone


@pytest.mark.host
@pytest.mark.usefixtures("prepared")
def test_programs_are_scored_by_the_stock_harness_if_the_user_consents(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    answer = {
        "message": {"role": "assistant", "content": RIGHT},
        "finish_reason": "stop",
        "index": 0,
    }
    server = serve(lambda *_: (200, {"choices": [answer]}))
    command = [
        sys.executable, "-m", "lm_eval", "--include_path", str(bundle_folder("task_configs")),
        "--tasks", "cot_gsm8k_program", "--model", "local-chat-completions",
        "--apply_chat_template",
        "--model_args", f"model=m,base_url={server.url}/chat/completions,max_retries=1,timeout=20",
        "--output_path", str(tmp_path), "--log_samples",
    ]  # fmt: skip
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert refused.returncode != 0
    assert "marked as unsafe" in refused.stderr
    done = subprocess.run(
        [*command, "--confirm_run_unsafe_code"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (path,) = tmp_path.rglob("results_*.json")
    scores = json.loads(path.read_text())["results"]["cot_gsm8k_program"]
    assert scores["program_ok,none"] == 1.0
    assert scores["sandbox_failed,none"] == 0.0
    assert server.payloads[0]["messages"][-1]["content"].endswith(" Let's write a program.")


def test_our_command_asks_for_consent_before_anything_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["eval", "--model", "hf", "--tasks", "cot_gsi_programs"]) == 2
    error = capsys.readouterr().err
    assert "cot_aqua_program, cot_gsm8k_program" in error
    assert "add --confirm_run_unsafe_code" in error


def test_a_study_consents_with_one_key(
    small_study: dict[str, Any], study_file: Callable[..., Path], tmp_path: Path
) -> None:
    small_study["evaluation"]["tasks"] = ["cot_svamp_program"]
    path = study_file(small_study)
    with pytest.raises(
        StudyError, match=r"cot_svamp_program: the responses are programs.*run_programs: true"
    ):
        resolve(load_study(str(path))[0], "study")
    small_study["evaluation"]["run_programs"] = True
    study_file(small_study)
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 0
    (config, *_) = sorted((tmp_path / "run" / "eval").glob("*.yaml"))
    assert "confirm_run_unsafe_code: true" in config.read_text()
