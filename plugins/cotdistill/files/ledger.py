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
    try:
        values = json.loads(ledger.read_text(encoding="utf-8"))
        for side in ("inputs", "outputs"):
            values[side] = tuple(LedgerFile(**entry) for entry in values[side])
        return Ledger(**values)
    except FileNotFoundError as error:
        remedy = "make the file again: it was not finished"
        raise DataError(Fault(str(ledger), "no such ledger", "", remedy)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(Fault(str(ledger), f"not a ledger ({error})")) from error
