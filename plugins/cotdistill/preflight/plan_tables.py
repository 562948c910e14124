"""A plan as tables of at most 80 columns: the cost of each student's runs, the power of each task.

`as_json` has the same for programs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from cotdistill.preflight.cost import in_words
from cotdistill.preflight.planned import JUDGE_TOKENS, Plan, RunCost
from cotdistill.stats.detectable_effect import (
    Design,
    alternatives,
    detectable_effect,
)
from cotdistill.tables import Table, counted

_COSTS = (
    "rows", "tokens", "steps", "hours", "memory", "disk", "disk_in_training", "signals", "fitting"
)  # fmt: skip
RUN_SDS = (0.5, 1.0, 2.0)
"""Points from run to run where nothing is declared; thin evidence, see docs/how-to/results.md."""


def cost_table(made: Plan) -> Table:
    """Return a row per student and recipe, with totals and assumptions as notes."""
    groups: dict[tuple[str, str], list[RunCost]] = {}
    for cost in made.trained:
        groups.setdefault((cost.run.student.name, cost.run.recipe), []).append(cost)
    columns = ("student", "recipe", "runs", "tokens", "steps", "hours", "GiB/GPU", "disk")
    rows = [
        (
            student,
            recipe,
            str(len(costs)),
            _in_millions([cost.tokens for cost in costs]),
            _sum([cost.steps for cost in costs]),
            _sum([cost.hours for cost in costs], ".2f"),
            _most([cost.memory for cost in costs]),
            _sum([cost.disk for cost in costs], ".1f"),
        )
        for (student, recipe), costs in groups.items()
    ]
    return Table(columns, tuple(rows), tuple(_cost_notes(made)))


def power_table(made: Plan) -> Table:
    """Return a row a task: the difference between two arms that it shows, in points."""
    sds = (made.run_sd,) if made.run_sd is not None else RUN_SDS
    columns = [
        "task",
        "questions",
        "seeds",
        *(f"run sd {sd:g}" for sd in sds),
        f"all {made.comparisons:,}",
    ]
    rows = []
    for task, count in made.questions.items():
        answers = made.answers[task]
        asked = f"{count or 'unknown'}" + (f" × {answers}" if answers > 1 else "")
        design = _design(made, task)
        cells = _effects(design, sds, made) if design else ["unknown"] * (len(columns) - 3)
        rows.append((task, asked, str(made.seeds), *cells))
    return Table(tuple(columns), tuple(rows), tuple(_power_notes(made, sds)))


def remedy_table(made: Plan) -> Table:
    """Return a row a task: the difference it would show with more answers, seeds or questions."""
    sd = made.run_sd if made.run_sd is not None else RUN_SDS[len(RUN_SDS) // 2]
    columns = ("task", "now", "more answers", "one more seed", "twice the questions")
    rows = []
    for task in made.questions:
        design = _design(made, task)
        cells = _remedies(design, sd / 100) if design else ["unknown"] * (len(columns) - 1)
        rows.append((task, *cells))
    return Table(columns, tuple(rows), (f"points, at a run sd of {sd:g}",))


def as_json(made: Plan) -> dict[str, Any]:
    """Return a plan as a mapping for JSON; what is unknown is null.

    Units: device hours; GiB; points.
    """
    sds = (made.run_sd,) if made.run_sd is not None else RUN_SDS
    tables = (cost_table(made), power_table(made), remedy_table(made))
    return {
        "study": made.study,
        "runs": [
            {
                "run": cost.run.name,
                "student": cost.run.student.name,
                "arm": cost.run.arm,
                "recipe": cost.run.recipe,
                "seed": cost.run.seed,
                **{name: getattr(cost, name) for name in _COSTS},
            }
            for cost in made.runs
        ],
        "tasks": [
            {
                "task": task,
                "questions": count,
                "answers": made.answers[task],
                **_power(made, task, sds),
            }
            for task, count in made.questions.items()
        ],
        "training_hours": None if made.assumed.machine.teraflops is None else made.hours,
        "evaluation_hours": made.evaluation_hours,
        "responses": made.responses,
        "has_judge": made.has_judge,
        "judge_requests": made.judge_calls if made.has_judge else 0,
        "asked_models": [{**vars(one), "disk": one.disk} for one in made.asked],
        "disk": made.disk,
        "cost": made.money,
        "notes": [*made.notes, *(note for table in tables for note in table.notes)],
    }


def _design(made: Plan, task: str) -> Design | None:
    """Return what of the study decides its power on a task, None with fewer than two questions."""
    count = made.questions[task]
    if not count or count < 2:
        return None
    return Design(count, made.answers[task], made.seeds, max(made.arms, 2))


def _power(made: Plan, task: str, sds: Sequence[float]) -> dict[str, Any]:
    """Return what a task can show by run sd, alone and among all, and with what more could show."""
    design = _design(made, task)
    if design is None:
        return {"detectable": None, "detectable_among_all": None, "alternatives": None}

    def points(design: Design, tests: int = 1) -> dict[str, float]:
        return {f"{sd:g}": 100 * detectable_effect(design, sd / 100, tests=tests) for sd in sds}

    return {
        "detectable": points(design),
        "detectable_among_all": points(design, made.comparisons),
        "alternatives": {name: points(other) for name, other in alternatives(design).items()},
    }


def _effects(design: Design, sds: Sequence[float], made: Plan) -> list[str]:
    middle = sds[len(sds) // 2] / 100
    cells = [_points(detectable_effect(design, sd / 100)) for sd in sds]
    cells.append(_points(detectable_effect(design, middle, tests=made.comparisons)))
    return cells


def _points(effect: float) -> str:
    """Show an effect in points; no difference between two scores is above 100.

    >>> _points(0.123), _points(1.26)
    ('12.3', '> 100')
    """
    return f"{100 * effect:.1f}" if effect <= 1 else "> 100"


def _remedies(design: Design, run_sd: float) -> list[str]:
    helped = {
        name: _points(detectable_effect(other, run_sd))
        for name, other in alternatives(design).items()
    }
    answers = next((name for name in helped if name.endswith("answers")), None)
    return [
        _points(detectable_effect(design, run_sd)),
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
        f"{made.comparisons:,}: corrected for all comparisons, at a run sd of {middle:g}"
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
            f"the run sd will be known from {counted(freedom, 'degree')} of freedom only "
            f"({counted(made.arms, 'arm')} of {counted(made.seeds, 'seed')}): one more seed helps "
            "most"
        )
    yield from _advice(made, middle / 100)


def _advice(made: Plan, run_sd: float) -> Iterator[str]:
    """Say for which tasks answers or questions come first, and for which seeds do."""
    seeds_first: list[str] = []
    answers_first: list[str] = []
    for task in made.questions:
        if design := _design(made, task):
            helped = {
                name: detectable_effect(other, run_sd)
                for name, other in alternatives(design).items()
            }
            seed = helped.pop("one more seed")
            (seeds_first if seed < min(helped.values()) else answers_first).append(task)
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
    judged = ""
    if made.has_judge or assumed.judge_price is not None:
        tokens = made.judge_calls * JUDGE_TOKENS
        judged = f"; judge at most {counted(made.judge_calls, 'request')}, {tokens:,} tokens"
    runs = counted(len(made.trained), "run") + (" at most" if made.races else "")
    training = None if machine.teraflops is None else made.hours
    yield (
        f"{runs}; training {_hours(training)}, evaluation {counted(made.responses, 'answer')}, "
        f"{_hours(made.evaluation_hours)}{judged}"
    )
    if not made.has_speed:
        yield (
            "hours are not known: no speed is assumed of a CPU. Once a training and an evaluation "
            "have finished, `--calibrate RUNFOLDER` measures it; `--teraflops` and `--decode` "
            "state it"
        )
    yield (
        "tokens: of training, about, with template and system prompt, without padding; hours: of "
        "one device; GiB/GPU: memory of each device; disk: GiB of the finished runs"
    )
    if made.asked:
        yield (
            "estimated: rows that a model writes are as many as are asked for, of the lengths "
            "assumed; `plan RUNFOLDER` counts those that are there"
        )
    if most := max((run.disk_in_training or 0.0 for run in made.runs), default=0.0):
        yield f"while it trains, the largest run has {most:,.1f} GiB on disk, optimizer included"
    if made.asked or made.signals:
        written = made.written
        stored = f" and {in_words(made.signals)} of teachers' signals" if made.signals else ""
        yield (
            f"disk in all: about {in_words(made.disk)}, of it {in_words(written)} of journals and "
            f"rows that models write{stored}"
        )
    for race in made.races:
        raced = counted(len(race.race), "run")
        yield (
            f"race of {race.arms} arms ({race.student}, {race.recipe}): at most {raced}, then "
            f"{counted(len(race.final), 'run')} of the finalists with the seeds of the study"
        )
    if made.money is not None:
        yield f"cost: {made.money:,.2f}"
    unknown = sum(run.tokens is None or run.memory is None for run in made.runs)
    if unknown:
        verb = "is" if unknown == 1 else "are"
        unknowns = "rows or student's size are unknown"
        yield f"{counted(unknown, 'run')} {verb} not counted: {unknowns}"
    speeds = [f"{assumed.generated} tokens per answer, at most what tasks allow (--answer-tokens)"]
    if machine.teraflops is not None:
        peak = f"{machine.teraflops:.3g} TFLOP/s at {machine.utilisation:.0%} utilisation"
        speeds.insert(0, peak)
    if assumed.answer_seconds is not None:
        speeds[-1] = f"{assumed.answer_seconds:.2g} seconds per answer, as measured (--calibrate)"
    elif assumed.decode is not None:
        speeds.append(f"{assumed.decode:g} generated tokens per second and device (--decode)")
    rows = f"{assumed.response_tokens} tokens per row where rows are unavailable (--row-tokens)"
    yield (f"assumed: {', '.join([rows, *speeds])}{'' if made.asked else '; no teacher is called'}")
    tight = {(run.run.student.name, run.run.recipe): run for run in made.runs if run.fitting}
    for (student, recipe), run in tight.items():
        yield (
            f"{student} with {recipe} does not fit into {machine.memory:g} GiB per device: "
            f"{run.fitting}"
        )


def _hours(hours: float | None) -> str:
    return "unknown hours" if hours is None else f"{hours:,.1f} device hours"


def _sum(values: Sequence[float | None], form: str = ".0f") -> str:
    known = [value for value in values if value is not None]
    return f"{math.fsum(known):,{form}}" if len(known) == len(values) else "unknown"


def _in_millions(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "unknown"
    total = math.fsum(known)
    return f"{total / 1e6:,.1f}M" if total >= 1e6 else f"{total:,.0f}"


def _most(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else "unknown"
