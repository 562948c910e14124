"""A real small model, where `make models` has built it, and its server."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "SmolLM2-135M-Instruct"
FOLDER = Path(os.environ.get("COTDISTILL_MODELS", ROOT / ".venv" / "models"))


def real_model() -> Path:
    """Return the folder of the model; skip the test, with the command that builds it, without."""
    folder = FOLDER / NAME
    if not (folder / "config.json").is_file():
        pytest.skip(f"{folder} is not there; type: make models")
    return folder


@contextlib.contextmanager
def served_model() -> Iterator[str]:
    """Serve the model on a free port of the loopback and give its base URL."""
    real_model()
    script = ROOT / "tools" / "models.py"
    with subprocess.Popen(
        [sys.executable, str(script), "serve"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.terminate()
