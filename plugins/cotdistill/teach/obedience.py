"""Did the teacher do what was asked: steps by level, whether finer levels have more, formats kept.

Everything is counted as rows come, so that memory grows with questions and not with their texts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from statistics import median, quantiles
from typing import Any

from cotdistill.tables import Table
from cotdistill.teach.checks import steps_of

RISING = 0.8
"""The share of questions on which a finer level should have more steps than the one below it."""


@dataclass
class Obedience:
    """What was counted of all rows that were kept, by format."""

    steps: dict[str, dict[int, Counter[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    words: dict[str, dict[int | None, list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: [0, 0]))
    )
    missed: Counter[tuple[str, int | None, str]] = field(default_factory=Counter)
    rows: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    again: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    risen: dict[str, dict[tuple[int, int], list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(lambda: [0, 0]))
    )
    taus: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def add(
        self,
        format: str,  # noqa: A002
        level: int | None,
        steps: int,
        words: int,
        faults: Iterable[str],
        asked: int,
    ) -> None:
        """Count one row; `asked` is how often it was asked for."""
        cell = format, level
        self.rows[cell] += 1
        self.again[cell] += asked > 1
        if level is not None:
            self.steps[format][level][steps] += 1
        total = self.words[format][level]
        total[0] += words
        total[1] += 1
        for kind in faults:
            self.missed[*cell, kind] += 1

    def add_question(self, format: str, steps: Mapping[int, int]) -> None:  # noqa: A002
        """Count whether the steps of one question rise with its levels."""
        for low, high in pairwise(sorted(steps)):
            pair = self.risen[format][low, high]
            pair[0] += steps[high] > steps[low]
            pair[1] += 1
        pairs = list(combinations(sorted(steps), 2))
        if pairs:
            signs = [(steps[high] > steps[low]) - (steps[high] < steps[low]) for low, high in pairs]
            self.taus[format][0] += sum(signs) / len(pairs)
            self.taus[format][1] += 1

    def table(self) -> Table:
        """Return one line a format and level."""
        columns = (
            "format", "level", "rows", "steps", "IQR", "words", "in budget", "rises", "format kept",
            "ending kept", "asked again",
        )  # fmt: skip
        rows = []
        for format_, level in sorted(self.rows, key=lambda cell: (cell[0], cell[1] or 0)):
            count = self.rows[format_, level]
            missed = {kind: self.missed[format_, level, kind] for kind in ("format", "ending")}
            steps = self._steps(format_, level)
            rises = self._rises(format_, level)
            words, many = self.words[format_][level]
            rows.append(
                (
                    format_,
                    "-" if level is None else str(level),
                    str(count),
                    f"{median(steps):g}" if steps else "-",
                    _iqr(steps),
                    f"{words / many:.0f}",
                    f"{_in_budget(steps, level, format_):.0%}" if steps and level else "-",
                    "-" if rises is None else f"{rises:.0%}",
                    f"{1 - missed['format'] / count:.0%}",
                    f"{1 - missed['ending'] / count:.0%}",
                    str(self.again[format_, level]),
                )
            )
        return Table(columns, tuple(rows), tuple(self.notes()))

    def notes(self) -> list[str]:
        """Return a line for each format that the teacher did not keep the levels of."""
        lines = []
        for format_, pairs in sorted(self.risen.items()):
            low = [
                f"{lower} to {upper} on {rose / total:.0%}"
                for (lower, upper), (rose, total) in sorted(pairs.items())
                if total and rose / total < RISING
            ]
            total, count = self.taus[format_]
            tau = f"; mean Kendall tau of level and steps {total / count:+.2f}" if count else ""
            if low:
                lines.append(
                    f"{format_}: the teacher did NOT keep the levels: steps rise from level "
                    f"{', '.join(low)} of the questions (wanted: {RISING:.0%}){tau}"
                )
            else:
                lines.append(f"{format_}: steps rise with the levels{tau}")
        return lines

    def summary(self) -> list[dict[str, Any]]:
        """Return the same for the ledger."""
        entries = []
        for format_, level in sorted(self.rows, key=lambda cell: (cell[0], cell[1] or 0)):
            steps = self._steps(format_, level)
            count = self.rows[format_, level]
            words, many = self.words[format_][level]
            entry: dict[str, Any] = {"format": format_, "level": level, "rows": count}
            if steps and level:
                entry |= {
                    "median_steps": median(steps),
                    "share_in_budget": round(_in_budget(steps, level, format_), 4),
                }
            rises = self._rises(format_, level)
            if rises is not None:
                entry["share_of_questions_with_more_steps_than_level_below"] = round(rises, 4)
            entry["mean_words"] = round(words / many, 2)
            for kind in ("level", "format", "ending"):
                if self.missed[format_, level, kind]:
                    entry[f"{kind}_missed"] = self.missed[format_, level, kind]
            entry["asked_again"] = self.again[format_, level]
            entries.append(entry)
        return entries

    def _steps(self, format_: str, level: int | None) -> list[int]:
        if level is None or format_ not in self.steps:
            return []
        return sorted(self.steps[format_][level].elements())

    def _rises(self, format_: str, level: int | None) -> float | None:
        for (_, upper), (rose, total) in self.risen.get(format_, {}).items():
            if upper == level and total:
                return rose / total
        return None


def _in_budget(steps: list[int], level: int, format_: str) -> float:
    fewest, most = steps_of(level, format_)
    return sum(fewest <= step <= most for step in steps) / len(steps)


def _iqr(steps: list[int]) -> str:
    if len(steps) < 2:
        return "-"
    low, _, high = quantiles(steps, n=4, method="inclusive")
    return f"{low:g}-{high:g}"
