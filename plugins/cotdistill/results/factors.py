"""Scores by factor: pivots, main effects and interactions of what arms and recipes are made of.

Arms carry factors (level, teacher, format, ...), recipes may, and every run has its student. A
factor is compared within blocks: what is equal in everything else. Only blocks that have all
compared values count, so that no value is averaged over easier company; what is left out is said.
Tasks are never averaged over; recipes only where they are what is compared.

Docs: docs/how-to/results.md, "By factor"; the test is `stats.contrasts`, h = the sum of c²/S.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from cotdistill.results.effects import ByFactor, Effect, Pivot, Value
from cotdistill.results.groups import ARM, RECIPE, STUDENT, UNTRAINED, Group, recipe_factors
from cotdistill.results.matrix import Matrix
from cotdistill.stats.confidence import Interval
from cotdistill.stats.contrasts import Contrast, WeightedArm, contrast
from cotdistill.stats.significance import holm


def by_factor(scores: Matrix) -> ByFactor:
    """Return pivots, main effects and interactions, p-values adjusted over each of the two tables.

    Arms that a factor does not name are not compared by it.
    """
    pivots: list[Pivot] = []
    main: list[Effect] = []
    interactions: list[Effect] = []
    notes: list[str] = []
    for plane in _planes(scores):
        for name in plane.compared:
            grid = plane.grid(name)
            notes += plane.notes(name, grid)
            if grid is not None:
                main += plane.main_effects(name, grid)
                pivots += plane.pivots(STUDENT, name)
        for first, second in plane.pairs:
            interactions += plane.interactions(first, second)
            if second != STUDENT:
                pivots += plane.pivots(second, first)
    return ByFactor(
        tuple(pivots), tuple(_adjusted(main)), tuple(_adjusted(interactions)), tuple(notes)
    )


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
    """What was scored on one task under one recipe; under several, an empty one.

    `main` are the factors whose main effects are wanted, and `crossed` the pairs that are crossed,
    the one whose effect may depend on the other first; None: all that vary.
    """

    scores: Matrix
    task: str
    recipe: str
    members: tuple[_Member, ...]
    main: tuple[str, ...] | None = None
    crossed: tuple[tuple[str, str], ...] | None = None
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

    @property
    def compared(self) -> list[str]:
        """The factors that have a main effect here."""
        wanted = self.factors if self.main is None else self.main
        return [name for name in wanted if name in self.factors and name != STUDENT]

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the factors that are crossed here."""
        if self.crossed is not None:
            yield from (pair for pair in self.crossed if set(pair) <= set(self.factors))
            return
        for one, two in itertools.combinations(self.factors, 2):
            # of levels 1 to 6, two may have all formats: then formats are compared within levels
            turned = one == STUDENT or (two != STUDENT and self._crossed(one, two) is None)
            yield (two, one) if turned else (one, two)

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

    @property
    def recipes(self) -> set[str]:
        """The recipes whose runs count for the run variance."""
        return {member.group[2] for member in self.members}

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
            stratum = self.scores.stratum(group[0], self.recipes, self.task)
            name, trained = runs[group].arm, runs[group].trained
            made.append(WeightedArm(weight, name, self.tables[group, key], stratum, trained))
        return made


def _planes(scores: Matrix) -> Iterator[_Plane]:
    """Yield the arms of each task and recipe that have factors, then recipes against each other."""
    recipes = list(dict.fromkeys(recipe for _, _, recipe in scores.groups if recipe != UNTRAINED))
    for task in scores.tasks:
        trained = [
            group
            for group in scores.groups
            if group[2] != UNTRAINED and (cell := scores.cells.get((group, task))) and cell.values
        ]
        for recipe in recipes:
            members = tuple(
                _Member(group, {**factors, STUDENT: group[0]})
                for group in trained
                if group[2] == recipe and (factors := scores.factors.get(group[1:], {}))
            )
            if len(members) > 1:
                yield _Plane(scores, task, recipe, members)
        if len({group[2] for group in trained}) > 1:
            yield from _across_recipes(scores, task, trained)


def _across_recipes(scores: Matrix, task: str, groups: Sequence[Group]) -> Iterator[_Plane]:
    """Yield recipes as a factor, each compared on equal arms; then recipes' own factors, if any.

    Where arms have factors, recipes are crossed with those and not with the arms' names.
    """
    own = recipe_factors(scores.factors)
    found = {group: scores.factors.get(group[1:], {}) for group in groups}
    of_arms = list(dict.fromkeys(n for one in found.values() for n in one if n not in own))

    def plane(
        factors: Mapping[Group, Mapping[str, Value]],
        main: Sequence[str],
        crossed: Iterable[tuple[str, str]],
    ) -> _Plane:
        members = tuple(_Member(g, {**one, STUDENT: g[0]}) for g, one in factors.items())
        return _Plane(scores, task, "", members, tuple(main), tuple(crossed))

    by_name = {group: {ARM: group[1], RECIPE: group[2]} for group in groups}
    with_arms = [STUDENT] if of_arms else [ARM, STUDENT]
    yield plane(by_name, [RECIPE], [(RECIPE, other) for other in with_arms])
    if of_arms:
        by_arm = {
            group: {**{n: v for n, v in one.items() if n not in own}, RECIPE: group[2]}
            for group, one in found.items()
        }
        yield plane(by_arm, [], [(RECIPE, other) for other in of_arms])
    if own:
        yield plane(found, sorted(own), itertools.product(sorted(own), [*of_arms, STUDENT]))


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
