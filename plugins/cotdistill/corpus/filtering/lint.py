"""Look for every known defect in trace files: counts, places and examples, a rule at a time."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cotdistill.corpus.filtering.held_out import held_out_files, held_out_questions
from cotdistill.corpus.filtering.inputs import TraceFile, input_files, trace_files
from cotdistill.corpus.filtering.scan import ScanSettings, held_out_index, key_of, write_held_out
from cotdistill.corpus.filtering.survey import Progress, Survey, joined_bits, survey
from cotdistill.corpus.filtering.workers import Engine
from cotdistill.corpus.records.row_reader import field_lines
from cotdistill.corpus.records.sources import neighbouring_gold_files
from cotdistill.corpus.records.trace import Trace, asked
from cotdistill.corpus.rules.rules import RULE_BY_NAME, RULES, RuleSet, detail_of
from cotdistill.corpus.text.contamination import RULES as OVERLAPS
from cotdistill.corpus.text.contamination import bare, overlaps, shared_run
from cotdistill.corpus.text.words import words_of
from cotdistill.files.atomic import written_whole
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.jsonl import row_line
from cotdistill.files.shards import WorkFolder
from cotdistill.tables import counted

_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class RowFinding:
    """One rule on one row: the place, what is wrong, and for overlaps the test question."""

    rule: str
    place: str
    detail: str
    held_out: str | None = None


@dataclass(frozen=True)
class RuleReport:
    """One rule over all files: rows found, where (as ranges of rows), and the first examples."""

    rule: str
    about: str
    rows: int
    fixable: bool
    where: tuple[str, ...]
    examples: tuple[RowFinding, ...]


@dataclass(frozen=True)
class LintReport:
    """What `lint` found; `not_prepared` are packaged benchmarks it could not compare with.

    `fields` says what else than question and response the rows hold, by name and number of rows.
    """

    files: tuple[str, ...]
    rows: int
    faulty_rows: int
    rules: tuple[RuleReport, ...]
    held_out: int
    not_prepared: tuple[str, ...]
    without_gold: int
    fields: tuple[str, ...]


@dataclass(frozen=True)
class LintOptions:
    """How to look: against what, at which rules, and how much to show."""

    against: tuple[str, ...] = ()
    golds: tuple[Path, ...] = ()
    examples: int = 3
    near: bool = True
    findings: Path | None = None
    workers: int = 1
    engine: Engine = "processes"


def lint(
    paths: Sequence[Path],
    options: LintOptions = LintOptions(),  # noqa: B008
    progress: Progress = lambda _: None,
) -> LintReport:
    """Return what is wrong in files of any known shape; `findings` gets a line for each finding.

    Raises:
        DataError: a file is missing, empty, or of no known shape.
        MisuseError: `against` names neither a file nor a benchmark, or `findings` is an input.
    """
    paths = input_files(paths)
    if options.findings:
        refuse_overwriting(_files_read(paths, options), [options.findings])
    questions, missing = held_out_questions(options.against)
    with tempfile.TemporaryDirectory(prefix="cotdistill-lint-") as scratch:
        files = trace_files(paths, Path(scratch), skip_bad=True, golds=options.golds)
        held_out = Path(scratch) / "held-out.jsonl"
        if questions:
            write_held_out(held_out, questions)
        settings = ScanSettings(held_out=str(held_out) if questions else None, near=options.near)
        surveyed = survey(
            [file.path for file in files],
            settings,
            WorkFolder(Path(scratch) / "work"),
            workers=options.workers,
            engine=options.engine,
            progress=progress,
        )
        bits = joined_bits(surveyed, near=options.near)
        look = _Look(files, surveyed, settings)
        rules = tuple(
            report
            for rule in RULES
            if (report := look.report(rule.name, bits, options.examples)) is not None
        )
        if options.findings:
            with written_whole(options.findings) as stream:
                for finding in look.findings(bits):
                    stream.write(row_line(finding))
        golds = surveyed.column("gold")
        return LintReport(
            tuple(file.label for file in files),
            look.rows,
            int((bits != 0).sum()) + look.refused,
            rules,
            len(questions),
            tuple(missing),
            int((golds == np.uint64(key_of(""))).sum()),
            tuple(f"{file.label}: {line}" for file in files for line in field_lines(file.fields)),
        )


def _files_read(paths: Sequence[Path], options: LintOptions) -> list[Path]:
    gold_files = [gold for path in paths for gold in neighbouring_gold_files(path)]
    return [*paths, *options.golds, *gold_files, *held_out_files(options.against)]


class _Look:
    """Names rows as their files number them, and works out the details of a finding again."""

    def __init__(
        self, files: Sequence[TraceFile], surveyed: Survey, settings: ScanSettings
    ) -> None:
        self.files, self.surveyed, self.settings = files, surveyed, settings
        self.refused = sum(sum((file.refused or {}).values()) for file in files)
        self.rows = len(surveyed.bits) + self.refused
        starts = np.searchsorted(surveyed.file, np.arange(len(files)))
        self.first_row = starts.tolist()

    def number(self, row: int) -> tuple[int, int]:
        """Return the file of a row, and its number there."""
        file = int(self.surveyed.file[row])
        numbers = self.files[file].row_numbers
        if numbers is None:
            return file, int(self.surveyed.line[row])
        return file, int(numbers[row - self.first_row[file]])

    def place(self, row: int) -> str:
        """Return `file:number` of a row."""
        file, number = self.number(row)
        return f"{self.files[file].input}:{number}"

    def report(self, rule: str, bits: Any, examples: int) -> RuleReport | None:
        """Return what one rule found, None if nothing."""
        found = np.flatnonzero((bits & np.uint64(RuleSet.of(rule).bits)) != 0)
        refused = sum(file.refused_by(rule) for file in self.files)
        if not len(found) and not refused:
            return None
        shown = [self.finding(int(row), rule) for row in found[:examples]]
        numbers: dict[int, list[int]] = {}
        for row in found.tolist():
            file, number = self.number(row)
            numbers.setdefault(file, []).append(number)
        for place, each in enumerate(self.files):
            for refusal in each.refusals() if each.refused_by(rule) else ():
                if refusal.rule == rule:
                    refused_row = int(refusal.place.rpartition(":")[2])
                    numbers.setdefault(place, []).append(refused_row)
                    if len(shown) < examples:
                        shown.append(RowFinding(rule, f"{each.input}:{refused_row}", refusal.why))
        return RuleReport(
            rule,
            RULE_BY_NAME[rule].about,
            len(found) + refused,
            RULE_BY_NAME[rule].fix is not None,
            tuple(
                f"{self.files[file].label}: {ranges(rows)}"
                for file, rows in sorted(numbers.items())
                if rows
            ),
            tuple(shown),
        )

    def finding(self, row: int, rule: str) -> RowFinding:
        """Return one rule on one row in full."""
        if rule == "unreadable_row":
            return RowFinding(rule, self.place(row), self.surveyed.why_unreadable(row))
        (trace,) = self.surveyed.traces([row])
        if rule in OVERLAPS:
            return self._overlap(row, rule, trace)
        return RowFinding(rule, self.place(row), detail_of(trace, rule))

    def findings(self, bits: Any) -> Iterator[dict[str, Any]]:
        """Yield every finding of every row, in the order of the rows, refused rows last."""
        for row in np.flatnonzero(bits).tolist():
            for rule in RuleSet(int(bits[row])):
                finding = self.finding(row, rule)
                yield {key: value for key, value in vars(finding).items() if value is not None}
        for file in self.files:
            for refusal in file.refusals():
                number = refusal.place.rpartition(":")[2]
                place = f"{file.input}:{number}"
                yield {"rule": refusal.rule, "place": place, "detail": refusal.why}

    def _overlap(self, row: int, rule: str, trace: Trace) -> RowFinding:
        assert self.settings.held_out is not None
        index = held_out_index(self.settings.held_out)
        question = asked(trace)
        words, answered = words_of([bare(question)]), words_of([trace.rationale])
        hits = overlaps(index, [question], words, answered)
        owner = next(
            owner
            for owner, found in zip(hits.owner.tolist(), hits.rule.tolist(), strict=True)
            if OVERLAPS[found] == rule
        )
        test = index.questions[owner]
        same = (
            "same gold" if trace.gold == test.gold else f"gold {trace.gold!r}, there {test.gold!r}"
        )
        shared = max(
            (
                shared_run(mine, theirs)
                for mine in (question, trace.rationale)
                for theirs in (test.question, test.rationale)
            ),
            key=len,
        )
        detail = f"{test.benchmark} {test.id}; {same}; shared: {shared[:120]!r}"
        return RowFinding(rule, self.place(row), detail, test.id)


def ranges(numbers: Sequence[int], most: int = 12) -> str:
    """Return row numbers as ranges: the first `most` of them, and how many rows are in the others.

    >>> ranges([3, 4, 5, 9])
    '3-5, 9'
    >>> ranges([3, 4, 5, 9, 11, 12, 20], most=2)
    '3-5, 9 and 3 more rows'
    """
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    text = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in found[:most])
    more = sum(high - low + 1 for low, high in found[most:])
    return f"{text} and {counted(more, 'more row')}" if more else text


def report_json(report: LintReport) -> str:
    """Return a lint report as JSON."""
    text = json.dumps(asdict(report), ensure_ascii=False, indent=2)
    if not text.isascii() and _HALF_A_CHARACTER.search(text):
        text = json.dumps(asdict(report), indent=2)  # it has no UTF-8, only an escape
    return text + "\n"
