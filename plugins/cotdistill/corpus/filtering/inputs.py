"""Files brought to trace rows before they are surveyed, and which row of which file each was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.records.import_traces import Refusal, import_source
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace_row import is_trace_row
from cotdistill.errors import DataError, Fault
from cotdistill.files.any_rows import BadRow, numbered_rows


@dataclass(frozen=True)
class Readied:
    """One file of trace rows: where it lies, what it was called, and what did not become traces.

    `origin` is the row number in the file as the user named it, None where it is that file.
    """

    path: Path
    called: str
    given: Path
    rows: int | None
    origin: NDArray[np.int64] | None
    refused: dict[str, int]
    refusals: tuple[Refusal, ...]


def readied(
    paths: Sequence[Path], folder: Path, *, skip_bad: bool, golds: Sequence[Path] = ()
) -> list[Readied]:
    """Return trace files for files of any known shape; those that are no trace rows are imported.

    Raises:
        DataError: a file is missing, empty or broken, or has no row that becomes a trace.
    """
    found: list[Readied] = []
    for path in paths:
        if _has_traces(path) and not golds:
            found.append(Readied(path, str(path), path, None, None, {}, ()))
            continue
        for source in find_sources([path], golds):
            into = folder / f"{len(found):04d}"
            report = import_source(source, into, skip_bad=skip_bad)
            written = into / f"{source.name}.jsonl"
            if not report.traces:
                wrong = f"none of its {report.rows} rows is a trace"
                why = report.refusals[0].why if report.refusals else "they are questions only"
                raise DataError(Fault(str(path), wrong, "", why))
            found.append(
                Readied(
                    written,
                    str(path) if path.stem == source.name else f"{path} as {source.name}",
                    path,
                    report.rows,
                    np.array(report.rows_of_traces, dtype=np.int64),
                    dict(report.refused),
                    tuple(report.refusals),
                )
            )
    return found


def _has_traces(path: Path) -> bool:
    """Whether a JSON Lines file's first row is a trace."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    for _, row in numbered_rows(path):
        if not isinstance(row, BadRow):
            return is_trace_row(row)
    return True  # all broken: the survey names each line
