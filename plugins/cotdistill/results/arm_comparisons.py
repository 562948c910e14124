"""Arms compared on the questions that all their runs answered, and what may be said of it.

The statistics are `stats.crossed_test`'s; here runs become tables, comparisons are adjusted over
the table that shows them, and their meaning is put into words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from cotdistill.stats.confidence import Interval, score_interval
from cotdistill.stats.crossed_test import (
    FEW_DEGREES,
    FEWEST_QUESTIONS,
    ArmComparison,
    arm_score,
    compare_arms,
)
from cotdistill.stats.run_variance import Stratum, arm_spread, diverged
from cotdistill.stats.significance import benjamini_hochberg, holm
from cotdistill.tables import Table, counted

LEVEL = 0.05


@dataclass(frozen=True)
class ArmRuns:
    """The runs of one arm on one task: each run's name and its score by question.

    `trained` is False for a model that is scored as it is: it has no training runs that could vary.
    """

    arm: str
    task: str
    scores: Mapping[str, Mapping[str, float]]
    trained: bool = True

    def shared(self) -> list[str]:
        """Return the questions that all runs answered, in the order of the first run."""
        first, *others = self.scores.values()
        shared = list(first)
        for run in others:
            if run.keys() != first.keys():
                shared = [name for name in shared if name in run]
        return shared

    def table(self, questions: Sequence[str]) -> np.ndarray:
        """Return the scores as [runs][questions]."""
        return np.array(
            [[run[name] for name in questions] for run in self.scores.values()], dtype=float
        )

    def without(self, runs: Iterable[str]) -> ArmRuns:
        """Return the arm with some runs left out."""
        left = set(runs)
        return replace(self, scores={n: one for n, one in self.scores.items() if n not in left})

    def diverged(self) -> list[str]:
        """Return the names of runs that clearly score less than half of what the others do.

        With fewer than six questions that happens by chance, and none is named.
        """
        names = list(self.scores)
        questions = self.shared() if len(names) > 1 else []
        if len(questions) < FEWEST_QUESTIONS:
            return []
        return [names[number] for number in diverged(self.table(questions))]


@dataclass(frozen=True)
class Difference:
    """The second arm against the first on a task, or in the mean over tasks.

    Units: scores are fractions; `wins` counts the questions on which the second arm scores higher,
    over all tasks. `answers` is the largest number of answers a run gave to a question. `p_holm`
    and `p_bh` are adjusted over the table that shows the comparison, None where there is no p.
    `diverged` names runs that score less than half of what the others of their arm do,
    `without_diverged` compares without them.
    """

    task: str
    first: str
    second: str
    first_score: float
    second_score: float
    compared: ArmComparison
    answers: int = 1
    wins: int = 0
    losses: int = 0
    p_holm: float | None = None
    p_bh: float | None = None
    diverged: tuple[str, ...] = ()
    without_diverged: ArmComparison | None = None

    @property
    def difference(self) -> Interval:
        """The second arm's score less the first one's."""
        return self.compared.difference

    @property
    def p(self) -> float | None:
        """The p-value of this comparison alone."""
        return self.compared.p

    @property
    def questions(self) -> int:
        """How many questions all runs of both arms answered."""
        return self.compared.questions

    @property
    def ties(self) -> int:
        """On how many questions both arms score the same."""
        return self.questions - self.wins - self.losses

    @property
    def test(self) -> str:
        """The name of the test."""
        return self.compared.test

    @property
    def mark(self) -> str:
        """▲ or ▼ where the second arm differs from the first after Holm, else nothing."""
        if not self.compared.differs(self.p_holm, LEVEL):
            return ""
        return "▲" if self.compared.difference.value > 0 else "▼"

    @property
    def conclusion(self) -> str:
        """What can be said, in a sentence."""
        bounds = self.compared.difference
        found = f"{self.task}: {self.second} - {self.first} = {points(bounds.value)} points "
        found += f"[{points(bounds.low)}, {points(bounds.high)}]: {self._verdict()}"
        return "; ".join([found, *self.assumptions, *self.cautions])

    def _verdict(self) -> str:
        compared, p = self.compared, self.compared.p
        if p is None:
            return "no test: " + (
                "fewer than two questions" if compared.test == "none" else "nothing varies"
            )
        if self.p_holm is not None and self.p_holm < LEVEL:
            return self._finding()
        if p < LEVEL:
            return (
                f"p = {p:.2g} alone, {self.p_holm:.2g} after Holm over all comparisons made here; "
                "not enough to call it a difference"
            )
        return f"no difference shown; {self._visible()}"

    def _finding(self) -> str:
        compared = self.compared
        adjusted = f"p = {self.p_holm:.2g} after Holm"
        if compared.questions < FEWEST_QUESTIONS:
            return f"{adjusted}, but {compared.questions} questions are too few to conclude from"
        if compared.claim == "models":
            limit = 100 * (compared.break_even_sd or 0.0)
            if math.isinf(limit):
                return f"these models differ ({adjusted}); neither was trained in this study"
            return (
                f"these trained models differ ({adjusted}); one seed says nothing of the arms, "
                f"which differ too only if their run sd is under {limit:.1f} points"
            )
        better = self.second if compared.difference.value > 0 else self.first
        return f"{better} is better ({adjusted})"

    def _visible(self) -> str:
        compared = self.compared
        exact = compared.exact is not None and compared.exact.test == "McNemar"
        how = "could have been seen" if exact else "is likely to be seen"
        data = f"{counted(compared.questions, 'question')}"
        if max(compared.runs) > 1:
            data += f" and {compared.runs[0]} and {counted(compared.runs[1], 'run')}"
        return f"no difference of less than {100 * compared.visible:.0f} points {how} with {data}"

    @property
    def assumptions(self) -> list[str]:
        """Say where the run sd is declared, or measured on few runs."""
        compared = self.compared
        if compared.declared_sd is not None:
            return [f"assumes a run sd of {100 * compared.declared_sd:g} points"]
        freedom = compared.run_variance.freedom if compared.run_variance else FEW_DEGREES
        if compared.p is not None and freedom < FEW_DEGREES:
            return [f"run variance from {freedom} degree{'s' * (freedom > 1)} of freedom only"]
        return []

    @property
    def cautions(self) -> list[str]:
        """Name unstable arms and diverged runs."""
        found = []
        if self.compared.unstable:
            named = " and ".join(self.compared.unstable)
            found.append(f"runs of {named} vary more than the others', so their own count")
        if self.diverged:
            verb, whose = ("scores", "its") if len(self.diverged) == 1 else ("score", "their")
            found.append(f"{', '.join(self.diverged)} {verb} under half of {whose} siblings")
            again = self.without_diverged
            if again is not None:
                bounds = again.difference
                alone = "no test" if again.p is None else f"p = {again.p:.2g} alone"
                found.append(
                    f"without: {points(bounds.value)} points [{points(bounds.low)}, "
                    f"{points(bounds.high)}], {alone}"
                )
        return found


Compared = TypeVar("Compared", bound=Difference)


def pooled_runs(arms: Iterable[Sequence[ArmRuns]]) -> Stratum:
    """Return the run variance of arms of one student and recipe, each on the same tasks.

    Arms with one run, or with runs that lack a task or share fewer than two questions, say nothing.
    """
    spreads = {}
    for tasks in arms:
        shared = [runs.shared() for runs in tasks]
        several = _whole(tasks) and tasks[0].trained and len(tasks[0].scores) > 1
        if several and min(map(len, shared)) > 1:
            tables = [runs.table(names) for runs, names in zip(tasks, shared, strict=True)]
            spreads[tasks[0].arm] = arm_spread(tables)
    return Stratum(spreads)


def difference(
    first: Sequence[ArmRuns],
    second: Sequence[ArmRuns],
    stratum: Stratum,
    other: Stratum | None = None,
    *,
    names: tuple[str, str],
    run_sd: float | None = None,
    answers: int = 1,
) -> Difference | None:
    """Compare two arms on the questions that all their runs share, or None where there are none.

    `other` is the second arm's stratum where it is of another student than the first.

    Shapes: first and second [tasks]; several tasks are compared in their mean, for which every run
        must have every task.
    Units: `run_sd`, declared, is a fraction. `names` is how to call the arms; `answers` how often a
        run answered each question at most.
    """
    tables = _shared_tables(first, second)
    if tables is None:
        return None
    compared = _compare(first, second, tables, (stratum, other or stratum), run_sd)
    gaps = np.concatenate(
        [two.mean(axis=0) - one.mean(axis=0) for one, two in zip(*tables, strict=True)]
    )
    scores = [float(np.mean([table.mean() for table in arm])) for arm in tables]
    return Difference(
        task=first[0].task if len(first) == 1 else f"mean of {len(first)} tasks",
        first=names[0],
        second=names[1],
        first_score=scores[0],
        second_score=scores[1],
        compared=compared,
        answers=answers,
        wins=int((gaps > 0).sum()),
        losses=int((gaps < 0).sum()),
        diverged=(*_diverged(first), *_diverged(second)),
        without_diverged=_without_diverged(first, second, (stratum, other or stratum), run_sd),
    )


def adjusted(differences: Sequence[Compared]) -> list[Compared]:
    """Return comparisons with p-values adjusted over all of them that have one."""
    tested = [place for place, one in enumerate(differences) if one.compared.p is not None]
    p_values = [one.compared.p for one in differences if one.compared.p is not None]
    found = list(differences)
    for place, by_holm, by_bh in zip(
        tested, holm(p_values), benjamini_hochberg(p_values), strict=True
    ):
        found[place] = replace(found[place], p_holm=by_holm, p_bh=by_bh)
    return found


def difference_table(differences: Sequence[Difference], notes: Sequence[str] = ()) -> Table:
    """Return a row a comparison; columns that say nothing in any row are left out.

    Units: scores and run sd (the standard deviation from run to run) in percent, differences in
        points.
    """
    columns = (
        "task", "first", "second", "questions", "runs", "first %", "second %", "difference",
        "95 % interval", "win/tie/loss", "claim about", "test", "p", "p Holm", "p BH", "run sd",
        "95 % range", "run df", "run part %",
    )  # fmt: skip
    rows = [_row(one) for one in differences]
    keep = [n for n, _ in enumerate(columns) if any(row[n] for row in rows)]
    return Table(
        tuple(columns[n] for n in keep),
        tuple(tuple(row[n] for n in keep) for row in rows),
        (*notes, *method_notes(differences)),
    )


def difference_row(one: Difference) -> dict[str, Any]:
    """Return every number of a comparison, fractions, for programs."""
    compared = one.compared
    return {
        "task": one.task,
        "first": one.first,
        "second": one.second,
        "first_score": one.first_score,
        "second_score": one.second_score,
        "difference": one.difference.value,
        "low": one.difference.low,
        "high": one.difference.high,
        "p": one.p,
        "p_holm": one.p_holm,
        "p_bh": one.p_bh,
        "test": one.test,
        "claim": compared.claim,
        "significant": bool(one.mark),
        "questions": one.questions,
        "runs": list(compared.runs),
        "wins": one.wins,
        "losses": one.losses,
        "run_sd": compared.run_variance.sd if compared.run_variance else compared.declared_sd,
        "run_df": compared.run_variance.freedom if compared.run_variance else None,
        "conclusion": one.conclusion,
    }


TWO_METHODS = (
    "p is exact (McNemar or sign flips), the interval the paired t test's; near p = 0.05 the two "
    "can disagree"
)
"""Why an interval without 0 can stand next to a p of more than 0.05, where there is one seed."""


def method_notes(differences: Sequence[Difference]) -> list[str]:
    """Say how intervals and p-values were made, and where they are of two methods."""
    notes = []
    if any(one.compared.claim == "arms" for one in differences):
        notes.append(
            "claims about arms: crossed t test over questions and training runs; p and interval "
            "agree. run sd: how far runs of one arm vary, pooled over the arms compared here"
        )
    if any(one.compared.exact for one in differences):
        notes.append(f"claims about models: one seed an arm and no declared run sd. {TWO_METHODS}")
    return notes


def score_of(runs: ArmRuns, stratum: Stratum, answers: int = 1) -> Interval:
    """Return the score of an arm: over questions, and over random seeds where it has several."""
    questions = runs.shared()
    table = runs.table(questions)
    if len(table) > 1 and runs.arm in stratum.spreads:
        return arm_score([table], stratum, runs.arm)
    return score_interval(table.mean(axis=0).tolist(), answers=answers)


def points(value: float) -> str:
    """Return a fraction as points with its sign.

    >>> points(0.0751), points(-0.0001)
    ('+7.5', '+0.0')
    """
    return f"{round(100 * value, 1) + 0.0:+.1f}"  # no -0.0


def _shared_tables(
    first: Sequence[ArmRuns], second: Sequence[ArmRuns]
) -> tuple[list[np.ndarray], list[np.ndarray]] | None:
    """Return both arms' scores by task on the questions that all runs share, None without any."""
    if not (_whole(first) and _whole(second)):
        return None
    tables: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for one, two in zip(first, second, strict=True):
        others = set(two.shared())
        shared = [name for name in one.shared() if name in others]
        if not shared:
            return None
        tables[0].append(one.table(shared))
        tables[1].append(two.table(shared))
    return tables


