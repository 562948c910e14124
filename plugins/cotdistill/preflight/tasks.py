"""Check every task of a folder by loading it: file, hooks, document, prompts, reference answers.

A prepared benchmark is checked on its own questions, with the reference answers of all splits. One
that is not prepared is checked on the examples in its YAML file, so that a fresh machine can check
everything except the data.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.benchmark import Benchmark
from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.hooks import grade_responses
from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.benchmarks.store import (
    borrow_split,
    prepared_splits,
    read_ledger,
    read_split,
    split_file,
    write_split,
)
from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.bundle import bundle_folders
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.task_files import declared_names, upstream_names
from cotdistill.hosts.lm_eval.task_rules import key_faults, setting_faults
from cotdistill.hosts.lm_eval.tasks import LoadedTask, TaskBroken, TaskFolder, task_keys

Prepared = dict[tuple[str, str], tuple[Path, dict[str, Any]]]
"""Where each prepared split of each benchmark is, and what its ledger says."""

_SHOWN = 5  # reference answers listed per split; the rest are counted


def benchmark_faults(names: Sequence[str]) -> list[Fault]:
    """Return each benchmark that cannot be read, and each example that is not graded right."""
    faults: list[Fault] = []
    for name in names:
        try:
            declared = benchmark(name)
            rows = [dict(example) for example in declared.examples]
            place = f"{name}: examples"
            for row in questions_of(declared, "test", rows, place, any_size=True).rows:
                if not gold_is_right(row):
                    wrong = f"the reference answer {row['gold']!r} is not graded correct"
                    faults.append(Fault(f"{place}: {row['id']}", wrong))
        except FaultsError as error:
            faults += error.faults
    return faults


def check_tasks(folder: Path | None = None, *, golds: bool = True) -> list[Fault]:
    """Return all faults of the tasks in a folder (in all bundles), and of the prepared answers.

    Without `golds`, only the reference answer of each task's first document is graded (seconds).
    """
    known = bundle_folders("task_configs")
    folders = known if folder is None else [folder]
    faults = [fault for each in folders for fault in _file_faults(each)]
    with data_or_examples():
        # a group of one bundle may name the tasks of another
        tasks = TaskFolder(*(known if folders[0] in known else folders))
        for each in folders:
            faults += _index_faults(each, tasks.names())
        for name in tasks.task_names():
            if not any(tasks.file_of(name).is_relative_to(each) for each in folders):
                continue
            try:
                faults += _task_faults(tasks.load(name))
            except TaskBroken as broken:
                faults.append(Fault(name, f"cannot be loaded ({broken})"))
    return faults + (gold_faults() if golds else [])


def gold_faults() -> list[Fault]:
    """Return a fault for each prepared reference answer that is not graded equal to itself."""
    faults: list[Fault] = []
    for name in benchmark_names():
        for split in prepared_splits(name):
            try:
                missed = [row for row in read_split(name, split) if not gold_is_right(row)]
            except DataError as error:
                faults += error.faults
                continue
            place = f"{name} {split}"
            faults += [
                Fault(
                    f"{place}: {row['id']}",
                    f"the reference answer {row['gold']!r} is not graded correct",
                )
                for row in missed[:_SHOWN]
            ]
            if len(missed) > _SHOWN:
                faults.append(Fault(place, f"{len(missed) - _SHOWN} more such reference answers"))
    return faults


def answer_with(row: dict[str, Any], gold: str) -> str:
    r"""Return a response that states an answer in the form that the question's task asks for.

    >>> answer_with({"kind": "letter"}, "B"), answer_with({"kind": "number"}, "7")
    ('The answer is B.', 'The answer is \\boxed{7}.')
    """
    stated = gold if row["kind"] in ("letter", "boolean", "text") else f"\\boxed{{{gold}}}"
    return f"The answer is {stated}."


def gold_is_right(row: dict[str, Any]) -> bool:
    """Return whether a question's reference answer, stated as its task asks, is graded correct."""
    return bool(grade_responses(row, [answer_with(row, row["gold"])])["exact_match"])


