"""The rows of an arm: read from where they are, checked, and brought to one shape.

The shape is alpaca's with LLaMA-Factory's own names: `system` (empty where a source has none),
`instruction`, `output`. A row that lacks a mapped column is a fault with its number, never a
dropped row: LLaMA-Factory drops such rows with a warning that nobody reads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cotdistill.benchmarks.puzzles import draw_puzzles
from cotdistill.catalogue.registration import Columns
from cotdistill.corpus.records.trace import Trace, target
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.any_rows import BadRow, numbered_rows, parsed
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.ledger import LedgerFile
from cotdistill.studies.resolved_arm import ResolvedArm, Source

COLUMNS = {"prompt": "instruction", "response": "output", "system": "system"}
_PROMPTS = ("instruction", "question", "problem", "prompt", "input")
_RESPONSES = ("output", "response", "solution", "rationale", "answer", "completion")
_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Tally:
    """Rows read of each source, rows dropped by reason, and what else the ledger should say."""

    read: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)


def source_rows(source: Source, tally: Tally | None = None) -> Iterator[Row]:
    """Yield the rows of one source, before any filter, counted in a tally as they go by.

    Raises:
        DataError: the source is missing or broken, or a row lacks a mapped column.
    """
    tally = tally or Tally()
    if source.puzzles:
        puzzles = source.puzzles
        level = 0 if puzzles.level == "answer-only" else puzzles.level
        for puzzle in draw_puzzles(puzzles.puzzles, level, puzzles.rows, puzzles.seed, "train"):
            yield {"system": "", "instruction": puzzle.question, "output": puzzle.rationale}
        return
    if source.path:
        rows, place = read_rows(source.path), str(source.path)
    else:
        rows, place = _hub_rows(source)
    counted = _counted(rows, tally.read, source.name)
    dropped = tally.dropped if source.drop_missing else None
    yield from _pairs(counted, place, source.columns, dropped)


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


def _hub_rows(source: Source) -> tuple[Iterator[Row], str]:
    from cotdistill.hosts.hub import hub_rows

    entry = source.registration
    assert entry is not None
    place = entry.hf_hub_url or source.name
    split = entry.split or "train"
    return hub_rows(place, subset=entry.subset, split=split, folder=entry.folder), place


def _counted(rows: Iterable[Row], read: Counter[str], name: str) -> Iterator[Row]:
    for row in rows:
        read[name] += 1
        yield row


def _pairs(
    rows: Iterable[Row], place: str, columns: Columns, dropped: Counter[str] | None
) -> Iterator[Row]:
    """Yield one question and answer a row; a row that has none is counted, or named at the end."""
    faults: list[Fault] = []
    missing = 0
    chosen: Columns | None = None
    for number, row in enumerate(rows, start=1):
        turns = row.get("messages") or row.get("conversations")
        if columns.prompt is None and isinstance(row.get("provenance"), dict):
            pair, wrong = trace_pair(row)
        elif isinstance(turns, list) and columns.prompt is None:
            pair, wrong = _single_turn(turns, row)
        else:
            chosen = chosen or _chosen(columns, row)
            pair, wrong = _pair(row, chosen)
        if wrong and dropped is not None:
            dropped[wrong] += 1
        elif wrong:
            missing += 1
            if len(faults) < _FAULTS_SHOWN:
                faults.append(Fault(f"{place}: row {number}", wrong, *_wanted(row)))
        else:
            yield pair
    if faults:
        if missing > len(faults):
            wrong = f"{missing} rows in all lack a mapped column"
            faults.append(Fault(place, wrong, "", "mend them, or say 'missing: drop' in the arm"))
        raise DataError(faults)


def _wanted(row: Mapping[str, Any]) -> tuple[str, str]:
    return "text in every mapped column", f"the row has: {', '.join(map(str, row))}"


def _chosen(columns: Columns, row: Row) -> Columns:
    prompt = columns.prompt or next((name for name in _PROMPTS if name in row), None)
    response = columns.response or next((n for n in _RESPONSES if n in row and n != prompt), None)
    query = columns.query
    if query is None and columns.prompt is None and prompt == "instruction" and "input" in row:
        query = "input"
    return Columns(
        prompt=prompt or "instruction",
        query=query,
        response=response or "output",
        system=columns.system,
    )


def _pair(row: Row, columns: Columns) -> tuple[Row, str]:
    assert columns.prompt is not None
    assert columns.response is not None
    question, answer = row.get(columns.prompt), row.get(columns.response)
    for column, value in ((columns.prompt, question), (columns.response, answer)):
        if not isinstance(value, str) or not value.strip():
            kind = "no" if value is None else "no text in"
            return {}, f"{kind} column '{column}'"
    more = row.get(columns.query) if columns.query else None
    system = row.get(columns.system) if columns.system else None
    instruction = f"{question}\n{more}" if more else question
    return {"system": system or "", "instruction": instruction, "output": answer}, ""


def trace_pair(row: Row) -> tuple[Row, str]:
    """Return a trace row as a training row, or what is wrong with it."""
    try:
        trace = trace_of(row)
    except ValueError as error:
        return {}, f"not a trace ({error})"
    return {"system": "", "instruction": trace.question, "output": target(trace)}, ""


def trace_of_training_row(raw: bytes | BadRow) -> Trace | BadRow:
    """Return the trace of a line that an arm's file holds, or why it is none."""
    row = raw if isinstance(raw, BadRow) else parsed(raw)
    if isinstance(row, BadRow):
        return row
    for column in COLUMNS.values():
        if not isinstance(row.get(column), str):
            return BadRow(f"no text in column '{column}'", str(row)[:80])
    meta = {"system": row["system"]} if row["system"] else {}
    return Trace("", "", "train", row["instruction"], "", row["output"], meta=meta)


def _single_turn(turns: list[Any], row: Row) -> tuple[Row, str]:
    said = []
    for turn in turns:
        if not isinstance(turn, dict):
            return {}, "a turn is not an object"
        role = turn.get("role", turn.get("from"))
        text = turn.get("content", turn.get("value"))
        if not isinstance(text, str):
            return {}, f"a turn without text ({json.dumps(turn, ensure_ascii=False)[:60]})"
        said.append((role, text))
    system = row.get("system") if isinstance(row.get("system"), str) else ""
    if said and said[0][0] == "system":
        system, said = said[0][1], said[1:]
    roles = [role for role, _ in said]
    if roles not in (["user", "assistant"], ["human", "gpt"]):
        return {}, f"{len(said)} turns ({', '.join(map(str, roles))}); one question, one answer"
    return {"system": system, "instruction": said[0][1], "output": said[1][1]}, ""
