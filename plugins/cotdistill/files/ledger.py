"""The ledger next to a file of rows: what went in, what came out, why the rest was dropped.

It is written after the file it describes, so a file with a ledger is a finished file. Its bytes
depend on what was done, never on when or in how many pieces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of, write_text
from cotdistill.files.json_file import read_object

_MADE_AGAIN = "remove it and make the file again"
_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class LedgerFile:
    """One file that went in or came out, as it was named, with its rows and its hash."""

    file: str
    rows: int
    sha256: str

    @classmethod
    def of(cls, path: Path, rows: int, *, name: str | None = None) -> LedgerFile:
        """Hash a file on disk; `name` replaces its path in the ledger.

        Raises:
            FaultsError: the file cannot be read.
        """
        return cls(name or path.as_posix(), rows, sha256_of(path))


@dataclass(frozen=True)
class Ledger:
    """What made a file: inputs, outputs, rows counted by reason, settings, seed and versions.

    `counts` maps a reason ("kept", "duplicate", ...) to rows; every input row has one reason.
    """

    made_by: str
    inputs: tuple[LedgerFile, ...] = ()
    outputs: tuple[LedgerFile, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {"cotdistill": __version__})


def ledger_path(path: Path) -> Path:
    """Return the path of a file's ledger, which is next to it.

    >>> ledger_path(Path("data/level1.jsonl")).as_posix()
    'data/level1.ledger.json'
    """
    return path.with_suffix(".ledger.json")


def ledger_text(ledger: Ledger) -> str:
    """Return a ledger as it is written; the same ledger gives the same bytes.

    >>> print(ledger_text(Ledger("mix", counts={"kept": 2}, seed=1))[:19])
    {
      "made_by": "mix
    """
    text = json.dumps(asdict(ledger), ensure_ascii=False, indent=2)
    if not text.isascii() and _HALF_A_CHARACTER.search(text):
        text = json.dumps(asdict(ledger), indent=2)  # a file name that is not UTF-8
    return text + "\n"


def write_ledger(path: Path, ledger: Ledger) -> Path:
    """Write the ledger of the finished file `path` and return its path.

    Raises:
        FaultsError: the folder cannot be written.
    """
    written = ledger_path(path)
    write_text(written, ledger_text(ledger))
    return written


def read_ledger(path: Path) -> Ledger:
    """Return the ledger of a file.

    Raises:
        DataError: there is none, or it is not a ledger.
    """
    ledger = ledger_path(path)
    if not ledger.exists():
        remedy = "make the file again: it was not finished"
        raise DataError(Fault(str(ledger), "no such ledger", "", remedy))
    values = read_object(ledger, "a ledger", _MADE_AGAIN)
    try:
        for side in ("inputs", "outputs"):
            values[side] = tuple(_ledger_file(entry) for entry in values.get(side, ()))
        read = Ledger(**values)
    except TypeError as error:
        wrong = f"not a ledger ({error})"
        raise DataError(Fault(str(ledger), wrong, "", _MADE_AGAIN)) from error
    parts = {"counts": read.counts, "settings": read.settings, "notes": read.notes}
    faults = [
        Fault(f"{ledger}: {name}", "not an object", "as `write_ledger` writes it", _MADE_AGAIN)
        for name, part in parts.items()
        if not isinstance(part, dict)
    ]
    if isinstance(read.counts, dict) and not all(map(_is_count, read.counts.values())):
        faults.append(Fault(f"{ledger}: counts", "not all whole numbers", "", _MADE_AGAIN))
    if faults:
        raise DataError(faults)
    return read


def _ledger_file(entry: Any) -> LedgerFile:
    file = LedgerFile(**entry)
    if not (isinstance(file.file, str) and isinstance(file.sha256, str) and _is_count(file.rows)):
        raise TypeError(f"{entry!r}"[:80])
    return file


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
