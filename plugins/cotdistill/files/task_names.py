"""The names that task files declare, read without loading a host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cotdistill.files.bundle import bundle_folder

_NAMED = re.compile(r"^(task|group):[ \t]*['\"]?([\w.+-]+)['\"]?[ \t]*(?:#.*)?$", re.MULTILINE)
_TAGS = re.compile(r"^tag:[ \t]*(.*)((?:\n[ \t]*- .*)*)", re.MULTILINE)


def packaged_tasks(more: Iterable[Path] = ()) -> dict[str, Path]:
    """Return every task, group and tag of the packaged folder and of `more`, with its file.

    >>> all(path.suffix == ".yaml" for path in packaged_tasks().values())
    True
    """
    found: dict[str, Path] = {}
    for folder in (bundle_folder("task_configs"), *more):
        for path in sorted(folder.rglob("*.yaml")):
            for name in declared_names(path.read_text(encoding="utf-8", errors="replace")):
                found.setdefault(name, path)
    return found


def declared_names(text: str) -> list[str]:
    r"""Return the names that one task file's text declares.

    >>> declared_names("task: AIME\ntag: [maths, hard]\n")
    ['AIME', 'maths', 'hard']
    """
    names = [match.group(2) for match in _NAMED.finditer(text)]
    for match in _TAGS.finditer(text):
        names += re.findall(r"[\w.+-]{2,}", match.group(1) + match.group(2).replace("- ", " "))
    return names
