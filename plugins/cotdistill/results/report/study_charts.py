"""The pictures that a study can draw from what it has: only those whose data is there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from cotdistill.results.effects import ByFactor
from cotdistill.results.matrix import Matrix, file_name, group_name
from cotdistill.results.report.charts import Axes, Curve, Figure, Point, curves, dots
from cotdistill.results.report.factor_charts import factor_figures
from cotdistill.results.report.gap_charts import (
    gap_figures,
    teacher_student_figures,
)
from cotdistill.results.run_results import Results, Score
from cotdistill.stats.confidence import Interval
from cotdistill.studies.load import study_if_any
from cotdistill.studies.resolve_arms import arms_and_faults
from cotdistill.studies.resolved_arm import ResolvedArm

_NO_BOUNDS = float("nan")
_MOST_CURVES = 16
_MOST_LOSSES = 64


def study_figures(
    results: Results,
    table: Matrix,
    factors: ByFactor,
    chance: Mapping[str, float],
    teachers: Sequence[tuple[str, Score]] = (),
) -> list[Figure]:
    """Return every picture that the study's arms and files allow.

    `chance` is what guessing scores on a task, where it is known; `teachers` are scores of the
    models that wrote the rationales, each with a name.
    """
    study = study_if_any(results.folder)
    arms = arms_and_faults(study, "study.yaml")[0] if study else {}
    made = [*_score_figures(table, chance)]
    made += factor_figures(factors, table, chance)
    made += _mix_figures(table, arms)
    made += gap_figures(table)
    made += teacher_student_figures(table, teachers)
    made += _loss_figure(results)
    return made


def _score_figures(table: Matrix, chance: Mapping[str, float]) -> Iterator[Figure]:
    for task in table.tasks:
        rows = [
            (group_name(table, group), group[1], cell.score)
            for group in table.groups
            if (cell := table.cells.get((group, task))) is not None
        ]
        about = (
            "Each dot is a score, each bar its 95 % interval. All answered the same questions, so "
            "whether two differ is in the comparisons, and not in whether their bars overlap."
        )
        level = _level(chance, task)
        yield dots(f"scores-{file_name(task)}", f"Scores on {task}", about, rows, level)


def _mix_figures(table: Matrix, arms: Mapping[str, ResolvedArm]) -> Iterator[Figure]:
    pairs: dict[tuple[str, str], dict[str, float]] = {}
    for _, arm, _ in table.groups:
        mixing = arms[arm].mixing if arm in arms else None
        if mixing and len(mixing.weights) == 2:
            (first, one), (second, two) = mixing.weights.items()
            pairs.setdefault((first, second), {first: 1.0, second: 0.0})[arm] = one / (one + two)
    for (first, second), shares in pairs.items():
        drawn = []
        for student, recipe, task in _lines(table):
            points = _points(table, student, recipe, task, shares)
            if len(points) >= 2:
                drawn.append(Curve(_line_name(table, student, recipe, task), tuple(points)))
        about = f"Mix Distillation: the score by the share of {first} among {first} and {second}."
        if drawn:
            yield curves(
                f"mix-{file_name(first)}-{file_name(second)}", f"Score by share of {first}", about,
                drawn[:_MOST_CURVES], Axes(f"share of {first}", "score"),
            )  # fmt: skip


def _loss_figure(results: Results) -> Iterator[Figure]:
    drawn = [
        Curve(
            run.arm,
            tuple(Point(step, Interval(loss, _NO_BOUNDS, _NO_BOUNDS)) for step, loss in kept),
        )
        for run in results.runs
        if run.training is not None and len(kept := _thinned(run.training.curve)) >= 2
    ]
    about = "The loss that LLaMA-Factory logged, on a logarithmic scale; a line a run."
    if len(drawn) > _MOST_LOSSES:
        about += f" The first {_MOST_LOSSES} of {len(drawn)} runs are drawn."
    if drawn:
        yield curves(
            "training-loss", "Training loss", about, drawn[:_MOST_LOSSES],
            Axes("step", "loss", percent=False, log_y=True),
        )  # fmt: skip


def _level(chance: Mapping[str, float], task: str) -> tuple[float, str] | None:
    return (chance[task], "chance") if task in chance else None


def _thinned(curve: tuple[tuple[int, float], ...], most: int = 200) -> list[tuple[int, float]]:
    """Means of neighbours, so that a long curve stays readable and the page small."""
    size = max(1, math.ceil(len(curve) / most))
    pieces = [curve[start : start + size] for start in range(0, len(curve), size)]
    return [(piece[-1][0], statistics.fmean(loss for _, loss in piece)) for piece in pieces]


def _lines(table: Matrix) -> list[tuple[str, str, str]]:
    found = dict.fromkeys((student, recipe) for student, _, recipe in table.groups)
    return [(student, recipe, task) for student, recipe in found for task in table.tasks]


def _line_name(table: Matrix, student: str, recipe: str, task: str) -> str:
    several = [len({one[place] for one in table.groups}) > 1 for place in (0, 2)]
    parts = [part for part, wanted in zip((student, recipe), several, strict=True) if wanted]
    return " · ".join([*parts, *([task] if len(table.tasks) > 1 or not parts else [])])


def _points(
    table: Matrix, student: str, recipe: str, task: str, places: dict[str, float]
) -> list[Point]:
    found = [
        Point(x, cell.score)
        for arm, x in places.items()
        if (cell := table.cells.get(((student, arm, recipe), task))) is not None
    ]
    return sorted(found, key=lambda point: point.x)
