"""What a packaged lm-eval task says under a key, its includes followed, without the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cotdistill.files.task_names import packaged_tasks


def task_key(task: str, key: str) -> Any:
    """Return a key of a packaged task, or of what it includes; None where nobody sets it.

    The task's own key wins, then the last file that it includes, as in lm-eval.
    """
    path = packaged_tasks().get(task)
    return _file_key(path, key) if path is not None else None


def _file_key(path: Path, key: str) -> Any:
    held = yaml.load(path.read_text(encoding="utf-8"), Loader=_TaskLoader)
    if not isinstance(held, dict) or key in held:
        return held.get(key) if isinstance(held, dict) else None
    included = held.get("include") or []
    for name in reversed([included] if isinstance(included, str) else included):
        found = _file_key(path.parent / name, key)
        if found is not None:
            return found
    return None


class _TaskLoader(yaml.SafeLoader):
    """A safe loader to which lm-eval's `!function` is only a name."""


_TaskLoader.add_constructor("!function", lambda _, node: node.value)