def _compare(
    first: Sequence[ArmRuns],
    second: Sequence[ArmRuns],
    tables: tuple[list[np.ndarray], list[np.ndarray]],
    strata: tuple[Stratum, Stratum],
    run_sd: float | None,
) -> ArmComparison:
    return compare_arms(
        *tables,
        strata,
        names=(first[0].arm, second[0].arm),
        declared_sd=run_sd,
        trained=(first[0].trained, second[0].trained),
    )


def _without_diverged(
    first: Sequence[ArmRuns],
    second: Sequence[ArmRuns],
    strata: tuple[Stratum, Stratum],
    run_sd: float | None,
) -> ArmComparison | None:
    """Compare again without the runs that diverged, None where none did, or every run of an arm."""
    if not (_diverged(first) or _diverged(second)):
        return None
    kept = [[runs.without(_diverged(tasks)) for runs in tasks] for tasks in (first, second)]
    if not all(tasks[0].scores for tasks in kept):
        return None  # over several tasks, each run may have diverged on another one
    spreads = [dict(stratum.spreads) for stratum in strata]
    same = strata[0] is strata[1]
    for number, tasks in enumerate(kept):
        for place in (0, 1) if same else (number,):
            spreads[place].pop(tasks[0].arm, None)
            spreads[place] |= pooled_runs([tasks]).spreads
    tables = _shared_tables(*kept)
    if tables is None:
        return None
    one = Stratum(spreads[0])
    return _compare(kept[0], kept[1], tables, (one, one if same else Stratum(spreads[1])), run_sd)


