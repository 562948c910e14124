"""The records that a race leaves in `race/`: how arms stood after each batch, and who goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.json_file import read_object
from cotdistill.runfolder.race import record_of

_REMEDY = "remove it and its record in done/, and run again"


@dataclass(frozen=True)
class Place:
    """How an arm stood after a batch.

    Units: `mean`, `se` and `behind` (the leader) are points.
    """

    arm: str
    runs: int
    mean: float
    se: float
    behind: float


@dataclass(frozen=True)
class RaceRecord:
    """What was decided after a batch, or in the end.

    `goes_on` are the arms that the next batch trains, or that the final comparison does; `skip`
    has the others, each with the reason. Units: `run_sd` in points.
    """

    batch: int
    procedure: str
    done: int
    planned: int
    run_sd: float
    places: tuple[Place, ...]
    goes_on: tuple[str, ...]
    skip: Mapping[str, str] = field(default_factory=dict)


def write_race(folder: Path, name: str, record: RaceRecord) -> None:
    """Write the record of a batch, or of the whole race."""
    text = json.dumps(asdict(record), ensure_ascii=False, indent=1) + "\n"
    write_text(folder / record_of(name), text)


def read_race(folder: Path, name: str) -> RaceRecord | None:
    """Return the record of a batch, or of the whole race; None where it is not there.

    Raises:
        DataError: it is broken.
    """
    path = folder / record_of(name)
    if not path.is_file():
        return None
    row: dict[str, Any] = dict(read_object(path, "the record of a race", _REMEDY))
    try:
        places = tuple(Place(**one) for one in row.pop("places"))
        goes_on = tuple(row.pop("goes_on"))
        return RaceRecord(places=places, goes_on=goes_on, **row)
    except (TypeError, KeyError) as error:
        wrong = f"is not the record of a race ({error})"
        raise DataError(Fault(str(path), wrong, "", _REMEDY)) from error
