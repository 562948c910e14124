"""Pictures by factor: a heat map for each pivot, and curves along every factor of numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cotdistill.results.effects import ByFactor, Pivot, Value
from cotdistill.results.matrix import Matrix, file_name
from cotdistill.results.report.charts import Axes, Curve, Figure, Point, curves, heat_map

_MOST_LINES = 8


def factor_figures(
    factors: ByFactor, table: Matrix, chance: Mapping[str, float]
) -> Iterator[Figure]:
    """Yield the pictures of each pivot; recipes and tasks have pictures of their own."""
    for pivot in factors.pivots:
        of_recipe = table.several_recipes and pivot.recipe
        where = pivot.task + (f", recipe {pivot.recipe}" if of_recipe else "")
        title = f"{_capital(pivot.row_factor)} by {pivot.column_factor} on {where}"
        parts = (pivot.row_factor, pivot.column_factor, pivot.task)
        name = "-".join(
            file_name(part) for part in (*parts, *([pivot.recipe] if of_recipe else []))
        )
        over = f", averaged over {pivot.blocks} combinations of other factors"
        about = f"Scores in percent with 95 % intervals{over if pivot.blocks > 1 else ''}."
        if len(pivot.rows) > 1:
            heads = (
                [_named(pivot.row_factor, row) for row in pivot.rows],
                [_named(pivot.column_factor, one) for one in pivot.columns],
            )
            yield heat_map(f"heat-{name}", title, about, heads, pivot.cells)
        if len(pivot.columns) > 1 and None not in map(_place, pivot.columns):
            yield _along(pivot, f"curve-{name}", about, where, chance.get(pivot.task))


def _along(pivot: Pivot, name: str, about: str, where: str, guessed: float | None) -> Figure:
    """Draw one line a row of the pivot, along its columns."""
    lines = []
    for row, cells in zip(pivot.rows, pivot.cells, strict=True):
        points = tuple(
            Point(place, cell)
            for column, cell in zip(pivot.columns, cells, strict=True)
            if cell is not None and (place := _place(column)) is not None
        )
        lines.append(Curve(_named(pivot.row_factor, row), points))
    if len(lines) > _MOST_LINES:
        about += f" The first {_MOST_LINES} of {len(lines)} lines are drawn."
    by = "" if len(lines) == 1 else f", a line for each {pivot.row_factor}"
    ticks = [(_place(value) or 0.0, str(value)) for value in pivot.columns]
    level = None if guessed is None else (guessed, "chance")
    axes = Axes(pivot.column_factor, "score", ticks=ticks, level=level)
    title = f"Score by {pivot.column_factor} on {where}{by}"
    return curves(name, title, about, lines[:_MOST_LINES], axes)


def _named(factor: str, value: Value) -> str:
    return f"{factor} {value}" if _is_number(value) else str(value)


def _place(value: Value) -> float | None:
    """Return where a value stands on an axis; rationales of no steps at all are at its zero."""
    if value == "answer-only":
        return 0.0
    return float(value) if isinstance(value, int | float) and _is_number(value) else None


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
