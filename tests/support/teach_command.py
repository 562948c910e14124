"""`teach` against a server of a test, and what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cotdistill.cli.main import main
from json_lines import rows
from slow_server import SlowServer


def teach(questions: Path | str, server: SlowServer | str, out: Path, *words: str) -> int:
    url = server if isinstance(server, str) else server.url
    given = ["teach", str(questions), "--endpoint", url, "--model", "m", "-o", str(out), *words]
    return main(given)


def traces(out: Path) -> list[dict[str, Any]]:
    return rows(out / "traces.jsonl")


def ledger(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "ledger.json").read_text(encoding="utf-8"))
    return found
