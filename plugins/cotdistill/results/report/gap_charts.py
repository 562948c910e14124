"""Pictures of who learns from whom: long against short, large against small, several teachers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cotdistill.catalogue.packaged import students
from cotdistill.results.collect import Score
from cotdistill.results.matrix import Matrix, file_name, group_name
from cotdistill.results.report.charts import Axes, Curve, Figure, Point, curves, dots
from cotdistill.stats.confidence import Interval
from cotdistill.studies.resolved_arm import ResolvedArm

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
        for task in table.tasks:
            points = []
            for student, arm, recipe in table.groups:
                mine = table.cells.get(((student, first, recipe), task))
                other = table.cells.get(((student, second, recipe), task))
                if arm == first and mine and other and student in sizes:
                    gap = table.between((student, second, recipe), (student, first, recipe), task)
                    change = mine.score.value - other.score.value
                    bounds = gap.difference if gap else Interval(change, _NO_BOUNDS, _NO_BOUNDS)
                    points.append(Point(math.log10(sizes[student]), bounds))
            if len(points) >= 2:
                drawn.append(Curve(task, tuple(sorted(points, key=lambda point: point.x))))
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


def teacher_figures(table: Matrix, arms: Mapping[str, ResolvedArm]) -> Iterator[Figure]:
    """Yield teachers of the same questions, level and format: a dot a student and teacher."""
    cells: dict[str, Any] = {}
    for arm in dict.fromkeys(arm for _, arm, _ in table.groups):
        source = arms[arm].source if arm in arms else None
        found = source.registration if source else None
        if found is not None and found.about.cell is not None:
            cells[arm] = found.about.cell
    kinds = {arm: (cell.questions, cell.level, cell.format) for arm, cell in cells.items()}
    for kind in dict.fromkeys(kinds.values()):
        same = [arm for arm in kinds if kinds[arm] == kind]
        if len({cells[arm].teacher for arm in same}) < 2:
            continue
        named = " ".join(str(part) for part in kind if part is not None)
        for task in table.tasks:
            rows = [
                (f"{student} · {cells[arm].teacher}", cells[arm].teacher, cell.score)
                for student, arm, recipe in table.groups
                if arm in same and (cell := table.cells.get(((student, arm, recipe), task)))
            ]
            about = "The same questions, level and format, written by different teachers."
            if len(rows) >= 2:
                name = f"teachers-{file_name(named)}-{file_name(task)}"
                yield dots(name, f"Teachers, {named}, on {task}", about, rows)


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
