"""The rows of an arm as traces: read from their source, checked, counted.

A row that cannot be trained on is a fault with its number, never a dropped row, unless the arm says
`missing: drop`: LLaMA-Factory drops such rows with a warning that nobody reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.puzzles import draw_puzzles
from cotdistill.corpus.records.row_reader import FieldCounts, RowReader
from cotdistill.corpus.records.shape import RefusedRowError
from cotdistill.corpus.records.trace import Trace, target
from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import BadRow, Row, numbered_rows, parsed, read_rows
from cotdistill.files.ledger import LedgerFile
from cotdistill.studies.arm import PuzzleArm
from cotdistill.studies.resolved_arm import ResolvedArm, Source

COLUMNS = {"prompt": "instruction", "response": "output", "system": "system"}
"""The columns of an arm's training file by LLaMA-Factory's names; `system` is empty without one."""
BARE = "question"
"""The column of the question without its instruction, where the study has one."""
_FAULTS_SHOWN = 5


@dataclass
class Tally:
    """Rows read by source, rows dropped by reason, rows by field, and notes for the ledger."""

    read: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    fields: FieldCounts = field(default_factory=FieldCounts)
    notes: dict[str, Any] = field(default_factory=dict)


def source_traces(source: Source, tally: Tally) -> Iterator[Trace]:
    """Yield the traces of one source, before any filter, counted in a tally as they are read.

    Raises:
        DataError: the source is missing or broken, or rows cannot be trained on.
    """
    if source.puzzles:
        yield from _puzzle_traces(source.puzzles)
        return
    if source.questions:
        yield from _answer_traces(source, tally)
        return
    rows, place = _rows(source)
    reader = RowReader(source.info)
    tally.fields = reader.fields
    faults: list[Fault] = []
    refused = 0
    for number, row in enumerate(rows, start=1):
        tally.read[source.name] += 1
        try:
            traces = _targets(reader, row)
        except RefusedRowError as error:
            if source.drop_missing:
                tally.dropped[error.why.partition(" (")[0]] += 1
                continue
            refused += 1
            if len(faults) < _FAULTS_SHOWN:
                faults.append(_fault(f"{place}: row {number}", error, row))
            continue
        for trace in traces:
            if source.level is None or trace.provenance.level == source.level:
                yield trace
            else:
                tally.dropped["other_level"] += 1
    if refused > len(faults):
        wrong = f"{refused} rows in all cannot be trained on"
        faults.append(Fault(place, wrong, "", "fix them, or say 'missing: drop' in the arm"))
    if faults:
        raise DataError(faults)


def inputs_of(arm: ResolvedArm, read: Mapping[str, int]) -> list[LedgerFile]:
    """Return the files that an arm read, with rows and hashes, as its ledger names them."""
    sources = [
        LedgerFile(source.path.name, read[source.name], arm.hashes.of(source.path))
        for source in arm.sources
        if source.path
    ]
    golds = [
        LedgerFile(path.name, sum(1 for _ in numbered_rows(path)), arm.hashes.of(path))
        for path in arm.gold_files
    ]
    return sources + golds


def trace_of_training_row(raw: bytes | BadRow) -> Trace | BadRow:
    """Return the trace of a line of an arm's training file, or why it is none."""
    row = raw if isinstance(raw, BadRow) else parsed(raw)
    if isinstance(row, BadRow):
        return row
    for column in COLUMNS.values():
        if not isinstance(row.get(column), str):
            return BadRow(f"no text in column '{column}'", str(row)[:80])
    meta = {"system": row["system"]} if row["system"] else {}
    return Trace("", "", "train", bare_question(row), "", row["output"], meta=meta)


def bare_question(row: Row) -> str:
    """Return the question of a training row without the study's instruction.

    >>> bare_question({"instruction": "1 + 1? Think.", "question": "1 + 1?", "output": "2"})
    '1 + 1?'
    """
    return str(row.get(BARE, row[COLUMNS["prompt"]]))


_ANSWERS = {"boxed": "\\boxed{{{}}}", "sentence": "The answer is {}.", "plain": "{}"}


def _answer_traces(source: Source, tally: Tally) -> Iterator[Trace]:
    """Yield the questions of a set with their reference answers in place of a rationale."""
    questions = source.questions
    assert questions is not None
    for row in questions.rows:
        tally.read[source.name] += 1
        text = _ANSWERS[source.answer].format(row["gold"])
        options = row.get("options")
        yield Trace(
            row["id"], questions.name, "train", row["question"], row["gold"], text, options=options
        )


def _puzzle_traces(arm: PuzzleArm) -> Iterator[Trace]:
    level = 0 if arm.level == "answer-only" else arm.level
    for puzzle in draw_puzzles(arm.puzzles, level, arm.rows, arm.seed, "train"):
        yield Trace(
            puzzle.id, arm.puzzles, "train", puzzle.question, puzzle.answer, puzzle.rationale
        )


def _rows(source: Source) -> tuple[Iterable[Row], str]:
    """Return the rows of a file or of a hub, and what to call it in a message."""
    if source.path is not None:
        return _file_rows(source.path), str(source.path)
    from cotdistill.hosts.hub import hub_rows

    entry = source.registration
    assert entry is not None
    place = entry.hf_hub_url or source.name
    split = entry.split or "train"
    rows = hub_rows(
        place, subset=entry.subset, split=split, folder=entry.folder, revision=source.revision
    )
    return rows, place


def _file_rows(path: Path) -> Iterator[Row]:
    if path.suffix != ".parquet":
        yield from read_rows(path)
        return
    for number, row in numbered_rows(path):
        if isinstance(row, BadRow):
            raise DataError(Fault(f"{path}: row {number}", row.why))
        yield row


def _targets(reader: RowReader, row: Row) -> list[Trace]:
    traces, _ = reader.read(row)
    if any(not target(trace).strip() for trace in traces):
        raise RefusedRowError("empty_rationale", "nothing to train on: no rationale and no answer")
    return traces


def _fault(place: str, error: RefusedRowError, row: Row) -> Fault:
    if error.rule != "missing_column":
        return Fault(place, error.why, "", "fix it, or say 'missing: drop' in the arm")
    return Fault(
        place,
        error.why,
        "text in every mapped column",
        f"the row has: {', '.join(map(str, row))}",
    )
