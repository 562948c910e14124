"""A chat server on loopback that answers, fails and hangs as scripted, and counts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = str | int | float | bytes | dict[str, Any] | tuple[int, dict[str, str]]


@dataclass
class Script:
    """What to answer: `decide` sees the request's body and how often this body was asked before.

    Text is a chat reply, a mapping the whole JSON of one, an int an HTTP status, a tuple a status
    with headers, a float a time to hang, bytes what is sent as it is before the connection is
    closed; "<cut>" cuts the connection, "<nonsense>" answers 200 with what is no chat completion,
    "{" is a reply that was cut off.
    """

    decide: Callable[[dict[str, Any], int], Answer]
    bodies: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def seen_before(self, body: dict[str, Any]) -> int:
        """Count earlier requests with the same body, this one included in the list."""
        return sum(earlier == body for earlier in self.bodies) - 1


@contextlib.contextmanager
def serving(decide: Callable[[dict[str, Any], int], Answer]) -> Iterator[Script]:
    """Run a server for the length of the block."""
    script = Script(decide)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                script.bodies.append(body)
                script.times.append(time.monotonic())
                script.paths.append(self.path)
                script.headers.append({k.lower(): v for k, v in self.headers.items()})
                answer = script.decide(body, script.seen_before(body))
            if isinstance(answer, float):
                time.sleep(answer)
                answer = ""
            if answer == "<cut>":
                self.close_connection = True
                return
            if isinstance(answer, bytes):
                self.close_connection = True
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(answer)
            elif isinstance(answer, dict):
                self._send(200, {}, json.dumps(answer).encode())
            elif answer == "<nonsense>":
                self._send(200, {}, b"<html>busy</html>")
            elif isinstance(answer, str):
                message = {"role": "assistant", "content": answer}
                reply = {
                    "choices": [
                        {"message": message, "finish_reason": "length" if answer == "{" else "stop"}
                    ],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 7},
                }
                self._send(200, {}, json.dumps(reply).encode())
            else:
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                self._send(status, headers, b'{"error": "scripted"}')

        def _send(self, status: int, headers: dict[str, str], data: bytes) -> None:
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