def _file_faults(folder: Path) -> list[Fault]:
    known_task, known_group = task_keys()
    faults: list[Fault] = []
    for path in sorted(folder.rglob("*.yaml")):
        try:
            written = read_yaml(path, functions=True)
            if not isinstance(written, dict):
                faults.append(Fault(str(path), "not a mapping", "a task, a group or a base"))
                continue
            faults += key_faults(str(path), written, known_task, known_group)
            if isinstance(written.get("task"), str):
                faults += setting_faults(str(path), _with_includes(path, written))
        except FaultsError as error:
            faults += error.faults
    return faults


def _with_includes(path: Path, written: dict[str, Any]) -> dict[str, Any]:
    """Merge a file's includes as lm-eval does: later ones over earlier ones, its own keys last."""
    includes = written.get("include", [])
    merged: dict[str, Any] = {}
    for include in [includes] if isinstance(includes, str) else includes:
        base = path.parent / include
        merged |= _with_includes(base, read_yaml(base, functions=True))
    return merged | {key: value for key, value in written.items() if key != "include"}


def _index_faults(folder: Path, found: list[str]) -> list[Fault]:
    upstream = upstream_names()
    faults: list[Fault] = []
    seen: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.yaml")):
        if path.name.startswith("_"):
            continue
        names = declared_names(path.read_text(encoding="utf-8", errors="replace"))
        faults += [
            Fault(str(path), f"the name '{name}' hides lm-eval's own", "", "choose another name")
            for name in names
            if name in upstream
        ]
        if not names or names[0] not in found:
            wrong = "lm-eval does not find it: it skips broken files silently"
            faults.append(Fault(str(path), wrong, "a task: or group: name"))
        elif names[0] in seen:
            wrong = f"'{names[0]}' is also in {seen[names[0]].name}, which hides this one"
            faults.append(Fault(str(path), wrong))
        else:
            seen[names[0]] = path
    return faults


def _task_faults(task: LoadedTask) -> list[Fault]:
    faults: list[Fault] = []
    first = task.documents[0]
    question = str(first.get("question", "")).strip()
    last = task.chat[-1]["content"] if task.chat else ""
    for form, prompt in (("plain", task.plain), ("chat", last)):
        if not prompt.strip():
            faults.append(Fault(task.name, f"its {form} prompt is empty"))
        elif question and question not in prompt:
            faults.append(Fault(task.name, f"its {form} prompt does not contain the question"))
        elif "{{" in prompt and "{{" not in question:
            faults.append(Fault(task.name, f"its {form} prompt contains an unfilled '{{{{'"))
    if "gold" in first and "kind" in first:
        gold = first["gold"]
        stated = f"print({gold!r})" if task.runs_programs else answer_with(first, gold)
        right = task.verdict(first, stated)
        if right.get("exact_match") != 1.0:
            faults.append(
                Fault(task.name, f"its own reference answer {first['gold']!r} scores {right}")
            )
        if task.verdict(first, "").get("exact_match") != 0.0:
            faults.append(Fault(task.name, "an empty response is graded correct"))
    return faults


@contextlib.contextmanager
def data_or_examples() -> Iterator[None]:
    """Let the loader find every split: the prepared one, or examples in its place."""
    before = os.environ.get("COTDISTILL_DATA")
    prepared: Prepared = {
        (name, split): (split_file(name, split), facts)
        for name in benchmark_names()
        for split, facts in read_ledger(name).items()
        if split_file(name, split).is_file()
    }
    with tempfile.TemporaryDirectory(prefix="cotdistill-check-") as made:
        os.environ["COTDISTILL_DATA"] = made
        try:
            for name in benchmark_names():
                try:
                    _borrow_or_make_up(name, prepared)
                except FaultsError:  # reported by `benchmark_faults`
                    continue
            yield
        finally:
            if before is None:
                del os.environ["COTDISTILL_DATA"]
            else:
                os.environ["COTDISTILL_DATA"] = before


def _borrow_or_make_up(name: str, prepared: Prepared) -> None:
    declared = benchmark(name)
    for split in declared.rows:
        if (name, split) in prepared:
            borrow_split(name, split, *prepared[name, split])
        else:
            write_split(name, split, _made_up(declared, split), {"source": "examples"})


def _made_up(declared: Benchmark, split: str) -> list[dict[str, Any]]:
    """Return enough rows for few-shot tasks to draw from."""
    rows = [dict(example) for example in declared.examples for _ in range(8)]
    return questions_of(declared, split, rows, f"{declared.name}: examples", any_size=True).rows
