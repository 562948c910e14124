"""Without the hosts, as in the core jobs of the workflows, what imports them is not collected."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
NEEDS_HOSTS = (
    "plugins/cotdistill/distill/trainer",
    "tests/distill",
    "tests/support/naive_distillation.py",
)
BARE = not os.environ.get("CI") and importlib.util.find_spec("torch") is None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs torch to be imported, where torch is not installed."""
    within = any(collection_path.is_relative_to(ROOT / name) for name in NEEDS_HOSTS)
    return True if BARE and within else None


def pytest_report_header() -> list[str]:
    """Say what is left out."""
    left = f"no torch here: {', '.join(NEEDS_HOSTS)} are not tested"
    return [left] if BARE else []


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it at the end too, where `-q` hides the header."""
    if BARE:
        terminalreporter.write_line(pytest_report_header()[0])
