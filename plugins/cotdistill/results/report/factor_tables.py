"""Tables by factor: pivots of mean scores, main effects, and interactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cotdistill.results.arm_comparisons import points
from cotdistill.results.effects import ByFactor, Effect, Pivot, best_values, dependence
from cotdistill.results.matrix import Matrix
from cotdistill.results.report.arm_table import interval_text, p_text
from cotdistill.tables import Table

_FEW = 2  # values that are named one by one; all of them have rows of their own


class TitledTable(NamedTuple):
    """A table with what it is called, and a sentence on how it is read."""

    title: str
    about: str
    table: Table


def factor_tables(found: ByFactor, scores: Matrix) -> list[TitledTable]:
    """Return the main effects, the interactions, then every pivot."""
    made: list[TitledTable] = []
    notes = [*found.notes, *_claims([*found.main, *found.interactions])]
    if found.main:
        about = (
            "Each value against the mean of the others, averaged over students and the other "
            "factors; points, Holm-adjusted over this table."
        )
        made.append(TitledTable("Main effects", about, effect_table(found.main, notes)))
    if found.interactions:
        about = (
            "How much larger a value's effect is under one value of another factor than under its "
            "others; points, Holm-adjusted over this table."
        )
        table = effect_table(found.interactions, answers(found.interactions))
        made.append(TitledTable("Interactions", about, table))
    return [*made, *(_pivot_table(pivot, scores.several_recipes) for pivot in found.pivots)]


def answers(interactions: Sequence[Effect]) -> list[str]:
    """Return a sentence for each pair of factors: whether one's effect depends on the other."""
    pairs: dict[tuple[str, str, str, str], list[Effect]] = {}
    for one in interactions:
        pairs.setdefault((one.task, one.recipe, one.factor, one.other), []).append(one)
    several = len({recipe for _, recipe, _, _ in pairs if recipe}) > 1
    return [
        f"{task}{f', recipe {recipe}' if several and recipe else ''}: {dependence(effects)}"
        for (task, recipe, _, _), effects in pairs.items()
    ]


def effect_table(effects: Sequence[Effect], notes: Sequence[str] = ()) -> Table:
    """Return a row an effect; columns that say the same in every row, or nothing, are left out."""
    columns = (
        "task", "recipe", "factor", "value", "against", "for", "and not", "points",
        "95 % interval", "p", "p Holm", "mark", "arms", "claim about",
    )  # fmt: skip
    rows = [
        (
            one.task,
            one.recipe,
            one.factor,
            str(one.value),
            _others(one.against),
            f"{one.other} {one.other_value}" if one.other else "",
            _others(one.other_against),
            points(one.found.estimate.value),
            f"{points(one.found.interval.low)} to {points(one.found.interval.high)}",
            p_text(one.found.p),
            p_text(one.p_holm),
            one.mark,
            str(one.arms),
            one.found.claim,
        )
        for one in effects
    ]
    keep = [
        n
        for n, name in enumerate(columns)
        if (name in ("task", "recipe") and len({row[n] for row in rows}) > 1)
        or (name not in ("task", "recipe") and any(row[n] for row in rows))
    ]
    return Table(
        tuple(columns[n] for n in keep), tuple(tuple(row[n] for n in keep) for row in rows),
        tuple(notes),
    )  # fmt: skip


def _others(values: Sequence[object]) -> str:
    """Return the values that one is compared with; of many, that they are the others."""
    return ", ".join(map(str, values)) if len(values) <= _FEW else "the others"


def effect_row(one: Effect) -> dict[str, Any]:
    """Return every number of an effect unrounded, fractions, for programs."""
    return {
        "task": one.task,
        "recipe": one.recipe,
        "factor": one.factor,
        "value": one.value,
        "against": list(one.against),
        "other_factor": one.other or None,
        "other_value": one.other_value,
        "other_against": list(one.other_against),
        "effect": one.found.estimate.value,
        "low": one.found.interval.low,
        "high": one.found.interval.high,
        "p": one.found.p,
        "p_holm": one.p_holm,
        "claim": one.found.claim,
        "significant": bool(one.mark),
        "questions": one.found.questions,
        "arms": one.arms,
    }


def _pivot_table(pivot: Pivot, several_recipes: bool) -> TitledTable:
    where = pivot.task + (f", recipe {pivot.recipe}" if several_recipes and pivot.recipe else "")
    rows = tuple(
        (
            str(name),
            *(
                "" if cell is None
                else f"{100 * cell.value:.1f} ({interval_text(cell.low, cell.high)})"
                for cell in cells
            ),
        )
        for name, cells in zip(pivot.rows, pivot.cells, strict=True)
    )  # fmt: skip
    columns = (pivot.row_factor, *(f"{pivot.column_factor} {value}" for value in pivot.columns))
    about = "Percent correct with 95 % intervals"
    if pivot.blocks > 1:
        about += f", means over {pivot.blocks} combinations of the other factors"
    best = f"Highest: {'; '.join(best_values(pivot))}"
    title = f"{pivot.row_factor} × {pivot.column_factor} on {where}"
    return TitledTable(title, f"{about}.", Table(columns, rows, (best,)))


def _claims(effects: Sequence[Effect]) -> list[str]:
    if {one.found.claim for one in effects} & {"models"}:
        return [
            "claims about models: one seed an arm and no declared run sd, so only these trained "
            "models are compared (paired t over questions), and nothing is marked"
        ]
    return []
