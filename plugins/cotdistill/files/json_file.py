"""One JSON value in a file, read whole: what is wrong with it is one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault

NOT_JSON = (OSError, ValueError, RecursionError)
"""What reading a file of JSON raises, for those who go on without it."""


def read_json(path: Path, expected: str = "a JSON file", remedy: str = "") -> Any:
    """Return the value that a file holds.

    Raises:
        DataError: the file is missing or cannot be read, is not UTF-8, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(Fault(str(path), "no such file", expected, remedy)) from error
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
        raise DataError(Fault(str(path), wrong, expected, remedy)) from error
    except UnicodeDecodeError as error:
        raise DataError(Fault(str(path), "not UTF-8", expected, remedy)) from error
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}"
        raise DataError(Fault(place, f"not JSON ({error.msg})", expected, remedy)) from error
    except ValueError as error:
        wrong = "not JSON (a number of more than 4,300 digits)"
        raise DataError(Fault(str(path), wrong, expected, remedy)) from error
    except RecursionError as error:
        raise DataError(Fault(str(path), "nested too deep", expected, remedy)) from error


def read_object(path: Path, expected: str = "a JSON object", remedy: str = "") -> dict[str, Any]:
    """Return the object that a file holds.

    Raises:
        DataError: as for `read_json`, or the value is not an object.
    """
    value = read_json(path, expected, remedy)
    if not isinstance(value, dict):
        raise DataError(Fault(str(path), "not a JSON object", expected, remedy))
    return value
