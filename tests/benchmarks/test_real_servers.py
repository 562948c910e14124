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


@pytest.mark.skipif(not VLLM, reason="set COTDISTILL_VLLM_PYTHON to a python that has vLLM")
@pytest.mark.parametrize("kind", ["completions", "chat/completions"])
def test_four_repeats_differ_on_vllm(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [
        str(VLLM), "-m", "vllm.entrypoints.openai.api_server", "--model", str(tiny_model),
        "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port),
        "--enforce-eager", "--max-model-len", "1024",
    ]  # fmt: skip
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": ""}
    more = "model=tiny,max_length=1024"
    backend = "local-chat-completions" if kind.startswith("chat") else "local-completions"
    with running(command, port, tmp_path / "log", **environment) as url:
        status = main(
            ["eval", "--model", backend, "--tasks", "cot_gsm8k_k4", "--apply_chat_template",
             "--model_args", f"base_url={url}/{kind},tokenizer={tiny_model},{more}",
             "--gen_kwargs", "max_gen_toks=16",
             "--output_path", str(tmp_path / "out"), "--log_samples"]
        )  # fmt: skip
    assert status == 0
    assert scores_of(tmp_path / "out", "cot_gsm8k_k4")["identical,none"] == 0.0
