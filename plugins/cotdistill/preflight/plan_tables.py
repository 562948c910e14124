"""A plan as tables: the cost of each student's runs, and the power of each task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from cotdistill.preflight.plan import JUDGE_TOKENS, Plan, RunCost
from cotdistill.stats.detectable_effect import (
    Design,
    alternatives,
    detectable_effect,
    questions_until_seeds_pay,
)
from cotdistill.tables import Table

RUN_SDS = (0.5, 1.0, 2.0)
"""Points from run to run where nothing is declared; thin evidence, see docs/results.md."""


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
    """Return a row a task: the difference between two arms that it shows, and what would help."""
    sds = (made.run_sd,) if made.run_sd is not None else RUN_SDS
    columns = [
        "task",
        "questions",
        "seeds",
        *(f"points at run sd {sd:g}" for sd in sds),
        f"all {made.comparisons:,} comparisons",
        "with more answers",
        "with one more seed",
        "with twice the questions",
    ]
    rows = []
    for task, count in made.questions.items():
        cells = ["unknown"] * (len(columns) - 3)
        answers = made.answers[task]
        asked = f"{count or 'unknown'}" + (f" × {answers}" if answers > 1 else "")
        if count and count > 1:
            cells = _effects(Design(count, answers, made.seeds, max(made.arms, 2)), sds, made)
        rows.append((task, asked, str(made.seeds), *cells))
    return Table(tuple(columns), tuple(rows), tuple(_power_notes(made, sds)))


def _effects(design: Design, sds: Sequence[float], made: Plan) -> list[str]:
    middle = sds[len(sds) // 2] / 100
    cells = [f"{100 * detectable_effect(design, sd / 100):.1f}" for sd in sds]
    cells.append(f"{100 * detectable_effect(design, middle, tests=made.comparisons):.1f}")
    helped = {
        name: f"{100 * detectable_effect(other, middle):.1f}"
        for name, other in alternatives(design).items()
    }
    answers = next((name for name in helped if name.endswith("answers")), None)
    return [
        *cells,
        f"{helped[answers]} ({answers})" if answers else "-",
        helped["one more seed"],
        helped["twice the questions"],
    ]


def _power_notes(made: Plan, sds: Sequence[float]) -> Iterator[str]:
    middle = sds[len(sds) // 2]
    known = "declared" if made.run_sd is not None else "assumed"
    yield (
        "points: the difference between two arms that is found 4 times in 5 (p < 0.05, this "
        f"comparison alone); run sd: how far runs of one arm vary, in points, {known}; all "
        f"comparisons, and what would help: at {middle:g}"
    )
    if made.run_sd is None:
        yield (
            "the run sd of a study of yours is in its report; evaluation.run_sd declares it. "
            "0.5 to 2 points are likely, and nobody has measured it for your case"
        )
    if made.seeds == 1 and made.run_sd is None:
        yield (
            "one seed an arm: a report will compare these trained models, not the arms, because "
            "nothing says how far runs vary; train with two seeds or more, or declare the run sd"
        )
    elif made.arms * (made.seeds - 1) < 4 and made.run_sd is None:
        freedom = made.arms * (made.seeds - 1)
        yield (
            f"the run sd will be known from {freedom} degrees of freedom only ({made.arms} arms of "
            f"{made.seeds} seeds): one more seed helps most"
        )
    yield from _advice(made, middle / 100)


def _advice(made: Plan, run_sd: float) -> Iterator[str]:
    """Say for which tasks answers or questions come first, and for which seeds do."""
    seeds_first: list[str] = []
    answers_first: list[str] = []
    for task, count in made.questions.items():
        if count and count > 1:
            design = Design(count, made.answers[task], made.seeds, max(made.arms, 2))
            enough = count >= questions_until_seeds_pay(design, run_sd)
            (seeds_first if enough else answers_first).append(task)
    if answers_first:
        yield (
            "more answers or questions help more than seeds, and cost no training: "
            f"{', '.join(answers_first)}"
        )
    if seeds_first:
        yield f"more seeds help more than answers or questions: {', '.join(seeds_first)}"


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
