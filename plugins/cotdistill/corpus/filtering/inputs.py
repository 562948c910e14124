"""Input files as files of trace rows; files of other shapes are imported first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.records.import_traces import Refusal, import_source
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace_row import is_trace_row
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import BadRow, numbered_rows, read_rows


@dataclass(frozen=True)
class TraceFile:
    """One file of trace rows, and the input file that it was made from.

    `input` is the file as the user named it and `label` how messages call it. If it was imported,
    `path` is the imported copy, `input_rows` counts the input's rows, `row_numbers` holds the input
    row of each trace, `refused` counts the rows that became no trace by rule, and `refused_path` is
    the file of them. All are None where `path` is the input itself. `fields` counts rows by what
    else they hold than question and response.
    """

    path: Path
    label: str
    input: Path
    input_rows: int | None = None
    row_numbers: NDArray[np.int64] | None = None
    refused: dict[str, int] | None = None
    refused_path: Path | None = None
    fields: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def refused_by(self, rule: str) -> int:
        """Return how many rows of the input were refused by a rule when it was imported."""
        return (self.refused or {}).get(rule, 0)

    def refusals(self) -> Iterator[Refusal]:
        """Yield the rows of the input that became no trace."""
        if self.refused and self.refused_path:
            for row in read_rows(self.refused_path):
                yield Refusal(row["place"], row["rule"], row["why"], row["row"])


def input_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files to read: those named, and those in folders that are named.

    Raises:
        DataError: a path is missing, or a folder holds no file of rows.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_file():
            files.append(path)
        else:
            files += dict.fromkeys(source.path for source in find_sources([path]))
    return files


def trace_files(
    paths: Sequence[Path], folder: Path, *, skip_bad: bool, golds: Sequence[Path] = ()
) -> list[TraceFile]:
    """Return trace files for files of any known shape; other shapes are imported into `folder`.

    Raises:
        DataError: a file is missing, empty or broken, or has no row that becomes a trace.
    """
    files: list[TraceFile] = []
    for path in paths:
        if _holds_traces(path) and not golds:
            files.append(TraceFile(path, str(path), path))
            continue
        for source in find_sources([path], golds):
            into = folder / f"{len(files):04d}"
            report = import_source(source, into, skip_bad=skip_bad)
            if not report.traces:
                wrong = f"none of its {report.rows} rows is a trace"
                why = report.refusals[0].why if report.refusals else "they are questions only"
                raise DataError(Fault(str(path), wrong, "", why))
            files.append(
                TraceFile(
                    into / f"{source.name}.jsonl",
                    str(path) if path.stem == source.name else f"{path} as {source.name}",
                    path,
                    report.rows,
                    np.array(report.rows_of_traces, dtype=np.int64),
                    dict(report.refused),
                    into / "refused" / f"{source.name}.jsonl",
                    report.fields.as_notes(),
                )
            )
    return files


def _holds_traces(path: Path) -> bool:
    """Whether a JSON Lines file's first row is a trace."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    for _, row in numbered_rows(path):
        if not isinstance(row, BadRow):
            return is_trace_row(row)
    return True  # all lines are broken: the survey names each of them
