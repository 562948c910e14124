"""The lines of a study file that faults are about: `s.yaml:12:recipes.full` names a key's line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cotdistill.errors import Fault

_UNKNOWN = re.compile(r"unknown key '([^']+)'")
_LOOP = re.compile(r"arms\.(improve-[^:]+?)\.improve(?=\.|:|$)")
_HOLE = re.compile(r"\{\w+\}")


def with_lines(faults: Iterable[Fault], path: Path, place: str) -> Iterator[Fault]:
    """Yield faults with the line of the key that each is about; others as they are.

    An entry of a grid is looked up under the name that the file writes, with its axes in braces;
    the same fault of several cells is one, which says how many they are and names the first.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        root = None
    cells: dict[Fault, list[str]] = {}
    for fault in faults:
        keys = fault.place.removeprefix(f"{place}:")
        if root is None or keys == fault.place or keys[:1].isdigit():
            cells.setdefault(fault, [])
            continue
        cell = keys
        keys = _in_improve(root, keys)
        parts = keys.partition(": ")[0].split(".")
        unknown = _UNKNOWN.match(fault.wrong)
        line = _found(root, [*parts, *([unknown.group(1)] if unknown else [])]).line
        written = _found(root, parts).written
        here = replace(fault, place=f"{place}:{line}:{written or keys}") if line else fault
        is_cell = bool(written) or keys != cell
        cells.setdefault(here, []).extend([cell] if is_cell else [])
    for fault, of_cells in cells.items():
        line_of, _, key = fault.place.removeprefix(f"{place}:").partition(":")
        if len(of_cells) == 1 and key.startswith("improve"):
            yield fault
        elif len(of_cells) == 1:
            yield replace(fault, place=f"{place}:{line_of}:{of_cells[0]}")
        elif of_cells:
            wrong = f"{fault.wrong} (in {len(of_cells)} entries of the grid, first {of_cells[0]})"
            yield replace(fault, wrong=wrong)
        else:
            yield fault


def _in_improve(root: yaml.Node, keys: str) -> str:
    """Return a key of a loop as the file writes it: those of its `improve:` are in no arm."""
    arm = _LOOP.match(keys)
    if arm is None or not isinstance(root, yaml.MappingNode):
        return keys
    values = {str(key.value): value for key, value in root.value}
    arms = values.get("arms")
    if "improve" not in values or (arms is not None and _entry(arms, arm.group(1).split("."))):
        return keys
    return f"improve{keys[arm.end() :]}"


@dataclass(frozen=True)
class _Found:
    """The line of the innermost key on a path, and how the file writes the path if in a grid."""

    line: int | None
    written: str | None


def _found(node: yaml.Node, parts: list[str]) -> _Found:
    """Return the innermost key on a path that the file has; without a line where it has none."""
    line: int | None = None
    written: list[str] = []
    is_cell = False
    place = 0
    while place < len(parts):
        if isinstance(node, yaml.SequenceNode) and parts[place].isdigit():
            number = int(parts[place])
            if number >= len(node.value):
                break
            node = node.value[number]
            line = node.start_mark.line + 1
            written.append(parts[place])
            place += 1
            continue
        found = _entry(node, parts[place:])
        if found is None:
            break
        key, node, taken = found
        is_cell |= key.value != ".".join(parts[place : place + taken])
        written.append(str(key.value))
        line, place = key.start_mark.line + 1, place + taken
    return _Found(line, ".".join([*written, *parts[place:]]) if is_cell else None)


def _entry(node: yaml.Node, parts: list[str]) -> tuple[yaml.Node, yaml.Node, int] | None:
    """Return the key that comes next, its value, and how many parts its name takes up.

    A name may have dots, as `Qwen2.5-0.5B-Instruct`: the longest one whose value has the key after
    it is meant, else the longest that is there as it is, else the shortest of a grid's entries.
    """
    if not isinstance(node, yaml.MappingNode):
        return None
    found = []
    entries = sorted(node.value, key=lambda entry: -len(_HOLE.sub("", str(entry[0].value))))
    for taken in range(len(parts), 0, -1):
        name = ".".join(parts[:taken])
        for key, value in entries:  # of two grids, that with more words of its own first
            if key.value == name or _is_cell(str(key.value), name):
                found.append((key, value, taken))
                if taken < len(parts) and _entry(value, parts[taken:]):
                    return found[-1]
    written = [one for one in found if one[0].value == ".".join(parts[: one[2]])]
    return next(iter(written), found[-1] if found else None)


def _is_cell(written: str, name: str) -> bool:
    if not _HOLE.search(written):
        return False
    pattern = ".+".join(map(re.escape, _HOLE.split(written)))
    return re.fullmatch(pattern, name) is not None
