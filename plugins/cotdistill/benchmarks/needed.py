"""The questions that a study's tasks ask: whose they are, and bringing them before training starts.

lm-eval fetches missing questions itself, but only after the student is trained; a machine without
the hub should say so at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cotdistill.benchmarks.prepare import prepare
from cotdistill.benchmarks.store import not_prepared, prepared_splits
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.lm_eval.task_files import file_key, tasks_behind


def benchmarks_behind(tasks: Iterable[str], folders: Sequence[Path] = ()) -> list[str]:
    """Return the packaged benchmarks that tasks and groups ask from, in the order met.

    >>> benchmarks_behind(["AIME", "cot_puzzles_ball"])
    ['aime24']
    """
    settings = (file_key(path, "dataset_kwargs") for path in tasks_behind(tasks, folders).values())
    names = [one.get("benchmark") for one in settings if isinstance(one, dict)]
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


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
