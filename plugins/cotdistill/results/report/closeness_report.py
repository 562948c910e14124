"""Closeness next to results: each arm's measures, how they go with scores, and a picture.

It describes what was found over a handful of arms. It is never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cotdistill.closeness.measure import CAUTION, SHOWN, caution
from cotdistill.closeness.measures import MEASURES, Correlation, correlation
from cotdistill.results.closeness_of_runs import MeasuredStudent, read_closeness
from cotdistill.results.groups import UNTRAINED
from cotdistill.results.matrix import Matrix, file_name
from cotdistill.results.report.charts import Figure
from cotdistill.results.report.factor_tables import TitledTable
from cotdistill.results.report.scatter import Panel, Spot, scatter
from cotdistill.results.run_results import Naming, Results
from cotdistill.stats.confidence import Interval
from cotdistill.tables import Table, counted

_FEWEST = 3  # arms: with two, every correlation is 1 or -1
_UNITS = {
    "tokens": "tokens a response", "nll": "nll, nats a token",
    "nll_512": "nll of the first 512", "rank": "mean rank, at most 100",
    "rsr": "rank-surprisal ratio", "top1": "share of likeliest tokens",
}  # fmt: skip
_ABOUT = (
    "How the student found each arm's rationales before it was trained, and how that goes with "
    "what it reached: rank correlations over arms, in brackets with the length of the responses "
    "held constant."
)


@dataclass(frozen=True)
class Closeness:
    """What was measured of a run folder's arms, and of each student, recipe and task its points."""

    tables: tuple[TitledTable, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class _Measured:
    """What was measured of a student in a run folder, its arms called as in the report.

    `folder` is the folder's name on a page of several, which is where the questions may be others.
    """

    folder: str
    student: str
    arms: Mapping[str, Mapping[str, Interval]]
    questions: int
    changed: tuple[str, ...]

    @property
    def where(self) -> str:
        """The student, with its folder on a page of several."""
        return f"{self.student} in {self.folder}" if self.folder else self.student


@dataclass(frozen=True)
class _Points:
    """The arms of a student that are both measured and scored on a task under a recipe."""

    measured: _Measured
    recipe: str
    task: str
    scores: Mapping[str, Interval]

    def of(self, measure: str) -> Correlation:
        """Return how a measure goes with scores over the arms."""
        values, lengths = (
            [self.measured.arms[arm][name].value for arm in self.scores]
            for name in (measure, "tokens")
        )
        found = correlation(values, [one.value for one in self.scores.values()], lengths)
        return Correlation(found.rank, None) if measure == "tokens" else found


def closeness(results: Results, scores: Matrix) -> Closeness:
    """Return the tables and figures of all folders, each compared with the scores of its own arms.

    Folders are never taken together: what one measured is over other questions than another's.

    Raises:
        DataError: a file of `cotdistill closeness` is damaged.
    """
    measured = [
        _named(student, naming)
        for folder, naming in zip(results.folders, results.namings, strict=True)
        for student in read_closeness(folder)
    ]
    points = [one for student in measured for one in _points(student, scores)]
    enough = [one for one in points if len(one.scores) >= _FEWEST]
    tables = [TitledTable(f"Closeness to {one.where}", _about(one), _arms(one)) for one in measured]
    if enough:
        title = "Closeness and results"
        tables.append(TitledTable(title, _ABOUT, _correlations(enough)))
    return Closeness(tuple(tables), tuple(_figures(enough, scores)))


def _named(one: MeasuredStudent, naming: Naming) -> _Measured:
    arms = {naming.arm(arm): found for arm, found in one.arms.items()}
    changed = tuple(map(naming.arm, one.changed))
    return _Measured(naming.folder, one.student, arms, one.questions, changed)


def _points(student: _Measured, scores: Matrix) -> Iterator[_Points]:
    recipes = dict.fromkeys(recipe for _, _, recipe in scores.groups if recipe != UNTRAINED)
    for recipe in recipes:
        for task in scores.tasks:
            found = {
                arm: cell.score
                for arm in student.arms
                if (cell := scores.cells.get(((student.student, arm, recipe), task)))
            }
            yield _Points(student, recipe, task, found)


def _about(one: _Measured) -> str:
    asked = counted(one.questions, "question")
    return (
        f"Means over {asked} that all arms have, with 95 % intervals over questions: tokens of a "
        "response, negative log-likelihood in nats a token (nll), that of the first 512 tokens, "
        "rank of a token (at most 100), rank-surprisal ratio (rsr), share of likeliest tokens "
        "(top1)."
    )


def _arms(one: _Measured) -> Table:
    rows = tuple((arm, *(_shown(name, found[name]) for name in MEASURES)) for arm, found in
                 one.arms.items())  # fmt: skip
    notes = [CAUTION]
    if one.changed:
        notes.append(
            f"measured on other rows than there are now: {', '.join(one.changed)}; measure again: "
            "cotdistill closeness RUNFOLDER"
        )
    return Table(("arm", *MEASURES), rows, tuple(notes))


def _correlations(points: Sequence[_Points]) -> Table:
    rows = []
    for one in points:
        cells = []
        for measure in MEASURES:
            found = one.of(measure)
            without_length = f" ({_signed(found.without_length)})" if measure != "tokens" else ""
            cells.append(_signed(found.rank) + without_length)
        of = one.measured
        rows.append((of.folder, of.student, one.recipe, one.task, str(len(one.scores)), *cells))
    columns = ("folder", "student", "recipe", "task", "arms", *MEASURES)
    keep = [n for n in range(len(columns)) if n > 3 or len({row[n] for row in rows}) > 1]
    notes = [*dict.fromkeys(caution(len(one.scores)) for one in points), CAUTION]
    return Table(
        tuple(columns[n] for n in keep), tuple(tuple(row[n] for n in keep) for row in rows),
        tuple(notes),
    )  # fmt: skip


def _figures(points: Sequence[_Points], scores: Matrix) -> Iterator[Figure]:
    for one in points:
        panels = []
        for measure in MEASURES:
            found = one.of(measure)
            without_length = _signed(found.without_length)
            words = f"rank correlation {_signed(found.rank)}"
            spots = [Spot(arm, one.measured.arms[arm][measure].value, score) for arm, score in
                     one.scores.items()]  # fmt: skip
            under = "" if measure == "tokens" else f"length held constant {without_length}"
            panels.append(Panel(_UNITS[measure], (words, under), tuple(spots)))
        recipe = [one.recipe] if scores.several_recipes else []
        folder = [one.measured.folder] if one.measured.folder else []
        of = one.measured
        where = ", ".join([f"{of.where} on {one.task}", *(f"recipe {name}" for name in recipe)])
        yield scatter(
            "-".join(["closeness", *map(file_name, (*folder, of.student, one.task, *recipe))]),
            f"Closeness and results: {where}",
            f"A dot an arm; bars are 95 % intervals of the score. {caution(len(one.scores))}: "
            "this describes these arms and forecasts nothing.",
            panels,
        )


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _shown(measure: str, one: Interval) -> str:
    form = SHOWN[measure]
    return f"{one.value:{form}} [{one.low:{form}}, {one.high:{form}}]"
