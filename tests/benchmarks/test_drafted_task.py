"""A drafted benchmark and task are prepared, and evaluated by the real lm-eval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with a drafted benchmark and task, whose questions are prepared."""
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {n} + 1?", "answer": f"{n + 1}"} for n in range(3)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = tmp_path / "mine"
    assert main(["new", "task", "my_sums", "--from", str(source), "-o", str(folder)]) == 0
    words = ["prepare", "my_sums", "--from", str(source), "--split", "test"]
    assert main([*words, "--bundle", str(folder)]) == 0
    return folder


def two(payload: dict[str, Any], _: int) -> tuple[int, Any]:
    assert payload["messages"][-1]["content"].endswith("inside \\boxed{}.")
    message = {"role": "assistant", "content": "It is \\boxed{2}."}
    return 200, {"choices": [{"index": 0, "message": message}]}


def arguments(url: str, output: Path) -> list[str]:
    return [
        "--model", "local-chat-completions", "--tasks", "my_sums", "--apply_chat_template",
        "--model_args", f"model=m,base_url={url}/chat/completions", "--output_path", str(output),
        "--log_samples",
    ]  # fmt: skip


def score(output: Path) -> float:
    (path,) = output.rglob("results_*.json")
    assert list(output.rglob("samples_my_sums_*.jsonl"))
    return float(json.loads(path.read_text())["results"]["my_sums"]["exact_match,none"])


def test_our_own_verb_finds_the_task_of_a_bundle(
    bundle: Path, serve: Callable[..., Any], tmp_path: Path
) -> None:
    given = arguments(serve(two).url, tmp_path / "out")
    assert main(["eval", "--bundle", str(bundle), *given]) == 0
    assert score(tmp_path / "out") == pytest.approx(1 / 3)


def test_the_stock_harness_finds_the_tasks_of_all_bundles_in_one_folder(
    bundle: Path, serve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["path", "task_configs", "--bundle", str(bundle)]) == 0
    folder = capsys.readouterr().out.strip()
    given = arguments(serve(two).url, tmp_path / "out")
    command = [sys.executable, "-m", "lm_eval", "--include_path", folder, *given]
    done = subprocess.run(
        command, env=dict(os.environ), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert score(tmp_path / "out") == pytest.approx(1 / 3)
