"""Selecting by factor, name and size: `when:` of tasks and recipes, `students:` of recipes."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from cotdistill.catalogue.formats import format_called
from cotdistill.studies.arm import Factor

Key = TypeVar("Key")
When = dict[str, Factor | list[Factor]]
_SIZE = re.compile(r"(<=|>=|<|>)\s*([0-9.]+)\s*B?\Z", re.IGNORECASE)


def meets(
    when: Mapping[str, Factor | Sequence[Factor]] | None, factors: Mapping[str, Factor]
) -> bool:
    """Whether an arm's factors are among those asked for; a text may be a shell pattern.

    >>> meets({"questions": "svamp", "level": [1, 3]}, {"questions": "SVAMP", "level": 3})
    True
    >>> meets({"teacher": "qwen*"}, {"level": 3})
    False
    """
    return all(_has(factors, name, wanted) for name, wanted in (when or {}).items())


def _has(factors: Mapping[str, Factor], name: str, wanted: Factor | Sequence[Factor]) -> bool:
    own, values = factors.get(name), values_of(wanted)
    if name == "format":
        own, values = format_called(own), [format_called(value) for value in values]
    return any(_same(own, value) for value in values)


def values_of(wanted: Factor | Sequence[Factor]) -> Sequence[Factor]:
    """Return the values that a selection asks for, of which it may name one alone."""
    return wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]


def nearest(
    own: Mapping[str, Factor],
    candidates: Mapping[Key, Mapping[str, Factor]],
    chosen: Mapping[str, Factor],
) -> list[Key]:
    """Return the candidates that have nothing but what was chosen that one lacks.

    Of several, those that have most in common with it.

    >>> own = {"level": 6, "teacher": "qwen"}
    >>> nearest(own, {"a": {"level": 1, "teacher": "qwen"}, "b": {"level": 1}}, {"level": 1})
    ['a']
    """
    shared: dict[Key, int] = {}
    for name, factors in candidates.items():
        rest = {key: value for key, value in factors.items() if key not in chosen}
        if all(own.get(key) == value for key, value in rest.items()):
            shared[name] = len(rest)
    most = max(shared.values(), default=0)
    return [name for name, count in shared.items() if count == most]


def _same(value: Factor, wanted: Factor) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return fnmatch.fnmatchcase(value.lower(), wanted.lower())
    return type(value) is type(wanted) and value == wanted


def is_size(pattern: str) -> bool:
    """Whether an entry of `students:` asks for a size, as "< 14 B" does."""
    return _SIZE.match(pattern) is not None


def chooses_student(pattern: str, name: str, parameters: float | None) -> bool:
    """Whether an entry of a recipe's `students:` (name, shell pattern or size) means a student.

    Units: parameters in billions; one of unknown size is in no size class.

    >>> chooses_student("< 14 B", "Qwen2.5-7B-Instruct", 7.61), chooses_student("Qwen*", "bloom", 1)
    (True, False)
    """
    if size := _SIZE.match(pattern):
        if parameters is None:
            return False
        limit = float(size.group(2))
        return {
            "<": parameters < limit,
            "<=": parameters <= limit,
            ">": parameters > limit,
            ">=": parameters >= limit,
        }[size.group(1)]
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())
