"""Records of decisions: a frozen dataclass in a JSON file of its own."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.json_file import read_object

_REMEDY = "remove it and its record in done/, and run again"
Record = TypeVar("Record")


def write_json_record(path: Path, record: Any) -> None:
    """Write a dataclass as a JSON object."""
    write_text(path, json.dumps(asdict(record), ensure_ascii=False, indent=1) + "\n")


def read_json_record(path: Path, kind: type[Record], what: str) -> Record | None:
    """Return the record that a file holds, None where there is no file; `what` names it in faults.

    Keys that are not known are left unread, so that a newer version may add some.

    Raises:
        DataError: it is not such a record.
    """
    from pydantic import TypeAdapter, ValidationError

    if not path.is_file():
        return None
    row = read_object(path, what, _REMEDY)
    try:
        return TypeAdapter(kind).validate_python(row)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = f"is not {what} ({where}: {first['msg']})"
        raise DataError(Fault(str(path), wrong, "", _REMEDY)) from invalid
