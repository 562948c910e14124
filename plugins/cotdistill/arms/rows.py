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
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.puzzles import draw_puzzles
from cotdistill.catalogue.packaged import datasets
from cotdistill.catalogue.registration import Columns, Registration
from cotdistill.corpus.records.sources import gold_files_beside
from cotdistill.corpus.records.trace import target
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.errors import DataError, Fault
from cotdistill.files.any_rows import numbered_rows
from cotdistill.files.jsonl import Row, read_rows
from cotdistill.files.ledger import LedgerFile
from cotdistill.studies.arm import (
    ArmFilters,
    DatasetArm,
    FileArm,
    MixedArm,
    PuzzleArm,
)
from cotdistill.studies.study import Study

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


@dataclass(frozen=True)
class Source:
    """Where a plain arm's rows come from; `path` is None where a hub or a rule makes them."""

    name: str
    path: Path | None
    registration: Registration | None


def source_of(study: Study, name: str) -> Source:
    """Return the source of a plain arm of the study, or of a registered dataset."""
    arm = study.arms.get(name)
    if isinstance(arm, FileArm):
        return Source(name, Path(arm.file), None)
    if isinstance(arm, PuzzleArm):
        return Source(name, None, None)
    dataset = arm.dataset if isinstance(arm, DatasetArm) else name
    registration = datasets()[dataset]
    if registration.file_name is None:
        return Source(name, None, registration)
    folder = (arm.folder if isinstance(arm, DatasetArm) else None) or study.data_folder or "."
    return Source(name, Path(folder) / registration.file_name, registration)


def sources_of(study: Study, name: str) -> list[Source]:
    """Return the sources that an arm reads: its own, those of its mix, those it is paired with."""
    arm = study.arms.get(name)
    names = list(arm.mix) if isinstance(arm, MixedArm) else [name]
    for other in names.copy():
        names += [paired for paired in paired_with(study, other) if paired not in names]
    return [source_of(study, source) for source in names]


def filter_of(study: Study, name: str) -> ArmFilters | None:
    """Return an arm's filter, if it has one."""
    arm = study.arms.get(name)
    return arm.filter if isinstance(arm, FileArm | DatasetArm) else None


def paired_with(study: Study, name: str) -> tuple[str, ...]:
    """Return the other arms whose questions an arm's filter asks for."""
    filters = filter_of(study, name)
    return filters.paired_with if filters else ()


def is_filtered(study: Study, name: str) -> bool:
    """Return whether an arm's rows go through a filter, its own or one of its mix's sources."""
    arm = study.arms.get(name)
    names = list(arm.mix) if isinstance(arm, MixedArm) else [name]
    return any(filter_of(study, source) for source in names)


def gold_files(study: Study, name: str) -> list[Path]:
    """Return the files that the filters of an arm, or of its mix's sources, take golds from."""
    arm = study.arms.get(name)
    found: list[Path] = []
    for source in list(arm.mix) if isinstance(arm, MixedArm) else [name]:
        filters = filter_of(study, source)
        for each in (source, *filters.paired_with) if filters else ():
            path = source_of(study, each).path
            found += gold_files_beside(path) if path is not None and path.is_file() else []
        found += [Path(path) for path in filters.golds] if filters else []
    return list(dict.fromkeys(found))


def is_at_hand(source: Source) -> bool:
    """Return whether the rows can be read without a network."""
    if source.path is not None:
        return source.path.is_file()
    return source.registration is None


def plain_rows(study: Study, name: str, tally: Tally | None = None) -> Iterator[Row]:
    """Yield the rows of an arm (or registered dataset) that is no mix, before any filter.

    Raises:
        DataError: a source is missing or broken, or a row lacks a mapped column.
    """
    arm = study.arms.get(name)
    tally = tally or Tally()
    if isinstance(arm, PuzzleArm):
        level = 0 if arm.level == "answer-only" else arm.level
        for puzzle in draw_puzzles(arm.puzzles, level, arm.rows, arm.seed, "train"):
            yield {"system": "", "instruction": puzzle.question, "output": puzzle.rationale}
    else:
        yield from _source_rows(study, source_of(study, name), tally)


def inputs_of(study: Study, name: str, read: Mapping[str, int]) -> list[LedgerFile]:
    """Return the files that an arm read, with rows and hashes, as its ledger names them."""
    sources = [
        LedgerFile.of(source.path, read[source.name], name=source.path.name)
        for source in sources_of(study, name)
        if source.path is not None
    ]
    golds = [
        LedgerFile.of(path, sum(1 for _ in numbered_rows(path)), name=path.name)
        for path in gold_files(study, name)
    ]
    return sources + golds


def _source_rows(study: Study, source: Source, tally: Tally) -> Iterator[Row]:
    if source.path is None:
        from cotdistill.hosts.hub import hub_rows

        entry = source.registration
        assert entry is not None
        place = entry.hf_hub_url or source.name
        rows: Iterable[Row] = hub_rows(
            place, subset=entry.subset, split=entry.split or "train", folder=entry.folder
        )
    else:
        rows = read_rows(source.path)
        place = str(source.path)
    arm = study.arms.get(source.name)
    if source.registration is not None:
        columns = _registered_columns(source.registration)
    else:
        assert isinstance(arm, FileArm)
        columns = arm.columns
    may_drop = isinstance(arm, FileArm | DatasetArm) and arm.missing == "drop"
    counted = _counted(rows, tally.read, source.name)
    yield from _pairs(counted, place, columns, tally.dropped if may_drop else None)


def _counted(rows: Iterable[Row], read: Counter[str], name: str) -> Iterator[Row]:
    for row in rows:
        read[name] += 1
        yield row


def _registered_columns(registration: Registration) -> Columns:
    if registration.formatting != "alpaca":
        return Columns()
    columns = registration.columns
    return Columns(
        prompt=columns.prompt, query=columns.query, response=columns.response, system=columns.system
    )


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
