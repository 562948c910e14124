"""Measure every arm's traces for one student: rows, a table, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cotdistill.closeness.engines import Engine, Student
from cotdistill.closeness.measures import (
    EXACT,
    MEASURES,
    Closeness,
    arm_intervals,
    closeness_of,
    correlation,
    smallest_correlation,
    with_length,
)
from cotdistill.closeness.paired import Answered, Paired
from cotdistill.errors import DataError, Fault
from cotdistill.stats.confidence import Interval
from cotdistill.tables import Table, counted

SHOWN = {
    "tokens": ".0f",
    "rank": ".2f",
    "rsr": ".2f",
    "nll": ".3f",
    "nll_512": ".3f",
    "top1": ".3f",
}
CAUTION = (
    "a description of the texts, not a forecast: what a student learns is known after training it"
)


@dataclass(frozen=True)
class Measured:
    """One student: a measured trace for each arm and question, in one order of questions."""

    student: str
    arms: Mapping[str, tuple[Closeness, ...]]
    keys: tuple[str, ...]
    cut: int  # responses that were too long for the student's context

    def intervals(self) -> dict[str, dict[str, Interval]]:
        """Return each arm's measures with their intervals."""
        return {name: arm_intervals(traces) for name, traces in self.arms.items()}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each arm and question."""
        return [
            {"student": self.student, "arm": name, "question": key, **asdict(trace)}
            for name, traces in self.arms.items()
            for key, trace in zip(self.keys, traces, strict=True)
        ]


def measured(
    student: Student,
    name: str,
    pairs: Paired,
    engine: Engine,
    longest: int,
    progress: Callable[[int, int], object] = lambda _done, _all: None,
) -> Measured:
    """Score every trace; those of equal length together. Responses are cut at `longest` tokens.

    Raises:
        DataError: a prompt alone is longer than that.
    """
    asked: list[tuple[str, Answered]] = [
        (arm, trace) for arm, traces in pairs.arms.items() for trace in traces
    ]
    tokens = []
    cut = 0
    for arm, trace in asked:
        prompt, response = student.tokens(trace.system, trace.question, trace.response)
        room = longest - len(prompt)
        if room < 1 or not response:
            wrong = f"a prompt of {len(prompt)} tokens and a response of {len(response)}"
            raise DataError(Fault(f"arm {arm}", wrong, f"both within {longest}", "--max-tokens"))
        cut += len(response) > room
        tokens.append((prompt, response[:room]))
    order = sorted(range(len(asked)), key=lambda i: -len(tokens[i][0]) - len(tokens[i][1]))
    found: dict[int, Closeness] = {}
    for number, scored in zip(order, engine([tokens[i] for i in order]), strict=True):
        found[number] = closeness_of(*scored)
        progress(len(found), len(asked))
    arms: dict[str, list[Closeness]] = {}
    for number, (arm, _) in enumerate(asked):
        arms.setdefault(arm, []).append(found[number])
    keys = tuple(trace.key for trace in next(iter(pairs.arms.values())))
    return Measured(name, {arm: tuple(traces) for arm, traces in arms.items()}, keys, cut)


def arm_table(found: Measured) -> Table:
    """Return a row an arm, and how each measure goes with length over all traces."""
    rows = [
        (arm, *(_shown(measure, intervals[measure]) for measure in MEASURES))
        for arm, intervals in found.intervals().items()
    ]
    every = [asdict(trace) for traces in found.arms.values() for trace in traces]
    lengths = [trace["tokens"] for trace in every]
    shown = []
    for measure in MEASURES[1:]:
        value = with_length([trace[measure] for trace in every], lengths)
        shown.append(f"{measure} {'-' if value is None else f'{value:+.2f}'}")
    notes = [
        f"{counted(len(found.keys), 'question')} that all arms have; 95 % intervals over questions",
        f"rank correlation with length over all traces: {', '.join(shown)}",
        CAUTION,
    ]
    if found.cut:
        notes.insert(1, f"{counted(found.cut, 'response')} cut at the longest length")
    return Table(("arm", *MEASURES), tuple(rows), tuple(notes))


def results_table(found: Measured, scores: Mapping[str, float]) -> Table:
    """Return how each measure goes with results over the arms that have one.

    Raises:
        DataError: a score is of an arm that is not measured, or fewer than three arms have one.
    """
    unknown = [arm for arm in scores if arm not in found.arms]
    if unknown or len(scores) < 3:
        wrong = f"no arm {', '.join(unknown)}" if unknown else f"{len(scores)} arms have a score"
        raise DataError(Fault("scores", wrong, "scores of three measured arms or more"))
    intervals = found.intervals()
    arms = [arm for arm in found.arms if arm in scores]
    results = [scores[arm] for arm in arms]
    lengths = [intervals[arm]["tokens"].value for arm in arms]
    rows = []
    for measure in MEASURES:
        values = [intervals[arm][measure].value for arm in arms]
        both = correlation(values, results, lengths)
        without = None if measure == "tokens" else both.without_length
        cells = ("-" if one is None else f"{one:+.2f}" for one in (both.rank, without))
        rows.append((measure, *cells))
    return Table(("measure", "rank correlation", "length held constant"), tuple(rows),
                 (caution(len(arms)),))  # fmt: skip


def caution(arms: int) -> str:
    """Say how little so many arms can show.

    >>> caution(4)
    '4 arms: even a perfect order would arise by chance in more than 5 of 100 cases'
    """
    least = smallest_correlation(arms)
    if least is None:
        return (
            f"{arms} arms: even a perfect order would arise by chance in more than 5 of 100 cases"
        )
    tried, share = len(MEASURES), "at most" if arms <= EXACT else "about"
    return (
        f"{arms} arms: chance alone reaches {least:.2f} either way in {share} 5 of 100 cases, for "
        f"each of {tried} measures"
    )


def _shown(measure: str, interval: Interval) -> str:
    form = SHOWN[measure]
    return f"{interval.value:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
