"""The records that a race leaves in `race/`: how arms stood after each batch, and who goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cotdistill.runfolder.json_record import read_json_record, write_json_record
from cotdistill.runfolder.race import record_of


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
    write_json_record(folder / record_of(name), record)


def read_race(folder: Path, name: str) -> RaceRecord | None:
    """Return the record of a batch, or of the whole race; None where it is not there.

    Raises:
        DataError: it is broken.
    """
    return read_json_record(folder / record_of(name), RaceRecord, "the record of a race")
