"""How much of the suite runs, and the table of counts at its end.

`make attack` runs every case. `make test` runs a fixed part of them, small enough for every change.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import pytest

Case = TypeVar("Case")
ALL = os.environ.get("COTDISTILL_ATTACK") == "all"
COUNTS: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep every verb away from the data and caches of whoever runs the tests."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("COTDISTILL_DATA", str(home / "data"))
    for name in ("COTDISTILL_PATH", "COTDISTILL_BUNDLES", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return


@pytest.fixture(scope="session")
def part_of() -> Any:
    """Return a function that takes all cases, or every so many-th in `make test`."""

    def part(cases: Sequence[Case], one_in: int, offset: int = 0) -> Sequence[Case]:
        return cases if ALL else cases[offset % one_in :: one_in]

    return part


@pytest.fixture(scope="session")
def count() -> Counter[str]:
    """Counts of cases by kind, printed at the end."""
    return COUNTS


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a worker of pytest-xdist to the process that prints them."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["attacks"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COUNTS.update(getattr(node, "workeroutput", {}).get("attacks", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if COUNTS:
        terminalreporter.section("attacks that held" if ALL else "attacks that held (a part)")
        width = max(map(len, COUNTS))
        for kind, number in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{kind:<{width}}  {number:>6,}")
