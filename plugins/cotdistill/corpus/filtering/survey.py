"""A survey of trace files: the first pass over all shards, and what rows show beside others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.filtering.scan import (
    ScanSettings,
    ScanTask,
    key_of,
    load_band,
    load_column,
    readable_rows,
    scan,
    traced,
)
from cotdistill.corpus.filtering.workers import Engine, run_tasks
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.rules.rules import RuleSet
from cotdistill.corpus.text.groups import Mask, repeated, two_golds
from cotdistill.corpus.text.minhash import BANDS, candidates, first_alike, likeness
from cotdistill.corpus.text.words import number_keys, words_of
from cotdistill.files.any_rows import BadRow
from cotdistill.files.shards import Shard, WorkFolder, lines_of, shards_of
from cotdistill.grading.equivalence.equivalent import equivalent

ALIKE = 0.8
_CONFIRMED_AT_ONCE = 500

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Survey:
    """The rows of some trace files: where each lies, and what the first pass found.

    Shapes: all arrays [rows], in the order of files and lines; file is a place in `paths`.
    """

    paths: tuple[Path, ...]
    shards: tuple[Shard, ...]
    pieces: tuple[Path, ...]
    rows_of_shard: NDArray[np.int64]
    file: NDArray[np.int32]
    line: NDArray[np.int64]
    first_lines: tuple[int, ...]
    bits: NDArray[np.uint64]

    def column(self, name: str) -> NDArray[Any]:
        """Return one of the scan's columns for all rows."""
        return load_column(self.pieces, name)

    def has(self, rule: str) -> Mask:
        """Mark the rows in which a rule found something."""
        return np.asarray((self.bits & np.uint64(RuleSet.of(rule).bits)) != 0)

    def traces(self, rows: Sequence[int]) -> list[Trace]:
        """Read some rows, which must be readable."""
        return list(readable_rows(self.paths, self.places(rows)))

    def why_unreadable(self, row: int) -> str:
        """Return why a row's line could not be read."""
        shard = self.shards[int(np.searchsorted(np.cumsum(self.rows_of_shard), row, side="right"))]
        start = int(self.column("place")[row])
        bad = next(traced(raw) for place, _, raw in lines_of(shard) if place == start)
        return bad.why if isinstance(bad, BadRow) else ""

    def places(self, rows: Sequence[int]) -> list[tuple[int, int, int]]:
        """Return file, start and length of some rows."""
        wanted = np.asarray(rows, dtype=np.int64)
        start, length = self.column("place")[wanted], self.column("length")[wanted]
        return list(zip(self.file[wanted].tolist(), start.tolist(), length.tolist(), strict=True))


def survey(
    paths: Sequence[Path],
    settings: ScanSettings,
    work: WorkFolder,
    *,
    workers: int = 1,
    engine: Engine = "processes",
    progress: Progress = lambda _: None,
) -> Survey:
    """Scan trace files shard by shard, except shards whose arrays are in the work folder."""
    shards = shards_of(paths)
    tasks = [
        ScanTask(shard, settings, str(work.piece(f"scan-{shard.number:06d}.npz")))
        for shard in shards
    ]
    for done, _ in enumerate(run_tasks(scan, tasks, workers=workers, engine=engine), start=1):
        progress(f"scanned {done} of {len(tasks)} pieces")
    pieces = tuple(Path(task.written) for task in tasks)
    local_lines = [load_column([piece], "line") for piece in pieces]
    rows = np.array([len(lines) for lines in local_lines], dtype=np.int64)
    before, bases = 0, []
    for shard, piece in zip(shards, pieces, strict=True):
        before = 0 if shard.start == 0 else before
        bases.append(before)
        before += int(load_column([piece], "lines")[0])
    return Survey(
        tuple(paths),
        tuple(shards),
        pieces,
        rows,
        np.repeat(np.array([shard.file for shard in shards], dtype=np.int32), rows),
        np.concatenate(local_lines).astype(np.int64) + np.repeat(np.array(bases), rows),
        tuple(bases),
        load_column(pieces, "bits"),
    )


def near_duplicates(survey: Survey, alive: Mask, scope: NDArray[np.int32]) -> Mask:
    """Mark the living rows that nearly equal an earlier living row of the same scope.

    Candidates agree in a band of their sketches. They are near duplicates if question and
    rationale are each at least 0.8 alike (share of runs of three words in common) and both rows
    hold the same numbers: in mathematics another number is another problem.
    """
    rows = np.flatnonzero(alive)
    found: list[NDArray[np.int64]] = []
    for band in range(BANDS):
        with np.errstate(over="ignore"):
            keys = load_band(survey.pieces, band)[rows] + scope[rows].astype(np.uint32) * np.uint32(
                0x9E3779B1
            )
        found.append(candidates(keys, rows))
    pairs = np.unique(np.concatenate(found), axis=0)
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _CONFIRMED_AT_ONCE):
        part = slice(start, start + _CONFIRMED_AT_ONCE)
        alike[part] = _alike(survey, pairs[part])
    marked = np.zeros(len(alive), dtype=bool)
    joined = pairs[alike]
    members = np.unique(joined)
    local = np.searchsorted(members, joined)
    marked[members[first_alike(local, len(members)) != np.arange(len(members))]] = True
    return marked


def other_golds(survey: Survey) -> Mask:
    """Mark the rows whose question has an earlier row with a gold that does not mean the same."""
    readable = ~survey.has("unreadable_row")
    golds = survey.column("gold")
    known = readable & (golds != np.uint64(key_of("")))
    marked = np.zeros(len(known), dtype=bool)
    for group in two_golds(survey.column("question"), golds, known):
        traces = survey.traces(group.tolist())
        first = traces[0]
        for row, trace in zip(group.tolist(), traces, strict=True):
            same = equivalent(trace.gold, first.gold, kind=first.kind, options=first.options)
            marked[row] = same.equal is False
    return marked


def joined_bits(survey: Survey, *, near: bool) -> NDArray[np.uint64]:
    """Return the survey's bits with those of the rules that need other rows, over all rows."""
    readable = ~survey.has("unreadable_row")
    exact = repeated(survey.column("exact"), readable)
    normal = repeated(survey.column("normal"), readable) & ~exact
    marks = {
        "duplicate_id": repeated(survey.column("id"), readable),
        "exact_duplicate": exact,
        "normalised_duplicate": normal,
        "other_gold": other_golds(survey),
    }
    if near:
        alive = readable & ~exact & ~normal
        marks["near_duplicate"] = near_duplicates(survey, alive, np.zeros_like(survey.file))
    bits = survey.bits.copy()
    for rule, mark in marks.items():
        bits[mark] |= np.uint64(RuleSet.of(rule).bits)
    return bits


def _alike(survey: Survey, pairs: NDArray[np.int64]) -> Mask:
    members = np.unique(pairs)
    traces = survey.traces(members.tolist())
    at = np.searchsorted(members, pairs)
    numbers = number_keys(words_of([f"{trace.question}\n{trace.rationale}" for trace in traces]))
    same = numbers[at[:, 0]] == numbers[at[:, 1]]
    left, right = ([traces[place] for place in at[:, side]] for side in (0, 1))
    said = likeness([trace.rationale for trace in left], [trace.rationale for trace in right])
    asked = likeness([trace.question for trace in left], [trace.question for trace in right])
    return np.asarray(same & (said >= ALIKE) & (asked >= ALIKE))
