"""A plan as tables: what each student's runs take, and what each task can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cotdistill.preflight.plan import JUDGE_TOKENS, Plan, RunCost
from cotdistill.stats.significance import detectable, fewest_flips
from cotdistill.tables import Table

_SPREAD = 0.5  # of the difference between two students: one question in four differs


def cost_table(made: Plan) -> Table:
    """Return a row a student and recipe, with totals and assumptions below."""
    groups: dict[tuple[str, str], list[RunCost]] = {}
    for cost in made.runs:
        groups.setdefault((cost.run.student.name, cost.run.recipe), []).append(cost)
    columns = ("student", "recipe", "runs", "training tokens", "steps", "device hours")
    rows = [
        (
            student,
            recipe,
            str(len(held)),
            _sum([cost.tokens for cost in held]),
            _sum([cost.steps for cost in held]),
            _sum([cost.hours for cost in held], ".2f"),
            _most([cost.memory for cost in held]),
        )
        for (student, recipe), held in groups.items()
    ]
    return Table((*columns, "GiB a device"), tuple(rows), tuple(_cost_notes(made)))


def power_table(made: Plan) -> Table:
    """Return a row a task: questions, and the difference that they can show."""
    pairs = max(1, math.comb(len(made.runs), 2))
    rows = []
    for task, count in made.questions.items():
        cells = ["not known"] * 4
        if count:
            alone, many = (100 * detectable(count, _SPREAD, tests=n) for n in (1, pairs))
            least = 100 * fewest_flips() / count
            cells = [str(count), f"{least:.1f}", f"{alone:.1f}", f"{many:.1f}"]
        rows.append((task, *cells))
    columns = ("task", "questions", "points: least visible", "found 4 times in 5", "all pairs")
    note = (
        "least visible: six questions flip and all the same way (exact McNemar, p < 0.05); found 4 "
        "times in 5: power 0.8 where one question in four differs; all pairs: after Bonferroni "
        f"over {pairs:,} comparisons"
    )
    return Table(columns, tuple(rows), (note,))


def _cost_notes(made: Plan) -> Iterator[str]:
    held = made.assumed
    machine = held.machine
    yield (
        f"{len(made.runs)} runs; training {made.hours:,.1f} device hours, evaluation "
        f"{made.responses:,} answers, {made.evaluation_hours:,.1f} device hours; judge at most "
        f"{made.judge_calls:,} calls, {made.judge_calls * JUDGE_TOKENS:,} tokens"
    )
    if made.money is not None:
        yield f"money: {made.money:,.2f}"
    unknown = sum(run.hours is None for run in made.runs)
    if unknown:
        yield f"{unknown} runs are not counted: their rows or their student's size are not known"
    yield (
        f"assumed: {machine.teraflops:.3g} TFLOP/s at {machine.utilisation:.0%} use, "
        f"{held.response_tokens} tokens a row where rows are not at hand, {held.generated} tokens "
        f"an answer, {held.decode:g} generated tokens a second and device; no teacher is called"
    )
    tight = [run for run in made.runs if (run.memory or 0) > machine.memory]
    if tight:
        names = ", ".join(dict.fromkeys(run.run.student.name for run in tight))
        yield f"does not fit {machine.memory:g} GiB a device as written: {names}"


def _sum(values: Sequence[float | None], form: str = ".0f") -> str:
    known = [value for value in values if value is not None]
    return f"{math.fsum(known):,{form}}" if len(known) == len(values) else "not known"


def _most(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else "not known"