def _row(one: Difference) -> tuple[str, ...]:
    compared, bounds = one.compared, one.compared.difference
    runs = compared.run_variance
    low, high = runs.sd_range() if runs else (0.0, 0.0)
    declared = compared.declared_sd
    return (
        one.task,
        one.first,
        one.second,
        str(compared.questions) + (f" × {one.answers}" if one.answers > 1 else ""),
        f"{compared.runs[0]} and {compared.runs[1]}" if max(compared.runs) > 1 else "",
        f"{100 * one.first_score:.1f}",
        f"{100 * one.second_score:.1f}",
        points(bounds.value),
        f"{points(bounds.low)} to {points(bounds.high)}",
        f"{one.wins}/{one.ties}/{one.losses}",
        compared.claim,
        compared.test,
        *("" if p is None else f"{p:.2g}" for p in (compared.p, one.p_holm, one.p_bh)),
        f"{100 * runs.sd:.1f}" if runs else "" if declared is None else f"{100 * declared:g}",
        f"{100 * low:.1f} to {100 * high:.1f}" if runs else "declared" if declared else "",
        str(runs.freedom) if runs else "",
        f"{100 * compared.estimate.run_part:.0f}" if compared.claim == "arms" else "",
    )


def _whole(tasks: Sequence[ArmRuns]) -> bool:
    """Whether every run has every task."""
    return bool(tasks) and all(list(runs.scores) == list(tasks[0].scores) for runs in tasks)


def _diverged(tasks: Sequence[ArmRuns]) -> list[str]:
    return list(dict.fromkeys(name for runs in tasks for name in runs.diverged()))
