"""Pictures of who learns from whom: long against short, large against small, teacher, student."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence

from cotdistill.catalogue.packaged import students
from cotdistill.results.groups import UNTRAINED
from cotdistill.results.matrix import Matrix, file_name, group_name
from cotdistill.results.report.charts import Axes, Curve, Figure, Point, curves, dots
from cotdistill.results.run_results import Score
from cotdistill.stats.confidence import Interval

_PAIRS = (("long", "short"), ("large", "small"))
_NO_BOUNDS = float("nan")


def gap_figures(table: Matrix) -> Iterator[Figure]:
    """Yield the learnability gap: one arm's score less the other's, by the student's size.

    Both answer the same questions, so the interval is that of the paired difference.
    """
    sizes = {one.name: one.parameters for one in students().values()}
    arms = list(dict.fromkeys(arm for _, arm, _ in table.groups))
    for one, two in _PAIRS:
        first = next((arm for arm in arms if re.search(rf"\b{one}\b", arm)), None)
        second = next((arm for arm in arms if re.search(rf"\b{two}\b", arm)), None)
        if first is None or second is None:
            continue
        drawn = []
        recipes = dict.fromkeys(recipe for _, _, recipe in table.groups if recipe != UNTRAINED)
        for task, wanted in itertools.product(table.tasks, recipes):
            points = []
            for student, arm, recipe in table.groups:
                if recipe != wanted:
                    continue
                mine = table.cells.get(((student, first, recipe), task))
                other = table.cells.get(((student, second, recipe), task))
                if arm == first and mine and other and student in sizes:
                    gap = table.between((student, second, recipe), (student, first, recipe), task)
                    change = mine.score.value - other.score.value
                    bounds = gap.difference if gap else Interval(change, _NO_BOUNDS, _NO_BOUNDS)
                    points.append(Point(math.log10(sizes[student]), bounds))
            if len(points) >= 2:
                line = f"{task} · {wanted}" if len(recipes) > 1 else task
                drawn.append(Curve(line, tuple(sorted(points, key=lambda point: point.x))))
        known = {student for student, _, _ in table.groups if student in sizes}
        ticks = sorted((math.log10(sizes[student]), f"{sizes[student]:g}") for student in known)
        about = (
            f"The learnability gap: above zero, {first} teaches more than {second}. Bars are 95 % "
            "intervals of the paired difference, over training runs too where an arm has several "
            "seeds; one that crosses zero shows no gap."
        )
        if drawn:
            yield curves(
                f"gap-{file_name(first)}-{file_name(second)}",
                f"{first} minus {second} by student size",
                about,
                drawn,
                Axes("parameters, billions", "difference, percentage points", ticks=ticks),
            )


def teacher_student_figures(
    table: Matrix, teachers: Sequence[tuple[str, Score]]
) -> Iterator[Figure]:
    """Yield, for each task that a teacher was scored on, its score above those of the students."""
    for task in table.tasks:
        rows = [(name, "teacher", score.score) for name, score in teachers if score.task == task]
        if not rows:
            continue
        rows += [
            (group_name(table, group), group[0], cell.score)
            for group in table.groups
            if (cell := table.cells.get((group, task))) is not None
        ]
        about = "The teachers first, then what the students reach: how much is left to learn."
        name = f"teacher-student-{file_name(task)}"
        yield dots(name, f"Teacher and students on {task}", about, rows)
