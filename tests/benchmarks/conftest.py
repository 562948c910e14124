"""Prepared questions of our own, a tiny model, and a scripted server on the loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Answer = Callable[[dict[str, Any], int], tuple[int, Any]]


class ScriptedServer:
    """An OpenAI-compatible server whose every answer the test writes; notes what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.payloads: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                payload = json.loads(self.rfile.read(length))
                outer.payloads.append(payload)
                status, output = answer(payload, len(outer.payloads))
                body = json.dumps(output).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], ScriptedServer]]:
    """Start scripted servers; all are stopped when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(answer: Answer) -> ScriptedServer:
            server = ScriptedServer(answer)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three questions of our own as the test split of the benchmarks that the tests run."""
    from cotdistill.benchmarks.convert import questions_of
    from cotdistill.benchmarks.packaged import benchmark
    from cotdistill.benchmarks.store import write_split

    folder = tmp_path / "data"
    monkeypatch.setenv("COTDISTILL_DATA", str(folder))
    rows: dict[str, list[dict[str, Any]]] = {
        "gsm8k": [
            {"question": f"Ada has {n} pens and buys 1. How many?", "answer": f"#### {n + 1}"}
            for n in range(3)
        ]
    }
    for name in ("aime24", "amc23", "olympiadbench", "math500"):
        rows[name] = list(benchmark(name).examples)
    for name, given in rows.items():
        made = questions_of(benchmark(name), "test", given, name, any_size=True)
        write_split(name, "test", made.rows, {"source": "the test's own"})
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random student of 1,024 positions: it answers nonsense, but through the real host."""
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    folder = tmp_path_factory.mktemp("model") / "tiny"
    # heads of 32: vLLM's CPU kernels know no smaller ones
    shape = Scratch(hidden_size=64, heads=2, layers=1, intermediate_size=64, context=1024)
    build_student(shape, ["What is 1 + 1? It is 2."], folder)
    return folder
