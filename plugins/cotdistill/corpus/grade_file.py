"""Grade a file of traces: a verdict for every row, streamed, and a table of outcomes by rule."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from cotdistill.benchmarks.question import options_of, question_key
from cotdistill.corpus.records.columns import has_column, text_at, value_at
from cotdistill.corpus.records.gold_files import GoldColumns, missing_column, read_golds
from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean
from cotdistill.files.atomic import written_whole
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.jsonl import Row, read_rows, row_line
from cotdistill.grading.arithmetic.soundness import step_soundness
from cotdistill.grading.batch import Judged, grade_many
from cotdistill.grading.grade import Grade
from cotdistill.grading.kinds import Kind
from cotdistill.tables import Table

OUTCOMES = ("correct", "wrong", "no_answer", "cut_off", "undecided", "timeout")
_MOST_FAULTS = 20


@dataclass(frozen=True, slots=True)
class GradeColumns:
    """Where a row says what; a name may lead inside with dots: `resps.0.0`, `doc.answer`.

    `on` joins a second file's golds; `kind`, `options` and `meta.tolerance` are read only where a
    row has them.
    """

    prediction: str = "rationale"
    gold: str = "gold"
    on: str = "id"
    kind: str = "kind"
    options: str = "options"
    verdict: str = "grade"


@dataclass(frozen=True, slots=True)
class GradeSettings:
    """How to grade: see `cotdistill.grade`; `steps` also counts the equations of each rationale."""

    kind: Kind | None = None
    strict: bool = False
    tolerance: float | None = None
    steps: bool = False
    workers: int = 1


_COLUMNS = GradeColumns()
_SETTINGS = GradeSettings()


@dataclass(slots=True)
class GradeCounts:
    """What came of it: rows by outcome and rule, and rows whose rationale has a false equation."""

    written: Path
    rows: int = 0
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    with_equation: int = 0
    with_false_equation: int = 0

    def count(self, outcome: str) -> int:
        """Rows with an outcome, whatever rule read them."""
        return sum(many for (which, _), many in self.by_rule.items() if which == outcome)

    @property
    def table(self) -> Table:
        """Outcomes by rule, the commonest first, with each outcome's share of all rows."""
        rows = []
        for outcome in OUTCOMES:
            total = self.count(outcome)
            if not total:
                continue
            rows.append((outcome, "all", str(total), f"{100 * total / self.rows:.1f}%"))
            rules = [
                (many, rule) for (which, rule), many in self.by_rule.items() if which == outcome
            ]
            for many, rule in sorted(rules, key=lambda pair: (-pair[0], pair[1])):
                rows.append(("", rule, str(many), f"{100 * many / self.rows:.1f}%"))
        notes = []
        if self.with_equation:
            notes.append(
                f"{self.with_false_equation} of {self.with_equation} rationales with an equation"
                " to check have a false one"
            )
        return Table(("outcome", "rule", "rows", "share"), tuple(rows), tuple(notes))


def grade_file(
    source: Path,
    output: Path,
    *,
    columns: GradeColumns = _COLUMNS,
    gold_file: Path | None = None,
    settings: GradeSettings = _SETTINGS,
    advance: Callable[[int], None] = lambda _: None,
) -> GradeCounts:
    """Write the rows of a file with a verdict each, whole or not at all, and count them.

    `gold_file` holds the golds instead, joined by the column `columns.on`. `advance` hears settings
    many rows are done.

    Raises:
        DataError: a row lacks a column, a gold is missing or given twice; up to 20 at once.
    """
    refuse_overwriting([source, *([gold_file] if gold_file else [])], [output])
    golds = (
        read_golds(gold_file, columns=GoldColumns(columns.on, columns.gold)) if gold_file else None
    )
    counts = GradeCounts(output)
    waiting: deque[Row] = deque()
    faults: list[Fault] = []
    judged = _judged(source, columns, golds, settings, waiting, faults)
    with written_whole(output) as stream:
        for found in grade_many(
            judged, strict=settings.strict, tolerance=settings.tolerance, workers=settings.workers
        ):
            row = waiting.popleft()
            stream.write(
                row_line({**row, columns.verdict: _verdict(row, found, columns, settings, counts)})
            )
            counts.rows += 1
            advance(counts.rows)
        if faults:
            raise DataError(faults)
    return counts


def checked_kind(kind: str | None) -> Kind | None:
    """Return a kind that was typed, or say which there are."""
    known: tuple[Kind, ...] = get_args(Kind)
    for one in known:
        if kind == one:
            return one
    if kind is None:
        return None
    raise MisuseError(f"--kind: no kind '{kind}'; {did_you_mean(kind, known)}")


def checked_tolerance(tolerance: float | None) -> float | None:
    """Return a tolerance that was typed, if it is one."""
    if tolerance is None or 0 <= tolerance < float("inf"):
        return tolerance
    raise MisuseError(f"--tolerance: {tolerance} is none; expected a share such as 0.01")


def _judged(
    source: Path,
    columns: GradeColumns,
    golds: Mapping[str, str] | None,
    settings: GradeSettings,
    waiting: deque[Row],
    faults: list[Fault],
) -> Iterator[Judged]:
    for number, row in enumerate(read_rows(source), start=1):
        place = f"{source}: row {number}"
        text = text_at(row, columns.prediction)
        gold = text_at(row, columns.gold) if golds is None else _joined(row, columns.on, golds)
        if text is None and not has_column(row, columns.prediction):
            faults.append(missing_column(place, columns.prediction, row, "--prediction"))
        if gold is None:
            faults.append(
                missing_column(place, columns.gold, row, "--gold")
                if golds is None
                else Fault(
                    place,
                    f"no gold for {columns.on} {text_at(row, columns.on)!r}",
                    "a row of --gold-file with it",
                    "name the joining column with --on",
                )
            )
        tolerance = _tolerance_of(row)
        if tolerance is not None and not 0 <= tolerance < float("inf"):
            faults.append(Fault(place, f"meta.tolerance is {tolerance}", "a share such as 0.01"))
        if len(faults) >= _MOST_FAULTS:
            return
        if not faults and gold is not None:
            waiting.append(row)
            kind = settings.kind or _kind_of(row.get(columns.kind))
            options = options_of(row.get(columns.options))
            yield Judged(text or "", gold, kind, options, tolerance)


def _verdict(
    row: Row, found: Grade, columns: GradeColumns, settings: GradeSettings, counts: GradeCounts
) -> dict[str, Any]:
    counts.by_rule[found.outcome, found.rule] += 1
    verdict = asdict(found)
    if settings.steps:
        steps = step_soundness(text_at(row, columns.prediction) or "")
        verdict["equations"] = {"stated": steps.stated, "false": steps.false}
        counts.with_equation += steps.stated > 0
        counts.with_false_equation += steps.false > 0
    return verdict


def _joined(row: Row, on: str, golds: Mapping[str, str]) -> str | None:
    key = text_at(row, on)
    return None if key is None else golds.get(question_key(key))


def _kind_of(value: Any) -> Kind:
    return next((kind for kind in get_args(Kind) if kind == value), "auto")


def _tolerance_of(row: Row) -> float | None:
    value = value_at(row, "meta.tolerance")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
