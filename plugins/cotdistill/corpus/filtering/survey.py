"""A survey of trace files: the first pass over all shards, and what rows show among others."""

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
    load_rows,
    readable_rows,
    scan,
    traced,
)
from cotdistill.corpus.filtering.workers import Engine, run_tasks
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.rules.rules import RuleSet
from cotdistill.corpus.text.diversity import spread_out
from cotdistill.corpus.text.groups import Mask, repeated, two_golds
from cotdistill.corpus.text.minhash import BANDS, candidates, first_alike, similarity
from cotdistill.corpus.text.words import number_keys, words_of
from cotdistill.files.jsonl import BadRow
from cotdistill.files.shards import WorkFolder, lines_of, shards_of
from cotdistill.grading.equivalence.equivalent import equivalent

ALIKE = 0.8
_CONFIRMED_AT_ONCE = 500

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Survey:
    """The rows of some trace files: where each is, and what the first pass found.

    Shapes: all arrays [rows], in the order of files and lines. file is a place in `paths`; line
        numbers the lines of each file from 1. first_lines [shards] counts the lines of its file
        before each shard.
    """

    paths: tuple[Path, ...]
    tasks: tuple[ScanTask, ...]
    rows: NDArray[Any]
    rows_of_shard: NDArray[np.int64]
    file: NDArray[np.int32]
    line: NDArray[np.int64]
    first_lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def bits(self) -> NDArray[np.uint64]:
        """The rules that each row breaks by itself, as bits of a RuleSet."""
        return self.column("bits")

    def column(self, name: str) -> NDArray[Any]:
        """Return one of the scan's columns for all rows."""
        return np.ascontiguousarray(self.rows[name])

    def has(self, rule: str) -> Mask:
        """Mark the rows in which a rule found something."""
        return np.asarray((self.rows["bits"] & np.uint64(RuleSet.of(rule).bits)) != 0)

    def band(self, number: int) -> NDArray[np.uint32]:
        """Return the keys of one band of all rows."""
        return load_band(self.tasks, self.rows_of_shard.tolist(), number)

    def traces(self, rows: Sequence[int] | NDArray[np.int64]) -> list[Trace]:
        """Read some rows, which must be readable."""
        places = self.rows[["place", "length"]][rows].tolist()
        files = self.file[rows].tolist()
        wanted = [(file, *place) for file, place in zip(files, places, strict=True)]
        return list(readable_rows(self.paths, wanted))

    def why_unreadable(self, row: int) -> str:
        """Return why a row's line could not be read."""
        ends = np.cumsum(self.rows_of_shard)
        shard = self.tasks[int(np.searchsorted(ends, row, side="right"))].shard
        start = int(self.rows["place"][row])
        bad = next(traced(line.text) for line in lines_of(shard) if line.start == start)
        return bad.why if isinstance(bad, BadRow) else ""


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
    tasks = tuple(
        ScanTask(
            shard,
            settings,
            rows=str(work.piece(f"rows-{shard.number:06d}.bin")),
            bands=str(work.piece(f"bands-{shard.number:06d}.bin")),
            lines=str(work.piece(f"lines-{shard.number:06d}.txt")),
        )
        for shard in shards_of(paths)
    )
    for done, _ in enumerate(run_tasks(scan, tasks, workers=workers, engine=engine), start=1):
        progress(f"scanned {done} of {len(tasks)} pieces")
    rows_of_tasks = [load_rows(task) for task in tasks]
    rows_of_shard = np.array([len(rows) for rows in rows_of_tasks], dtype=np.int64)
    first_lines, before = [], 0
    for task in tasks:
        before = 0 if task.shard.start == 0 else before
        first_lines.append(before)
        before += int(Path(task.lines).read_text(encoding="utf-8"))
    rows = np.concatenate(rows_of_tasks)
    files = np.array([task.shard.file for task in tasks], dtype=np.int32)
    return Survey(
        tuple(paths),
        tasks,
        rows,
        rows_of_shard,
        np.repeat(files, rows_of_shard),
        rows["line"] + np.repeat(np.array(first_lines, dtype=np.int64), rows_of_shard),
        tuple(first_lines),
    )


