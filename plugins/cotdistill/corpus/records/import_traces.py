"""Import files of traces in any known shape: one record, one output per data set, no row lost."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.records.row_reader import FieldCounts, RowReader
from cotdistill.corpus.records.shape import RefusedRowError
from cotdistill.corpus.records.sources import Source
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import written_whole
from cotdistill.files.inputs import InputFiles
from cotdistill.files.jsonl import BadRow, numbered_rows, row_line
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger
from cotdistill.files.parquet import parquet_copy, require_parquet

_FAULTS_SHOWN = 20
_REFUSALS_KEPT = 1000
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Refusal:
    """A row that became no trace: its place, the rule that it breaks, why, and the row itself."""

    place: str
    rule: str
    why: str
    row: Any


@dataclass
class Imported:
    """What was found in one source; `refused` counts rows by reason, `refusals` shows the first.

    `fields` counts rows by what else they hold than question and response, kept or not.
    `rows_of_traces` holds, for each trace written, the number of its row in the source.
    """

    source: Source
    shapes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    traces: int = 0
    questions: int = 0
    with_gold: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    fields: FieldCounts = field(default_factory=FieldCounts)
    rows_of_traces: array[int] = field(default_factory=lambda: array("l"))

    @property
    def read(self) -> int:
        """How many rows became traces or questions."""
        return self.traces + self.questions


def traces_in(
    source: Source, reader: RowReader | None = None
) -> Iterator[tuple[int, Trace | Refusal, str]]:
    """Yield row number, trace or refusal, and the name of the row's shape.

    Raises:
        DataError: the file is missing, empty or broken as a whole.
    """
    reader = reader or RowReader(source.info)
    for number, row in numbered_rows(source.path):
        place = f"{source.path.name}:{number}"
        if isinstance(row, BadRow):
            yield number, Refusal(place, "unreadable_row", row.why, row.text), ""
            continue
        try:
            traces, shape = reader.read(row)
        except RefusedRowError as error:
            why = error.why
            if error.rule == "missing_column":
                why = f"{why}; the row has {', '.join(map(str, row))}"[:_LONGEST_REASON]
            yield number, Refusal(place, error.rule, why, row), ""
            continue
        for trace in traces:
            if shape.name != "trace":
                trace = replace(trace, provenance=trace.provenance._replace(source=place))
            is_question = shape.questions and not trace.rationale.strip()
            yield number, trace, f"{shape.name}, questions" if is_question else shape.name


def output_paths(source: Source, out: Path, *, parquet: bool) -> list[Path]:
    """Return all files that importing a source into a folder may write."""
    rows = list(_paths(source, out).values())
    copies = [parquet_copy(rows[0])] if parquet else []
    return [*rows, *map(ledger_path, rows), *copies]


def import_source(
    source: Source, out: Path, *, skip_bad: bool = True, parquet: bool = False
) -> Imported:
    """Write a source's traces to `out/<name>.jsonl`, with questions, refused rows and a ledger.

    With `parquet` the traces are written to `out/<name>.parquet` too.

    Raises:
        DataError: a line is broken and `skip_bad` is off; names up to 20 and writes nothing.
    """
    if parquet:
        require_parquet(str(out))
    inputs = InputFiles.of([source.path])
    reader = RowReader(source.info)
    report = Imported(source, fields=reader.fields)
    paths = _paths(source, out)
    faults: list[Fault] = []
    counts: Counter[str] = Counter()
    with ExitStack() as open_files:
        outputs = _Outputs(paths, open_files)
        for number, found, shape in traces_in(source, reader):
            if isinstance(found, Refusal):
                report.refused[found.rule] += 1
                if found.rule == "unreadable_row" and not skip_bad and len(faults) < _FAULTS_SHOWN:
                    faults.append(_bad_line(found, source.path))
                if len(report.refusals) < _REFUSALS_KEPT:
                    report.refusals.append(found)
                line = {
                    "place": found.place,
                    "rule": found.rule,
                    "why": found.why,
                    "row": found.row,
                }
                kind = "refused"
            else:
                report.shapes[shape] += 1
                report.with_gold += bool(found.gold)
                kind = "questions" if shape.endswith(", questions") else "traces"
                line = _question_row(found) if kind == "questions" else trace_row(found)
                if kind == "traces":
                    report.rows_of_traces.append(number)
            counts[kind] += 1
            outputs.write(kind, row_line(line))
        if faults:
            raise DataError(faults)
        inputs.refuse_changes()
    report.traces, report.questions = counts["traces"], counts["questions"]
    report.rows = counts.total()
    _finish(report, paths, counts, inputs, parquet)
    return report


def _paths(source: Source, out: Path) -> dict[str, Path]:
    return {
        "traces": out / f"{source.name}.jsonl",
        "questions": out / "questions" / f"{source.name}.jsonl",
        "refused": out / "refused" / f"{source.name}.jsonl",
    }


class _Outputs:
    """Writes rows to files, each of which is begun with its first row and appears whole."""

    def __init__(self, paths: Mapping[str, Path], open_files: ExitStack) -> None:
        self.paths, self.open_files = paths, open_files
        self.streams: dict[str, IO[str]] = {}

    def write(self, kind: str, line: str) -> None:
        if kind not in self.streams:
            self.streams[kind] = self.open_files.enter_context(written_whole(self.paths[kind]))
        self.streams[kind].write(line)


def _finish(
    report: Imported,
    paths: Mapping[str, Path],
    counts: Counter[str],
    inputs: InputFiles,
    parquet: bool,
) -> None:
    source = report.source
    for kind, path in paths.items():
        if not counts[kind] and path.exists():  # of an import of other rows
            path.unlink(missing_ok=True)
            if kind != "traces":
                with suppress(OSError):  # other sources have files in it
                    path.parent.rmdir()
    first = next((kind for kind in paths if counts[kind]), None)
    if first is None:
        return
    copies = [write_parquet_copy(paths["traces"])] if parquet and counts["traces"] else []
    write_ledger(
        paths[first],
        Ledger(
            "import-traces",
            inputs=(LedgerFile(source.path.name, report.rows, inputs.sha256(source.path)),),
            outputs=(
                *(
                    LedgerFile.of(path, counts[kind], name=path.name)
                    for kind, path in paths.items()
                    if counts[kind]
                ),
                *copies,
            ),
            counts={"kept": counts["traces"] + counts["questions"], **dict(report.refused)},
            settings={"shapes": dict(report.shapes), "response": source.info.columns.response},
            notes={"fields": fields} if (fields := report.fields.as_notes()) else {},
        ),
    )


def _question_row(trace: Trace) -> dict[str, Any]:
    row = trace_row(trace)
    return {
        name: row[name]
        for name in ("id", "dataset", "split", "question", "gold", "kind", "options", "meta")
    }


def _bad_line(refusal: Refusal, path: Path) -> Fault:
    number = refusal.place.rpartition(":")[2]
    return Fault(f"{path}:{number}", refusal.why, "", "fix it, or skip such lines: --skip-bad")
