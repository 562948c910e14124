"""Study files of version 1 in the form of version 2: the same study, said in the new words.

Version 1 described students where they were listed, and its tasks always asked in their own words,
whatever the training rows said. Both are kept: the students move to `models:`, and the difference
of the prompts becomes a declared one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cotdistill.errors import Fault, StudyError

SCHEMA_VERSION = 2
NEW_KEYS = ("models", "prompt", "questions", "compare", "judge", "improve", "race")
"""Keys that only version 2 has: a file with one of them is of version 2 without saying so."""


@dataclass(frozen=True)
class Upgraded:
    """A study's mapping in the newest form, and what was changed for it."""

    value: dict[str, Any]
    changes: tuple[str, ...]


def is_old(value: object) -> bool:
    """Whether a study's mapping is of version 1.

    >>> is_old({"name": "s"}), is_old({"name": "s", "models": {}}), is_old({"schema_version": 2})
    (True, False, False)
    """
    if not isinstance(value, dict):
        return False
    if "schema_version" in value:
        return value["schema_version"] == 1 and not isinstance(value["schema_version"], bool)
    return not any(name in value for name in NEW_KEYS)


def upgrade(value: dict[str, Any], place: str) -> Upgraded:
    """Return a study's mapping in the form of version 2; one that has it already is returned as is.

    Raises:
        StudyError: two students have one name.
    """
    if not is_old(value):
        return Upgraded(value, ())
    changes = ["schema_version: 2"]
    models, students = _models_and_students(value, place)
    if models:
        changes.append(f"students described under models: ({', '.join(models)})")
    changes.append("prompt: the difference between rows and tasks is declared")
    prompt: dict[str, Any] = {"instruction": "none", "evaluation": {"instruction": "task"}}
    evaluation = value.get("evaluation")
    if isinstance(evaluation, dict) and "system_instruction" in evaluation:
        system = evaluation["system_instruction"]
        evaluation = {k: v for k, v in evaluation.items() if k != "system_instruction"}
        if system is not None:
            prompt["evaluation"]["system"] = system
            changes.append("evaluation.system_instruction is prompt.evaluation.system")
    new: dict[str, Any] = {"schema_version": SCHEMA_VERSION}
    for name, entry in value.items():
        match name:
            case "schema_version":
                continue
            case "students":
                new |= {"models": models} if models else {}
                new |= {"students": students, "prompt": prompt}
            case "evaluation":
                new[name] = evaluation
            case _:
                new[name] = entry
    return Upgraded(new, tuple(changes))


def _models_and_students(value: dict[str, Any], place: str) -> tuple[dict[str, Any], Any]:
    """Return the described students as models by name, and the list of all students' names."""
    students = value.get("students")
    if not isinstance(students, list):
        return {}, students
    models: dict[str, Any] = {}
    names: list[Any] = []
    for number, entry in enumerate(students):
        if not isinstance(entry, dict):
            names.append(entry)
            continue
        name = entry.get("name") or str(entry.get("model") or "").rstrip("/").split("/")[-1]
        if not isinstance(name, str) or not name:
            where = f"{place}:students.{number}"
            raise StudyError(Fault(where, "the key 'name' is missing"))
        if name in models:
            where = f"{place}:students.{number}"
            raise StudyError(Fault(where, f"two students are called '{name}'", "", "rename one"))
        models[name] = {key: given for key, given in entry.items() if key != "name"}
        names.append(name)
    return models, names


def upgraded_text(text: str, value: dict[str, Any], place: str) -> str:
    """Return the text of a study file in the form of version 2; comments outside changes stay.

    Raises:
        StudyError: as `upgrade`.
    """
    from cotdistill.files.yamls import dump_yaml

    done = upgrade(value, place)
    if not done.changes:
        return text
    blocks = dict(_blocks(text))
    version = _comments(blocks.pop("schema_version", ""))
    parts = [blocks.pop("", ""), version, f"schema_version: {SCHEMA_VERSION}\n"]
    for name in done.value:
        if name == "schema_version":
            continue
        if name in blocks and done.value[name] == value.get(name):
            parts.append(blocks[name])
        else:
            source = "students" if name == "models" else name
            parts += [_comments(blocks.get(source, "")), dump_yaml({name: done.value[name]})]
            blocks.pop(source, None)
    return "".join(part if part.endswith("\n") or not part else f"{part}\n" for part in parts)


def _comments(block: str) -> str:
    """Return the comments that stand before a key."""
    lines = itertools.takewhile(lambda line: line[:1] in ("#", "\n"), block.splitlines(True))
    return "".join(lines)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield each top-level key with its lines; comments before a key belong to the key."""
    name = ""
    lines: list[str] = []
    waiting: list[str] = []
    for line in text.splitlines(keepends=True):
        word = line.partition(":")[0].strip("'\"")
        starts = line[:1] not in (" ", "\t", "#", "\n", "-", "]", "}") and ":" in line
        if starts:
            yield name, "".join(lines)
            name, lines, waiting = word, [*waiting, line], []
        elif line.startswith("#") or not line.strip():
            waiting.append(line)
        else:
            lines += [*waiting, line]
            waiting = []
    yield name, "".join([*lines, *waiting])
