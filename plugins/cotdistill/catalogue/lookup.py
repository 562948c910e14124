"""Catalogues: named entries of one kind, found by name or by what they stand for.

The packaged catalogues themselves are read by `cotdistill.catalogue.packaged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cotdistill.catalogue.student import Student
from cotdistill.errors import Fault, FaultsError, StudyError, did_you_mean

Shape = TypeVar("Shape", bound=BaseModel)


def faults_of(error: ValidationError, place: str, *within: str) -> list[Fault]:
    """Return pydantic's complaints as faults whose place is `file:key.of.the.value`.

    `within` are keys that lead from the file to the value that pydantic saw.
    """
    faults = []
    for complaint in error.errors(include_url=False):
        where = ".".join(str(part) for part in (*within, *complaint["loc"]))
        wrong = complaint["msg"].removeprefix("Value error, ")
        if complaint["type"] == "extra_forbidden":
            wrong = f"unknown key '{complaint['loc'][-1]}'"
        faults.append(Fault(f"{place}:{where}" if where else place, wrong))
    return faults


def named_entries(shape: type[Shape], entries: object, place: str) -> dict[str, Shape]:
    """Return a mapping of name to entry as checked values, each told its own name.

    Raises:
        FaultsError: anything in it is not of the shape; all faults at once.
    """
    if not isinstance(entries, Mapping):
        raise FaultsError(Fault(place, "not a mapping", "names, each with its entry"))
    found: dict[str, Shape] = {}
    faults: list[Fault] = []
    for name, entry in entries.items():
        if not isinstance(name, str) or not isinstance(entry, Mapping):
            faults.append(Fault(f"{place}:{name}", "not an entry", "a name and a mapping"))
            continue
        values: dict[str, Any] = {"name": name, **entry}
        try:
            found[name] = shape.model_validate(values)
        except ValidationError as error:
            faults += faults_of(error, place, name)
    if faults:
        raise FaultsError(faults)
    return found


def student_called(name: str, students: Mapping[str, Student], place: str) -> Student:
    """Return a catalogue's student by its name or its hub id; upper and lower case are one.

    Raises:
        StudyError: there is none; names the nearest.
    """
    wanted = name.lower()
    for student in students.values():
        if wanted in (student.name.lower(), student.model.lower()):
            return student
    known = [*students, *(student.model for student in students.values() if "/" in name)]
    raise StudyError(
        Fault(
            place,
            f"unknown student '{name}'",
            "a name of `cotdistill list students`, or of models: as in models: {"
            f"{name.rpartition('/')[2]}: {{model: {name}, template: TEMPLATE}}}}",
            did_you_mean(name, known),
        )
    )
