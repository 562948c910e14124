"""What task files say, read without importing lm-eval: names, keys, the members of groups."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import Fault, FaultsError
from cotdistill.files.bundle import bundle_folders, by_name
from cotdistill.files.yamls import read_yaml

KEPT = "kept.json"
"""The file next to a run folder's copies of packaged tasks, which says what they are."""


def task_key(task: str, key: str) -> Any:
    """Return a key of a packaged task, or of what it includes; None where nobody sets it.

    The task's own key wins, then the last file that it includes, as in lm-eval.
    """
    path = packaged_tasks().get(task)
    return file_key(path, key) if path is not None else None


def file_key(path: Path, key: str, _includers: tuple[Path, ...] = ()) -> Any:
    """Return a key of a task file, or of what it includes; None where nobody sets it.

    Raises:
        FaultsError: a file cannot be read, is not YAML, or includes itself.
    """
    if path in _includers:
        raise FaultsError(Fault(str(path), "includes itself", "", "remove the include"))
    config = read_yaml(path, functions=True)
    if not isinstance(config, dict) or key in config:
        return config.get(key) if isinstance(config, dict) else None
    included = config.get("include") or []
    names = [included] if isinstance(included, str) else included
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FaultsError(Fault(f"{path}: include", "not names of files", "a name or a list"))
    for name in reversed(names):
        value = file_key((path.parent / name).resolve(), key, (*_includers, path))
        if value is not None:
            return value
    return None


def tasks_behind(names: Iterable[str], folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the packaged tasks that names of tasks and groups stand for, with their files.

    >>> sorted(tasks_behind(["cot_math", "AIME"]))[:2]
    ['AIME', 'cot_math_algebra']
    """
    files = packaged_tasks(folders)
    tasks: dict[str, Path] = {}
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in files:
            continue
        seen.add(name)
        if file_key(files[name], "group") == name:
            members = file_key(files[name], "task") or []
            waiting += [one for one in members if isinstance(one, str)]
        else:
            tasks[name] = files[name]
    return tasks


def tasks_that_run_programs(names: Iterable[str], folders: Sequence[Path] = ()) -> list[str]:
    """Return the packaged tasks behind these names that execute what a model writes.

    >>> tasks_that_run_programs(["cot_math", "cot_svamp_program"])
    ['cot_svamp_program']
    """
    behind = tasks_behind(names, folders)
    return sorted(name for name, path in behind.items() if file_key(path, "unsafe_code"))


class _TaskLoader(yaml.SafeLoader):
    """A safe loader to which lm-eval's `!function` is only a name."""


_TaskLoader.add_constructor("!function", lambda _, node: node.value)

_NAMED = re.compile(r"^(task|group):[ \t]*['\"]?([\w.+-]+)['\"]?[ \t]*(?:#.*)?$", re.MULTILINE)
_TAGS = re.compile(r"^tag:[ \t]*(.*)((?:\n[ \t]*- .*)*)", re.MULTILINE)


def packaged_tasks(more: Iterable[Path] = ()) -> dict[str, Path]:
    """Return every task, group and tag of the bundles' folders and of `more`, with its file.

    A tag is in many files, and leads to the first of them. A run folder's copies of packaged tasks
    come before the packaged ones.

    Raises:
        BundleError: two files have a task or group of one name, of which lm-eval would take one.

    >>> all(path.suffix == ".yaml" for path in packaged_tasks().values())
    True
    """
    given = [path.resolve() for path in more]
    kept = [folder for folder in given if is_kept(folder)]
    others = [folder for folder in given if folder not in kept]
    found = _tasks_of([*bundle_folders("task_configs"), *others])
    return {**found, **_tasks_of(kept)} if kept else found


def is_kept(folder: Path) -> bool:
    """Whether a folder of tasks holds a run folder's copies of packaged ones."""
    return (folder.parent / KEPT).is_file()


def _tasks_of(folders: Iterable[Path]) -> dict[str, Path]:
    tasks: list[tuple[str, Path]] = []
    tags: dict[str, Path] = {}
    for folder in dict.fromkeys(folders):
        for path in sorted(folder.rglob("*.yaml")):
            text = path.read_text(encoding="utf-8", errors="replace")
            tasks += [(match.group(2), path) for match in _NAMED.finditer(text)]
            for name in declared_names(text):
                tags.setdefault(name, path)
    return tags | by_name("the task", tasks)


def declared_names(text: str) -> list[str]:
    r"""Return the names that one task file's text declares.

    >>> declared_names("task: AIME\ntag: [maths, hard]\n")
    ['AIME', 'maths', 'hard']
    """
    names = [match.group(2) for match in _NAMED.finditer(text)]
    for match in _TAGS.finditer(text):
        names += re.findall(r"[\w.+-]{2,}", match.group(1) + match.group(2).replace("- ", " "))
    return names


@functools.cache
def upstream_task_exists(name: str) -> bool:
    """Return whether the installed lm-eval declares a task, group or tag of this name.

    False where lm-eval is not installed. Reads its task files as text: about a second.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return False
    declared = re.compile(
        rb"^(?:task|group|tag):[ \t]*['\"]?" + re.escape(name.encode()) + rb"['\"]?[ \t]*(?:#.*)?$"
        rb"|^[ \t]*- ['\"]?" + re.escape(name.encode()) + rb"['\"]?[ \t]*$",
        re.MULTILINE,
    )
    tasks = Path(next(iter(spec.submodule_search_locations))) / "tasks"
    wanted = name.encode()
    for path in tasks.rglob("*"):
        if path.suffix == ".yaml" or path.name.startswith("_"):
            if not path.is_file():
                continue
            text = path.read_bytes()
            if wanted in text and declared.search(text):
                return True
    return False


@functools.cache
def upstream_dataset(name: str) -> str | None:
    """Return the dataset that lm-eval's own task of this name asks from; None where it says none.

    Reads the task files as text, about a second. Groups have none.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return None
    tasks = Path(next(iter(spec.submodule_search_locations))) / "tasks"
    declared = re.compile(
        rf"^task:[ \t]*['\"]?{re.escape(name)}['\"]?[ \t]*(?:#.*)?$", re.MULTILINE
    )
    for path in sorted(tasks.rglob("*.yaml")):
        if declared.search(path.read_text(encoding="utf-8", errors="replace")):
            dataset = file_key(path, "dataset_path")
            return dataset if isinstance(dataset, str) else None
    return None


@functools.cache
def upstream_names() -> frozenset[str]:
    """Return every task, group and tag that the installed lm-eval declares; empty without it."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    tasks = Path(next(iter(spec.submodule_search_locations))) / "tasks"
    return frozenset(
        name
        for path in tasks.rglob("*.yaml")
        for name in declared_names(path.read_text(encoding="utf-8", errors="replace"))
    )
