"""Our tasks on real OpenAI-compatible servers, on the loopback only."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.distill.signals.manifest import read_manifest
from teacher import write_questions
from tiny_models import build, training_file, write_rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("prepared"),
]

VLLM = os.environ.get("COTDISTILL_VLLM_PYTHON")
PATIENCE = 240.0


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[str]:
    """A server process on 127.0.0.1 that is stopped when the block ends; yields its URL."""
    url = f"http://127.0.0.1:{port}/v1"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **environment}
        )
        try:
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                assert process.poll() is None, log.read_text(errors="replace")[-3000:]
                with contextlib.suppress(urllib.error.URLError, ConnectionError):
                    urllib.request.urlopen(f"{url}/models", timeout=2).close()
                    break
                time.sleep(0.5)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def scores_of(folder: Path, task: str) -> dict[str, Any]:
    (path,) = folder.rglob("results_*.json")
    return dict(json.loads(path.read_text(encoding="utf-8"))["results"][task])


def test_four_repeats_differ_on_llama_factory_s_server(tiny_model: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "model_name_or_path": str(tiny_model),
        "template": "chatml",
        "infer_dtype": "float32",
    }
    (tmp_path / "api.yaml").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "llamafactory.cli", "api", str(tmp_path / "api.yaml")]
    with running(command, port, tmp_path / "log", API_HOST="127.0.0.1", API_PORT=str(port)) as url:
        status = main(
            ["eval", "--model", "local-chat-completions", "--tasks", "cot_gsm8k_k4",
             "--model_args", f"model=tiny,base_url={url}/chat/completions",
             "--apply_chat_template", "--gen_kwargs", "max_gen_toks=16",
             "--output_path", str(tmp_path / "out"), "--log_samples"]
        )  # fmt: skip
    assert status == 0
    scores = scores_of(tmp_path / "out", "cot_gsm8k_k4")
    assert scores["identical,none"] == 0.0
    assert 0.0 <= scores["pass@4,none"] <= 1.0


needs_vllm = pytest.mark.skipif(
    not VLLM, reason="set COTDISTILL_VLLM_PYTHON to a python that has vLLM"
)


@contextlib.contextmanager
def vllm_server(model: Path, log: Path, name: str = "tiny", context: str = "1024") -> Iterator[str]:
    """vLLM's own server."""
    port = free_port()
    command = [
        str(VLLM), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port),
        "--enforce-eager", "--max-model-len", context, "--dtype", "float32",
        "--max-logprobs", "32",
    ]  # fmt: skip
    # threads that wait for one another on bound cores do so for minutes where others compute there
    unbound = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": ""}
    with running(command, port, log, **quiet, **unbound) as url:
        yield url


@needs_vllm
@pytest.mark.parametrize("kind", ["completions", "chat/completions"])
def test_four_repeats_differ_on_vllm(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    more = "model=tiny,max_length=1024"
    backend = "local-chat-completions" if kind.startswith("chat") else "local-completions"
    with vllm_server(tiny_model, tmp_path / "log") as url:
        status = main(
            ["eval", "--model", backend, "--tasks", "cot_gsm8k_k4", "--apply_chat_template",
             "--model_args", f"base_url={url}/{kind},tokenizer={tiny_model},{more}",
             "--gen_kwargs", "max_gen_toks=16",
             "--output_path", str(tmp_path / "out"), "--log_samples"]
        )  # fmt: skip
    assert status == 0
    assert scores_of(tmp_path / "out", "cot_gsm8k_k4")["identical,none"] == 0.0


@needs_vllm
def test_vllm_s_server_teaches_and_samples_and_continues_solutions(
    tiny_model: Path, tmp_path: Path
) -> None:
    rationale = "He has some pens.\nHe buys more.\nThe sum is the answer."
    questions = write_questions(tmp_path / "q.jsonl", 3, rationale=rationale)
    guided = ["--strategy", "state_reset", "--prefix-mode", "flags", "--rounds", "1"]
    with vllm_server(tiny_model, tmp_path / "log") as url:
        for name, options, expected in (
            ("teach", ["--levels", "1", "--again", "0"], 3),
            ("sample", ["-k", "2", "--keep", "all", "--rounds", "0"], 6),
            ("sample", ["-k", "2", "--keep", "all", *guided], 6),
        ):
            out = tmp_path / f"{name}-{len(options)}"
            words = [name, str(questions), "-o", str(out), "--model", "tiny", "--endpoint", url]
            main([*words, *options, "--max-tokens", "8"])
            counts = json.loads((out / "ledger.json").read_text(encoding="utf-8"))["counts"]
            assert counts["asked"] >= expected
            assert counts.get("failed", 0) == counts.get("open", 0) == 0
            if guided[0] in options:
                assert counts["asked"] > expected  # none was right: solutions were continued


@needs_vllm
def test_signals_of_vllm_s_server_are_those_of_transformers(tmp_path: Path) -> None:
    build(tmp_path / "student")
    teacher = build(tmp_path / "teacher", width=64, seed=1)
    write_rows(tmp_path)
    file = training_file(tmp_path, "train", {})
    words = ["capture", str(file), "--teacher", str(teacher), "--top-k", "32"]
    with vllm_server(teacher, tmp_path / "log", str(teacher), "512") as url:
        assert main([*words, "-o", str(tmp_path / "served"), "--endpoint", url]) == 0
    compared = read_manifest(tmp_path / "served", "served").comparison
    assert compared is not None
    assert compared.rows > 0
    assert compared.largest_difference < 0.1  # nats; what is stored is rounded to 1/12
