"""The table of what users ask for names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_that_the_table_names_exists() -> None:
    text = (HERE / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    files = [
        path for folder in ("teach", "hosts") for path in HERE.parent.glob(f"{folder}/**/*.py")
    ]
    sources = "".join(path.read_text(encoding="utf-8") for path in files)
    assert len(named) > 25
    assert named <= set(re.findall(r"^def (test_\w+)", sources, re.MULTILINE))
