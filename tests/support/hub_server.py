"""A hub on loopback that takes repositories and commits as huggingface_hub sends them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml


class Hub:
    """What was sent: repositories by name with their kind, and files by repository and path."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.repositories: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.address = ""


@contextmanager
def hub(token: str = "secret") -> Iterator[Hub]:
    """Serve a hub until the block ends."""
    state = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != f"Bearer {state.token}":
                self.answer(401, {"error": "Invalid credentials"})
            elif self.path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked.get('organization') or 'me'}/{asked['name']}"
                known = name in state.repositories
                state.repositories.setdefault(name, asked)
                url = f"{state.address}/{name}"
                self.answer(409 if known else 200, {"url": url, "name": name, "id": "1"})
            elif self.path == "/api/validate-yaml":
                header = json.loads(body)["content"].split("---\n")[1]
                bad = not isinstance(yaml.safe_load(header), dict)
                self.answer(400 if bad else 200, {"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                self.answer(200, {"files": files})
            elif "/commit/" in self.path:
                _, _, kind, owner, name, *_ = self.path.split("/")
                kept = state.files.setdefault(f"{kind}/{owner}/{name}", {})
                for line in body.splitlines():
                    row = json.loads(line)
                    if row["key"] == "file":
                        kept[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
                url = f"{state.address}/{owner}/{name}/commit/abc"
                self.answer(200, {"commitUrl": url, "commitOid": "abc", "pullRequestUrl": None})
            else:
                self.answer(404, {"error": self.path})

        def do_GET(self) -> None:
            self.answer(200, {"id": "x", "sha": "abc"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