def near_duplicates(survey: Survey, alive: Mask, scope: NDArray[np.int32]) -> Mask:
    """Mark the living rows that nearly equal an earlier living row of the same scope.

    Candidates agree in a band of their sketches. They are near duplicates if question and
    rationale are each at least 0.8 alike (share of runs of three words in common) and both rows
    hold the same numbers: in mathematics another number is another problem.

    So of the living rows 10, 11, 12 and 13, let rows 10 and 12 have equal keys in one band, 12 and
    13 in another. The candidates are (10, 12) and (12, 13); 11 meets nobody. If both pairs are
    alike they are one group, and all of it but its first row is marked: 12 and 13. If 12 and 13
    have other numbers, 13 stays.
    """
    rows = np.flatnonzero(alive)
    candidates_of_band = []
    for band in range(BANDS):
        with np.errstate(over="ignore"):
            keys = survey.band(band)[rows] + scope[rows].astype(np.uint32) * np.uint32(0x9E3779B1)
        candidates_of_band.append(candidates(keys, rows))
    pairs = np.unique(np.concatenate(candidates_of_band), axis=0)
    alike = np.zeros(len(pairs), dtype=bool)
    for start in range(0, len(pairs), _CONFIRMED_AT_ONCE):
        part = slice(start, start + _CONFIRMED_AT_ONCE)
        alike[part] = _alike(survey, pairs[part])
    confirmed = pairs[alike]
    members = np.unique(confirmed)
    groups = first_alike(np.searchsorted(members, confirmed), len(members))
    marked = np.zeros(len(alive), dtype=bool)
    marked[members[groups != np.arange(len(members))]] = True
    return marked


def other_golds(survey: Survey) -> Mask:
    """Mark the rows whose question has an earlier row with a gold that does not mean the same."""
    readable = ~survey.has("unreadable_row")
    golds = survey.column("gold")
    known = readable & (golds != np.uint64(key_of("")))
    marked = np.zeros(len(known), dtype=bool)
    for group in two_golds(survey.column("question"), golds, known):
        traces = survey.traces(group)
        first = traces[0]
        for row, trace in zip(group.tolist(), traces, strict=True):
            same = equivalent(trace.gold, first.gold, kind=first.kind, options=first.options)
            marked[row] = same.equal is False
    return marked


def over_diverse_cap(survey: Survey, alive: Mask, cap: int) -> Mask:
    """Mark the living rows of a question beyond the `cap` rationales that are least similar.

    The texts of questions with more rows than that are read again, some thousand rows at a time.
    """
    rows = np.flatnonzero(alive)
    _, question, counts = np.unique(
        survey.column("question")[rows], return_inverse=True, return_counts=True
    )
    many = np.flatnonzero(counts[question] > cap)
    many = many[np.argsort(question[many], kind="stable")]
    marked = np.zeros(len(alive), dtype=bool)
    start = 0
    while start < len(many):
        end = min(start + _CONFIRMED_AT_ONCE, len(many))
        while end < len(many) and question[many[end]] == question[many[end - 1]]:
            end += 1  # a question's rows stay together
        part = many[start:end]
        answered = words_of([trace.rationale for trace in survey.traces(rows[part])])
        kept = spread_out(answered, np.asarray(question[part], dtype=np.int64), cap)
        marked[rows[part[~kept]]] = True
        start = end
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
    traces = survey.traces(members)
    pairs = np.searchsorted(members, pairs)
    asked = words_of([trace.question for trace in traces])
    answered = words_of([trace.rationale for trace in traces])
    with np.errstate(over="ignore"):
        numbers = number_keys(asked) + number_keys(answered)
    alike: Mask = np.asarray(numbers[pairs[:, 0]] == numbers[pairs[:, 1]])
    alike[alike] = similarity(answered, pairs[alike]) >= ALIKE
    alike[alike] = similarity(asked, pairs[alike]) >= ALIKE
    return alike
