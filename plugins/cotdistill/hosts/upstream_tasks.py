"""Whether stock lm-eval has a task of a name, found in its files without importing it."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from cotdistill.files.task_names import declared_names


@functools.cache
def upstream_task_exists(name: str) -> bool:
    """Return whether the installed lm-eval declares a task, group or tag of this name.

    False where lm-eval is not installed. Reads its task files as text: about a second.
    """
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        return False
    said = re.compile(
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
            if wanted in text and said.search(text):
                return True
    return False


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
