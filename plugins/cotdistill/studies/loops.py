"""The loops of a study: `improve:` written out as one arm for each cell of its `for`.

    improve:
      recipe: full
      start: {dataset: MathInstruct}
      rounds: 4
      sample: {questions: gsm8k}
      for: {strategy: [uniform, state_reset]}

is the arm `start`, which is trained on as any other, and the loops `improve-uniform` and
`improve-state_reset`, which start from the models trained on it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from cotdistill.catalogue.formats import with_format
from cotdistill.errors import Fault, StudyError, did_you_mean
from cotdistill.schema import Shape, read_shape
from cotdistill.studies.expand import filled
from cotdistill.studies.requests import Improve, Loop, SampleRequest


class _Declared(Shape):
    """`improve:` as a file has it; its faults name the keys of the file."""

    improve: Improve


class _Written(Shape):
    """One loop of it."""

    improve: Loop


PREFIX = "improve"
START = "start"


def with_loops(value: dict[str, Any], place: str) -> dict[str, Any]:
    """Return a study's mapping with its `improve:` as arms, after those of the file.

    Raises:
        StudyError: everything that is wrong with it, all at once.

    >>> loop = {"recipe": "full", "rounds": 2, "sample": {"questions": "q"}}
    >>> study = {"improve": {**loop, "for": {"strategy": ["vanilla", "uniform"]}}}
    >>> list(with_loops(study, "s.yaml")["arms"])
    ['improve-vanilla', 'improve-uniform']
    """
    improve = value.get("improve")
    if improve is None:
        return value
    where = f"{place}:improve"
    read_shape(_Declared, {"improve": improve}, place, StudyError)
    faults: list[Fault] = []
    given = value.get("arms")
    arms: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    loops: dict[str, Any] = {}
    for binding in _cells(improve.get("for") or {}, f"{where}.for", faults):
        name = _name(binding)
        given = {key: entry for key, entry in improve.items() if key != "for"}
        body = filled(given, binding, where, faults)
        body["sample"] = {**body["sample"], **binding}
        start = body.get("start")
        body["start"] = _start(start, binding, arms, f"{where}.start", faults)
        if name in arms or name in loops:
            faults.append(Fault(where, f"makes an arm '{name}', and there is one", "another name"))
        loops[name] = {"improve": body, "factors": _factors(body["sample"], binding)}
        if not faults:
            read_shape(_Written, {"improve": body}, place, StudyError)
    if faults:
        raise StudyError(dict.fromkeys(faults))
    rest = {key: entry for key, entry in value.items() if key != "improve"}
    return {**rest, "arms": {**arms, **loops}}


def _cells(grid: dict[str, Any], where: str, faults: list[Fault]) -> Iterator[dict[str, Any]]:
    """Yield what each loop binds: one value of each axis, a key of `sample`."""
    known = [name for name in SampleRequest.model_fields if name != "questions"]
    for axis, values in grid.items():
        if axis not in known:
            wrong = f"'{axis}' is no key of sample that loops can differ in"
            faults.append(Fault(where, wrong, "", did_you_mean(str(axis), known)))
        elif not values or any(isinstance(one, dict | list) for one in values):
            faults.append(Fault(f"{where}.{axis}", "not values", "a list, as in [uniform, answer]"))
    if not faults:
        for cell in itertools.product(*grid.values()):
            yield dict(zip(grid, cell, strict=True))


def _name(binding: dict[str, Any]) -> str:
    parts = [str(one) if isinstance(one, str) else f"{axis}{one}" for axis, one in binding.items()]
    return "-".join([PREFIX, *parts])


def _factors(sample: dict[str, Any], binding: dict[str, Any]) -> dict[str, Any]:
    stated = {"strategy": sample.get("strategy", SampleRequest.model_fields["strategy"].default)}
    if isinstance(sample.get("questions"), str):
        stated = {"questions": sample["questions"], **stated}
    return with_format({**stated, **binding})


def _start(
    start: Any, binding: dict[str, Any], arms: dict[str, Any], where: str, faults: list[Fault]
) -> str | None:
    """Return the name of the arm that a loop starts from, and add that arm where it is described.

    Loops with equal descriptions share one arm.
    """
    if start is None or isinstance(start, str):
        return start
    same = [name for name, arm in arms.items() if name.startswith(START) and _bare(arm) == start]
    if same:
        return same[0]
    name = START
    if START in arms:
        name = "-".join([START, *(str(one) for one in binding.values())])
    if name in arms:
        faults.append(Fault(where, f"makes an arm '{name}', and there is one", "another name"))
    arms[name] = start
    return name


def _bare(arm: Any) -> Any:
    """Return an arm as it was written, without the factors that were added."""
    return {k: v for k, v in arm.items() if k != "factors"} if isinstance(arm, dict) else arm
