"""The questions that a study's tasks ask: whose they are, and bringing them before training starts.

lm-eval fetches missing questions itself, but only after the student is trained; a machine without
the hub should say so at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from cotdistill.benchmarks.prepare import prepare
from cotdistill.benchmarks.store import not_prepared, prepared_splits
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.lm_eval.task_files import packaged_tasks

_BENCHMARK = re.compile(r"^dataset_kwargs:.*\bbenchmark:[ \t]*([\w-]+)", re.MULTILINE)
_INCLUDE = re.compile(r"^include:[ \t]*([\w.-]+)", re.MULTILINE)
_MEMBER = re.compile(r"^  - ([\w.+-]+)[ \t]*$", re.MULTILINE)


def benchmarks_behind(tasks: Iterable[str], folders: Sequence[Path] = ()) -> list[str]:
    """Return the packaged benchmarks that tasks and groups ask from, in the order met.

    >>> benchmarks_behind(["AIME", "cot_puzzles_ball"])
    ['aime24']
    """
    files = packaged_tasks(folders)
    found: dict[str, None] = {}
    waiting, seen = list(tasks), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in files:
            continue
        seen.add(name)
        text = _with_includes(files[name])
        found |= dict.fromkeys(_BENCHMARK.findall(text)[:1])
        if re.search(rf"^group:[ \t]*{re.escape(name)}", text, re.MULTILINE):
            waiting += _MEMBER.findall(text)
    return list(found)


def bring_questions(tasks: Iterable[str], folders: Sequence[Path] = ()) -> list[str]:
    """Prepare every benchmark behind tasks that is not prepared yet; return those brought.

    Raises:
        FaultsError: for each that cannot be had, the command that would bring it.
    """
    brought: list[str] = []
    faults: list[Fault] = []
    for name in benchmarks_behind(tasks, folders):
        if "test" in prepared_splits(name):
            continue
        if faults:  # one hub serves them all, and each refusal takes it half a minute
            faults.append(not_prepared(name, "test"))
            continue
        try:
            prepare(name, None, "test")
            brought.append(name)
        except FaultsError as error:
            faults += error.faults
    if faults:
        raise FaultsError(faults)
    return brought


def _with_includes(path: Path) -> str:
    """Return a task file's text before that of its bases: what it says itself comes first."""
    text = path.read_text(encoding="utf-8")
    for base in _INCLUDE.findall(text):
        if (path.parent / base).is_file():
            text += "\n" + _with_includes(path.parent / base)
    return text
