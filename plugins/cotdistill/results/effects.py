"""What the factors of a study show: pivots, main effects, interactions, and them in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotdistill.results.arm_comparisons import LEVEL, points
from cotdistill.results.groups import STUDENT
from cotdistill.runfolder.manifest import Factor
from cotdistill.stats.confidence import Interval
from cotdistill.stats.contrasts import Contrast
from cotdistill.stats.crossed_test import FEWEST_QUESTIONS

Value = Factor


@dataclass(frozen=True)
class Effect:
    """What one value of a factor does, or how that depends on a value of another one.

    A main effect is the value's mean less that of the other values (of two values, the second less
    the first). An interaction is the value's effect under `other_value` less its effect under the
    other factor's other values. `arms` counts what it is made of; `p_holm` is adjusted over the
    table that shows it.
    """

    task: str
    recipe: str
    factor: str
    value: Value
    against: tuple[Value, ...]
    found: Contrast
    arms: int
    other: str = ""
    other_value: Value = None
    other_against: tuple[Value, ...] = ()
    p_holm: float | None = None

    @property
    def mark(self) -> str:
        """▲ or ▼ where it differs from zero after Holm and speaks of arms, else nothing."""
        enough = self.found.claim == "arms" and self.found.questions >= FEWEST_QUESTIONS
        if not enough or self.p_holm is None or self.p_holm >= LEVEL:
            return ""
        return "▲" if self.found.estimate.value > 0 else "▼"


@dataclass(frozen=True)
class Pivot:
    """Mean scores by a row factor and a column factor on one task, with their intervals.

    `cells` is [rows][columns], None where an arm is not there. `blocks` counts the combinations of
    the other factors that each mean is over.
    """

    task: str
    recipe: str
    row_factor: str
    column_factor: str
    rows: tuple[Value, ...]
    columns: tuple[Value, ...]
    cells: tuple[tuple[Interval | None, ...], ...]
    blocks: int


@dataclass(frozen=True)
class ByFactor:
    """Everything that a study's factors show; empty where no factor varies."""

    pivots: tuple[Pivot, ...] = ()
    main: tuple[Effect, ...] = ()
    interactions: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()


def best_values(pivot: Pivot) -> list[str]:
    """Say which value of the column factor is best in each row, and by how much.

    >>> cells = ((Interval(0.5, 0.4, 0.6), Interval(0.7, 0.6, 0.8)),)
    >>> best_values(Pivot("t", "full", "student", "level", ("tiny",), (1, 6), cells, 1))
    ['tiny: level 6 (70.0 %; next level 1, 50.0 %)']
    >>> tied = ((Interval(0.5, 0.4, 0.6), Interval(0.5, 0.4, 0.6)),)
    >>> best_values(Pivot("t", "full", "student", "level", ("tiny",), (1, 6), tied, 1))
    ['tiny: level 1 and level 6 (50.0 %)']
    """
    lines = []
    for place, cells in zip(pivot.rows, pivot.cells, strict=True):
        row = place if pivot.row_factor == STUDENT else f"{pivot.row_factor} {place}"
        known = [
            (cell.value, value)
            for cell, value in zip(cells, pivot.columns, strict=True)
            if cell is not None
        ]
        known.sort(key=lambda pair: -pair[0])
        if len(known) < 2:
            continue
        name, (best, value) = pivot.column_factor, known[0]
        ties = [f"{name} {other}" for score, other in known if score == best]
        if len(ties) > 1:
            lines.append(f"{row}: {' and '.join(ties)} ({100 * best:.1f} %)")
            continue
        next_best, other = known[1]
        lines.append(
            f"{row}: {name} {value} ({100 * best:.1f} %; next {name} {other}, "
            f"{100 * next_best:.1f} %)"
        )
    return lines


def dependence(effects: Sequence[Effect]) -> str:
    """Say whether one factor's effect depends on the other one, from all their interactions."""
    tested = [one for one in effects if one.p_holm is not None]
    if not tested:
        return "not tested: nothing varies"
    names = f"the effect of {effects[0].factor} depends on the {effects[0].other}"
    most = min(tested, key=lambda one: (one.p_holm or 0.0, -abs(one.found.estimate.value)))
    bounds = most.found.interval
    strongest = (
        f"{most.factor} {most.value} for {most.other} {most.other_value}: "
        f"{points(bounds.value)} points [{points(bounds.low)}, {points(bounds.high)}], "
        f"p = {most.p_holm:.2g} after Holm"
    )
    if most.mark:
        return f"{names} ({strongest})"
    if most.found.claim == "models" and (most.p_holm or 1) < LEVEL:
        return f"in these trained models {names} ({strongest}); one seed says nothing of arms"
    return f"it was not shown that {names} ({strongest})"
