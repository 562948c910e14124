"""The bundles that a run folder was generated with, and that its jobs use.

Every job starts with this, so it loads nothing heavy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from cotdistill.files.bundle import only_bundles
from cotdistill.files.yamls import read_yaml

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def in_recorded_bundles(
    work: Callable[Concatenate[Path, Parameters], Result],
) -> Callable[Concatenate[Path, Parameters], Result]:
    """Let a function whose first argument is a run folder see the bundles of its study only.

    So a run depends neither on the caller's environment nor on what was installed since.
    """

    @functools.wraps(work)
    def wrapped(folder: Path, /, *args: Parameters.args, **named: Parameters.kwargs) -> Result:
        roots = recorded_bundles(folder)
        if roots is None:
            return work(folder, *args, **named)
        with only_bundles(roots):
            return work(folder, *args, **named)

    return wrapped


def recorded_bundles(folder: Path) -> list[str] | None:
    """Return the bundles that a run folder's study records; None if there is no study to read."""
    path = folder / "study.yaml"
    study = read_yaml(path) if path.is_file() else None
    if not isinstance(study, dict):
        return None
    roots = study.get("bundles") or []  # release 0.1 recorded none
    return [root for root in roots if isinstance(root, str)] if isinstance(roots, list) else []
