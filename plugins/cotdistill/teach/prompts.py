"""What a teacher is asked, from the prompts of `templates/prompts/teach` or of a folder of yours.

A prompt file is Jinja2 and is filled in inside Jinja's sandbox. It is named after its format
(`natural.j2`) and becomes the user's message; `natural.system.j2` next to it becomes the system
message. It knows these values: question, options, choices (the options that the question does not
state itself), kind, gold (empty unless it is shown), level and steps (None without one), levels (of
a bundle), format, rationale (of what is rewritten), contrast (what an earlier attempt did wrong).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.choices import has_choices
from cotdistill.files.bundle import bundle_file
from cotdistill.files.templates import renderer
from cotdistill.teach.checks import LEVEL_STEPS, steps_of
from cotdistill.teach.questions import Item

LEVELS = tuple(LEVEL_STEPS)
_PASTED = ("question",)
Filled = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Prompts:
    """A folder of prompts; None is ours, whose files other bundles may hold too."""

    folder: Path | None = None
    _turns: dict[str, list[tuple[str, Filled]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def messages(self, name: str, values: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
        """Return the messages that a prompt becomes.

        Raises:
            BundleError: there is no such prompt, or it asks for a value that it is not given.
        """
        turns = self._turns.get(name)
        if turns is None:
            turns = self._turns[name] = self._read(name)
        return tuple({"role": role, "content": filled(values).strip()} for role, filled in turns)

    def _read(self, name: str) -> list[tuple[str, Filled]]:
        folder = self.folder or _ours(name)
        turns = [("user", renderer(f"{name}.j2", _PASTED, folder))]
        if (folder / f"{name}.system.j2").is_file():
            turns.insert(0, ("system", renderer(f"{name}.system.j2", _PASTED, folder)))
        return turns

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a prompt's files, with those that it may share parts with."""
        folder = self.folder or _ours(name)
        files = [f"{name}.j2", f"{name}.system.j2", *sorted(p.name for p in folder.glob("_*.j2"))]
        whole = hashlib.sha256()
        for file in files:
            if (folder / file).is_file():
                whole.update(file.encode() + b"\0" + (folder / file).read_bytes() + b"\0")
        return whole.hexdigest()


@functools.cache
def _ours(name: str) -> Path:
    return bundle_file("templates", f"prompts/teach/{name}.j2").parent


def values_for(
    item: Item,
    *,
    level: int | None = None,
    format: str = "natural",  # noqa: A002  # what the prompts call it
    gold_shown: bool = False,
    levels: tuple[int, ...] = (),
    rationale: str = "",
    contrast: str = "",
) -> dict[str, Any]:
    """Return what a prompt may name."""
    question, options = item.question.strip(), dict(item.options or {})
    return {
        "question": question,
        "options": options,
        "choices": unstated(options, question),
        "kind": item.kind,
        "gold": item.gold if gold_shown else "",
        "level": level,
        "steps": steps_of(level, format) if level else None,
        "levels": list(levels),
        "format": format,
        "rationale": rationale.strip(),
        "contrast": contrast,
    }


def unstated(options: Mapping[str, str], question: str) -> dict[str, str]:
    """Return the options, none where the question lists them itself.

    >>> unstated({"A": "4", "B": "5"}, "Are 4 or 5 the half of 8?")
    {'A': '4', 'B': '5'}
    >>> unstated({"A": "4", "B": "5"}, "What is 2 + 2? (A) 4 (B) 5")
    {}
    """
    return {} if has_choices(question, options) else dict(options)
