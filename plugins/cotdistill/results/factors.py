"""Scores by factor: pivots, main effects and interactions of what arms are made of.

Arms carry factors (level, teacher, format, ...), and so does every run its student. A factor is
compared within blocks: arms that are equal in everything else. Only blocks that have all compared
values count, so that no value is averaged over easier company; what is left out is said. Tasks and
recipes are never averaged over.

Docs: docs/how-to/results.md, "By factor"; the test is `stats.contrasts`, h = the sum of c²/S.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from cotdistill.results.arm_comparisons import LEVEL, points
from cotdistill.results.matrix import UNTRAINED, Group, Matrix
from cotdistill.runfolder.manifest import Factor
from cotdistill.stats.confidence import Interval
from cotdistill.stats.contrasts import Contrast, WeightedArm, contrast
from cotdistill.stats.crossed_test import FEWEST_QUESTIONS
from cotdistill.stats.run_variance import Stratum
from cotdistill.stats.significance import holm

Value = Factor
STUDENT = "student"


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


def by_factor(scores: Matrix) -> ByFactor:
    """Return pivots, main effects and interactions, p-values adjusted over each of the two tables.

    Arms that a factor does not name are not compared by it.
    """
    pivots: list[Pivot] = []
    main: list[Effect] = []
    interactions: list[Effect] = []
    notes: list[str] = []
    for plane in _planes(scores):
        names = plane.factors
        for name in names:
            if name == STUDENT:
                continue
            grid = plane.grid(name)
            notes += plane.notes(name, grid)
            if grid is not None:
                main += plane.main_effects(name, grid)
                pivots += plane.pivots(STUDENT, name)
        for one, two in itertools.combinations(names, 2):
            first, second = (two, one) if one == STUDENT else (one, two)
            interactions += plane.interactions(first, second)
            if second != STUDENT:
                pivots += plane.pivots(second, first)
    return ByFactor(
        tuple(pivots), tuple(_adjusted(main)), tuple(_adjusted(interactions)), tuple(notes)
    )


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
    for row, cells in zip(pivot.rows, pivot.cells, strict=True):
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


@dataclass(frozen=True)
class _Member:
    """One arm of a student in a plane: its factors, the student among them."""

    group: Group
    factors: Mapping[str, Value]


@dataclass(frozen=True)
class _Grid:
    """The blocks that have every compared value: [blocks] of value → member."""

    values: tuple[Value, ...]
    blocks: tuple[Mapping[Value, _Member], ...]
    left_out: int = 0
    values_left_out: tuple[Value, ...] = ()


@dataclass(frozen=True)
class _Plane:
    """The arms that were scored on one task under one recipe."""

    scores: Matrix
    task: str
    recipe: str
    members: tuple[_Member, ...]
    tables: dict[tuple[Group, tuple[str, ...]], np.ndarray] = field(
        default_factory=dict, compare=False, repr=False
    )

    @cached_property
    def factors(self) -> list[str]:
        """The factors that vary here, the student last."""
        names = dict.fromkeys(
            name for member in self.members for name in member.factors if name != STUDENT
        )
        return [name for name in (*names, STUDENT) if len(self.values(name)) > 1]

    def values(self, name: str) -> list[Value]:
        """Return the values of a factor, numbers in their order, others in that of the study."""
        found = dict.fromkeys(
            member.factors[name] for member in self.members if member.factors.get(name) is not None
        )
        return _ordered(list(found))

    def grid(self, name: str, members: Sequence[_Member] | None = None) -> _Grid | None:
        """Return the blocks in which a factor can be compared, None where there are none.

        A block is the members that are equal in all other factors. Two members with the same
        value in one block differ in something that is no factor, so the block is left out.
        """
        others = [one for one in self.factors if one != name]
        blocks: dict[tuple[Value, ...], dict[Value, list[_Member]]] = {}
        for member in self.members if members is None else members:
            value = member.factors.get(name)
            if value is not None:
                key = tuple(member.factors.get(one) for one in others)
                blocks.setdefault(key, {}).setdefault(value, []).append(member)
        clear = [
            {value: found[0] for value, found in block.items()}
            for block in blocks.values()
            if all(len(found) == 1 for found in block.values())
        ]
        sets = dict.fromkeys(frozenset(block) for block in clear if len(block) > 1)
        if not sets:
            return None
        chosen = max(
            sets, key=lambda one: len(one) * sum(one <= frozenset(block) for block in clear)
        )
        kept = tuple(block for block in clear if chosen <= frozenset(block))
        everywhere = self.values(name)
        return _Grid(
            tuple(value for value in everywhere if value in chosen),
            kept,
            len(blocks) - len(kept),
            tuple(value for value in everywhere if value not in chosen),
        )

    def notes(self, name: str, grid: _Grid | None) -> list[str]:
        """Say what a factor is not compared on."""
        where = f"{self.task}: {name}"
        if grid is None:
            return [f"{where}: no two arms differ in it alone, so it is not compared"]
        reasons = []
        if grid.values_left_out:
            values = ", ".join(map(str, grid.values_left_out))
            reasons.append(f"not everywhere there, so left out: {values}")
        if grid.left_out:
            reasons.append(
                f"{grid.left_out} of {grid.left_out + len(grid.blocks)} combinations of the other "
                "factors lack a value or have two arms for one"
            )
        return [f"{where}: {'; '.join(reasons)}"] if reasons else []

    def main_effects(self, name: str, grid: _Grid) -> Iterator[Effect]:
        """Yield each value against the others, averaged over the blocks."""
        for value, against in _one_against_rest(grid.values):
            weights: dict[Group, float] = {}
            for block in grid.blocks:
                for one, share in _shares(value, against).items():
                    weights[block[one].group] = share / len(grid.blocks)
            found = self.contrast(weights)
            if found is not None:
                yield Effect(self.task, self.recipe, name, value, against, found, arms=len(weights))

    def interactions(self, name: str, other: str) -> Iterator[Effect]:
        """Yield how each value's effect depends on each value of another factor."""
        whole = self._crossed(name, other)
        if whole is None:
            return
        values, others, blocks = whole
        for value, against in _one_against_rest(values):
            for other_value, other_against in _one_against_rest(others):
                weights: dict[Group, float] = {}
                for block in blocks:
                    for one, share in _shares(value, against).items():
                        for two, factor in _shares(other_value, other_against).items():
                            weights[block[one, two].group] = share * factor / len(blocks)
                found = self.contrast(weights)
                if found is not None:
                    yield Effect(
                        self.task,
                        self.recipe,
                        name,
                        value,
                        against,
                        found,
                        arms=len(weights),
                        other=other,
                        other_value=other_value,
                        other_against=other_against,
                    )

    def pivots(self, row: str, column: str) -> Iterator[Pivot]:
        """Yield the table of two factors; of one student, a table of one row."""
        if row == STUDENT and STUDENT not in self.factors:
            grid = self.grid(column)
            if grid is None:
                return
            students: tuple[Value, ...] = (self.members[0].factors[STUDENT],)
            blocks = [
                {(value, students[0]): block[value] for value in grid.values}
                for block in grid.blocks
            ]
            values, others = grid.values, students
        else:
            whole = self._crossed(column, row)
            if whole is None:
                return
            values, others, blocks = whole
        cells = tuple(
            tuple(self.mean([block[one, two].group for block in blocks]) for one in values)
            for two in others
        )
        yield Pivot(self.task, self.recipe, row, column, others, values, cells, len(blocks))

    def _crossed(
        self, name: str, other: str
    ) -> (
        tuple[tuple[Value, ...], tuple[Value, ...], list[dict[tuple[Value, Value], _Member]]] | None
    ):
        """Return the values of two factors and the blocks that have all their combinations."""
        grid = self.grid(name)
        if grid is None:
            return None
        rest = [one for one in self.factors if one not in (name, other)]
        by_rest: dict[tuple[Value, ...], dict[Value, Mapping[Value, _Member]]] = {}
        for block in grid.blocks:
            member = block[grid.values[0]]
            key = tuple(member.factors.get(one) for one in rest)
            value = member.factors.get(other)
            if value is not None:
                by_rest.setdefault(key, {})[value] = block
        sets = dict.fromkeys(frozenset(found) for found in by_rest.values() if len(found) > 1)
        if not sets:
            return None
        chosen = max(
            sets,
            key=lambda one: len(one) * sum(one <= frozenset(found) for found in by_rest.values()),
        )
        others = tuple(value for value in self.values(other) if value in chosen)
        blocks = [
            {(one, two): found[two][one] for one in grid.values for two in others}
            for found in by_rest.values()
            if chosen <= frozenset(found)
        ]
        return grid.values, others, blocks

    def contrast(self, weights: Mapping[Group, float]) -> Contrast | None:
        """Return a weighted sum of arms on the questions that all their runs share."""
        arms = self._weighted(weights)
        return contrast(arms, self.scores.run_sd) if arms else None

    def mean(self, groups: Sequence[Group]) -> Interval | None:
        """Return the mean of arms, a single one as the table of scores has it."""
        if len(groups) == 1:
            return self.scores.cells[groups[0], self.task].score
        found = self.contrast(dict.fromkeys(groups, 1 / len(groups)))
        return found.interval if found else None

    def _weighted(self, weights: Mapping[Group, float]) -> list[WeightedArm]:
        runs = {group: self.scores.runs[group, self.task] for group in weights}
        shared = next(iter(runs.values())).shared()
        for one in runs.values():
            others = set(one.shared())
            shared = [name for name in shared if name in others]
        if not shared:
            return []
        key = tuple(shared)
        made = []
        for group, weight in weights.items():
            if (group, key) not in self.tables:
                self.tables[group, key] = runs[group].table(shared)
            stratum = self.scores.strata.get((group[0], group[2], self.task), Stratum({}))
            made.append(
                WeightedArm(weight, group[1], self.tables[group, key], stratum, runs[group].trained)
            )
        return made


