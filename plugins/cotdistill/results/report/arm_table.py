"""The pooled table: a row an arm and task, seeds together, with the difference from the baseline.

This is what a reader wants first; the single runs are in `run_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cotdistill.results.arm_comparisons import TWO_METHODS, Difference, difference_row, points
from cotdistill.results.groups import UNTRAINED, Group
from cotdistill.results.matrix import Cell, Matrix
from cotdistill.tables import Table

_LONGEST = 14  # characters of a baseline's name that a column's head has room for


def arm_table(scores: Matrix, notes: Sequence[str] = ()) -> Table:
    """Return a row for every student, arm and task, and one for each mean over tasks.

    Columns that say the same in every row, or nothing, are left out. Units: percent; the difference
    from the baseline in points. `notes` come before its own.
    """
    columns = (
        "task", "student", "arm", "recipe", "score %", "95 % interval", "seeds", "sd",
        _against(scores), "95 % of it", "p Holm", "mark", "truncated %", "timeouts",
        "strict %",
    )  # fmt: skip
    rows = [
        _row(group, task, cell)
        for task in scores.tasks
        for group in scores.groups
        if (cell := scores.cells.get((group, task))) is not None
    ]
    rows += [
        _mean_row(scores, group, mean)
        for group in scores.groups
        if (mean := scores.mean(group)) is not None
    ]
    score, strict = columns.index("score %"), columns.index("strict %")
    if all(row[strict] in ("", row[score]) for row in rows):  # the same, so it says nothing
        rows = [(*row[:strict], "", *row[strict + 1 :]) for row in rows]
    always = ("arm", "score %")
    keep = [
        n
        for n, name in enumerate(columns)
        if name in always
        or (n < 4 and len({row[n] for row in rows} - {""}) > 1)
        or (n >= 4 and name != "seeds" and any(row[n] for row in rows))
        or (name == "seeds" and any(row[n] not in ("", "1") for row in rows))
    ]
    return Table(
        tuple(columns[n] for n in keep),
        tuple(tuple(row[n] for n in keep) for row in rows),
        (*notes, *scores.notes, *_explained(scores)),
    )


def arm_rows(scores: Matrix) -> list[dict[str, Any]]:
    """Return every number of the pooled table unrounded, fractions, for programs."""
    return [
        {
            "student": group[0],
            "arm": group[1],
            "recipe": None if group[2] == UNTRAINED else group[2],
            "task": task,
            **_factors(scores, group),
            "score": cell.score.value,
            "low": _number(cell.score.low),
            "high": _number(cell.score.high),
            "questions": cell.questions,
            "seeds": cell.seeds,
            "sd": cell.spread,
            "truncated": cell.cut_off,
            "timeouts": cell.timeouts,
            "readings": cell.readings,
            "difference": difference_row(cell.difference) if cell.difference else None,
        }
        for task in scores.tasks
        for group in scores.groups
        if (cell := scores.cells.get((group, task))) is not None
    ]


def p_text(p: float | None) -> str:
    """Return a p-value as it is printed.

    >>> p_text(0.0004), p_text(0.0312), p_text(None)
    ('<0.001', '0.031', '')
    """
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def interval_text(low: float, high: float) -> str:
    """Return the bounds of a score in percent."""
    return "not known" if low != low else f"{100 * low:.1f}-{100 * high:.1f}"


def _row(group: Group, task: str, cell: Cell) -> tuple[str, ...]:
    one = cell.difference
    strict = cell.readings.get("strict")
    return (
        task,
        group[0],
        group[1],
        "" if group[2] == UNTRAINED else group[2],
        f"{100 * cell.score.value:.1f}",
        interval_text(cell.score.low, cell.score.high),
        str(cell.seeds),
        "" if cell.spread is None else f"{100 * cell.spread:.1f}",
        *_difference_cells(one),
        "" if cell.cut_off is None else f"{100 * cell.cut_off:.1f}",
        str(cell.timeouts) if cell.timeouts else "",
        "" if strict is None else f"{100 * strict:.1f}",
    )


def _mean_row(scores: Matrix, group: Group, mean: float) -> tuple[str, ...]:
    return (
        f"mean of {len(scores.averaged)}",
        group[0],
        group[1],
        "" if group[2] == UNTRAINED else group[2],
        f"{100 * mean:.1f}",
        "",
        "",
        "",
        *_difference_cells(scores.mean_differences.get(group)),
        "",
        "",
        "",
    )


def _difference_cells(one: Difference | None) -> tuple[str, str, str, str]:
    if one is None:
        return "", "", "", ""
    bounds = one.difference
    interval = f"{points(bounds.low)} to {points(bounds.high)}"
    return points(bounds.value), interval, p_text(one.p_holm), one.mark


def _against(scores: Matrix) -> str:
    """Return the head of the column of differences; a long name is in a note."""
    return f"vs {scores.baseline}" if len(scores.baseline) <= _LONGEST else "vs baseline"


def _explained(scores: Matrix) -> list[str]:
    notes = []
    if len(scores.baseline) > _LONGEST and scores.differences:
        notes.append(f"baseline: {scores.baseline}")
    claims = {one.compared.claim for one in scores.differences}
    if any(cell.spread is not None for cell in scores.cells.values()):
        notes.append(
            "sd: standard deviation of the runs' scores in points; it holds the noise of the "
            "questions too, unlike the run sd of the comparisons"
        )
    if claims == {"models"}:
        notes.append(
            "one seed an arm and no declared run sd: differences are those of these trained "
            f"models, and no arm is marked. {TWO_METHODS}"
        )
    elif claims:
        notes.append(
            f"▲ ▼: differs from {scores.baseline} (crossed t test over questions and training "
            "runs, Holm, p < 0.05)"
        )
    if any(cell.timeouts for cell in scores.cells.values()):
        notes.append(
            "timeouts: responses that the grader did not decide within its CPU time; they count "
            "as wrong. cotdistill rescore tries them again"
        )
    return notes


def _factors(scores: Matrix, group: Group) -> dict[str, Any]:
    found = scores.factors.get(group[1:], {})
    return {f"factor_{name}": value for name, value in found.items()}


def _number(value: float) -> float | None:
    return None if value != value else value
