"""A plan as tables: the cost of each student's runs, and the power of each task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cotdistill.preflight.plan import JUDGE_TOKENS, Plan, RunCost
from cotdistill.stats.significance import detectable, fewest_flips
from cotdistill.tables import Table

_SPREAD = 0.5  # standard deviation of the paired difference: one question in four differs


def cost_table(made: Plan) -> Table:
    """Return a row per student and recipe, with totals and assumptions as notes."""
    groups: dict[tuple[str, str], list[RunCost]] = {}
    for cost in made.runs:
        groups.setdefault((cost.run.student.name, cost.run.recipe), []).append(cost)
    columns = ("student", "recipe", "runs", "training tokens", "steps", "device hours")
    rows = [
        (
            student,
            recipe,
            str(len(costs)),
            _sum([cost.tokens for cost in costs]),
            _sum([cost.steps for cost in costs]),
            _sum([cost.hours for cost in costs], ".2f"),
            _most([cost.memory for cost in costs]),
        )
        for (student, recipe), costs in groups.items()
    ]
    return Table((*columns, "GiB per device"), tuple(rows), tuple(_cost_notes(made)))


def power_table(made: Plan) -> Table:
    """Return a row per task: questions, and the differences that they can detect."""
    pairs = max(1, math.comb(len(made.runs), 2))
    rows = []
    for task, count in made.questions.items():
        cells = ["unknown"] * 4
        if count:
            alone, many = (100 * detectable(count, _SPREAD, tests=n) for n in (1, pairs))
            least = 100 * fewest_flips() / count
            cells = [str(count), f"{least:.1f}", f"{alone:.1f}", f"{many:.1f}"]
        rows.append((task, *cells))
    columns = ("task", "questions", "smallest significant", "80 % power", "80 % power, all pairs")
    note = (
        "differences in points; smallest significant: six questions change and all the same way "
        "(exact McNemar, p < 0.05); 80 % power: where one question in four differs; all pairs: "
        f"with a Bonferroni correction for {pairs:,} comparisons"
    )
    return Table(columns, tuple(rows), (note,))


def _cost_notes(made: Plan) -> Iterator[str]:
    assumed = made.assumed
    machine = assumed.machine
    yield (
        f"{len(made.runs)} runs; training {made.hours:,.1f} device hours, evaluation "
        f"{made.responses:,} answers, {made.evaluation_hours:,.1f} device hours; judge at most "
        f"{made.judge_calls:,} requests, {made.judge_calls * JUDGE_TOKENS:,} tokens"
    )
    if made.money is not None:
        yield f"cost: {made.money:,.2f}"
    unknown = sum(run.hours is None for run in made.runs)
    if unknown:
        yield f"{unknown} runs are not counted: their rows or their student's size are unknown"
    yield (
        f"assumed: {machine.teraflops:.3g} TFLOP/s at {machine.utilisation:.0%} utilisation, "
        f"{assumed.response_tokens} tokens per row where rows are unavailable, "
        f"{assumed.generated} tokens per answer, {assumed.decode:g} generated tokens per second "
        "and device; no teacher is called"
    )
    tight = [run for run in made.runs if (run.memory or 0) > machine.memory]
    if tight:
        names = ", ".join(dict.fromkeys(run.run.student.name for run in tight))
        yield f"does not fit into {machine.memory:g} GiB per device as configured: {names}"


def _sum(values: Sequence[float | None], form: str = ".0f") -> str:
    known = [value for value in values if value is not None]
    return f"{math.fsum(known):,{form}}" if len(known) == len(values) else "unknown"


def _most(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else "unknown"