def _planes(scores: Matrix) -> Iterator[_Plane]:
    """Yield the arms of each task and recipe that have factors and samples."""
    recipes = dict.fromkeys(recipe for _, _, recipe in scores.groups if recipe != UNTRAINED)
    for task, recipe in itertools.product(scores.tasks, recipes):
        members = tuple(
            _Member(group, {**scores.factors.get(group[1:], {}), STUDENT: group[0]})
            for group in scores.groups
            if group[2] == recipe
            and (cell := scores.cells.get((group, task)))
            and cell.values
            and scores.factors.get(group[1:])
        )
        if len(members) > 1:
            yield _Plane(scores, task, recipe, members)


def _one_against_rest(values: Sequence[Value]) -> Iterator[tuple[Value, tuple[Value, ...]]]:
    """Yield each value with the others; of two, the second with the first only.

    >>> list(_one_against_rest([1, 3]))
    [(3, (1,))]
    """
    for value in values[1:] if len(values) == 2 else values:
        yield value, tuple(other for other in values if other != value)


def _shares(value: Value, against: Sequence[Value]) -> dict[Value, float]:
    return {value: 1.0, **dict.fromkeys(against, -1 / len(against))}


def _ordered(values: list[Value]) -> list[Value]:
    """Return texts in their order, then numbers by size.

    >>> _ordered([6, "answer-only", 1])
    ['answer-only', 1, 6]
    """
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    return [*(one for one in values if one not in numbers), *sorted(numbers)]


def _adjusted(effects: Sequence[Effect]) -> list[Effect]:
    tested = [place for place, one in enumerate(effects) if one.found.p is not None]
    found = list(effects)
    p_values = [one.found.p for one in effects if one.found.p is not None]
    for place, p in zip(tested, holm(p_values), strict=True):
        found[place] = replace(found[place], p_holm=p)
    return found
