"""The table of the papers: students × arms × tasks, seeds pooled, marked against a baseline arm.

Seeds answer the same questions, so a question's score is the mean over seeds. How far runs of one
arm vary is pooled over the arms of a student, recipe and task, and counts in every difference.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.results.arm_comparisons import (
    ArmRuns,
    Difference,
    adjusted,
    difference,
    pooled_runs,
    score_of,
)
from cotdistill.results.collect import Results, Score
from cotdistill.results.questions import joined
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.stats.confidence import Interval
from cotdistill.stats.run_variance import Stratum
from cotdistill.studies.load import study_if_any

Group = tuple[str, str, str]  # student, arm, recipe
Place = tuple[Group, str]  # a group on a task


@dataclass(frozen=True)
class Cell:
    """One group of runs on one task, with its difference from the baseline where there is one.

    `values` holds the score of each question that all its seeds answered, by a name that is the
    same in all cells of the task; empty where samples are not there.
    """

    score: Interval
    questions: int
    seeds: int
    difference: Difference | None = None
    values: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def mark(self) -> str:
        """▲ or ▼ where the arm differs from the baseline after Holm, else nothing."""
        return self.difference.mark if self.difference else ""


@dataclass(frozen=True)
class Matrix:
    """All cells, with the row and column order of the study and the arm that is compared with.

    `averaged` names the tasks and groups of tasks that a mean is taken over: no group together with
    its members. `unequal_questions` are the tasks whose runs did not all answer the same ones;
    `notes` say so of each arm. `mean_differences` are those of the mean from the baseline's.
    `runs` holds every run's scores by question and `strata` the run variance, by student, recipe
    and task, for comparisons with others than the baseline; `run_sd` is the declared one, a
    fraction. `mean_is_primary` says that means and tasks are adjusted apart.
    """

    groups: tuple[Group, ...]
    tasks: tuple[str, ...]
    cells: Mapping[Place, Cell]
    baseline: str
    source: VerdictSource = "run"
    averaged: tuple[str, ...] = ()
    unequal_questions: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    mean_differences: Mapping[Group, Difference] = field(default_factory=dict)
    runs: Mapping[Place, ArmRuns] = field(default_factory=dict, repr=False)
    strata: Mapping[tuple[str, str, str], Stratum] = field(default_factory=dict, repr=False)
    run_sd: float | None = None
    mean_is_primary: bool = False

    @cached_property
    def several_recipes(self) -> bool:
        """Whether a row must name its recipe."""
        return len({recipe for _, _, recipe in self.groups}) > 1

    def mean(self, group: Group) -> float | None:
        """Return the unweighted mean over `averaged`, as the papers print it, where all are there.

        None where fewer than two are averaged.
        """
        cells = [self.cells.get((group, task)) for task in self.averaged]
        if len(cells) < 2 or None in cells:
            return None
        return statistics.fmean(cell.score.value for cell in cells if cell is not None)

    @property
    def differences(self) -> list[Difference]:
        """All comparisons with the baseline: tasks first, then means."""
        of_cells = [
            cell.difference
            for task in self.tasks
            for group in self.groups
            if (cell := self.cells.get((group, task))) and cell.difference
        ]
        return [*of_cells, *self.mean_differences.values()]

    def between(self, first: Group, second: Group, task: str) -> Difference | None:
        """Compare two groups of one student and recipe on a task, None where they share nothing."""
        one, two = self.runs.get((first, task)), self.runs.get((second, task))
        stratum = self.strata.get((first[0], first[2], task))
        if one is None or two is None or stratum is None:
            return None
        names = (group_name(self, first), group_name(self, second))
        return difference([one], [two], stratum, names=names, run_sd=self.run_sd)


def matrix(results: Results, baseline: str | None = None) -> Matrix:
    """Pool seeds and test every arm against the baseline arm of the same student and recipe.

    `baseline` defaults to the arm called answer-only, or the first of the study.

    Raises:
        DataError: no finished run is of the baseline arm that was asked for.
    """
    finished = [run for run in results.runs if run.finished]
    groups = tuple(dict.fromkeys((run.student, run.arm, run.recipe) for run in finished))
    tasks = tuple(dict.fromkeys(score.task for run in finished for score in run.scores))
    arms = list(dict.fromkeys(arm for _, arm, _ in groups))
    if baseline is not None and baseline not in arms:
        wrong = f"no finished run of the arm '{baseline}'"
        raise DataError(Fault("--baseline", wrong, "an arm", did_you_mean(baseline, arms)))
    if baseline is None:
        baseline = next((arm for arm in arms if "answer-only" in arm), arms[0] if arms else "")
    study = study_if_any(results.folder)
    run_sd = study.evaluation.run_sd if study else None
    scores: dict[Place, dict[str, Score]] = {}
    for run in finished:
        group = (run.student, run.arm, run.recipe)
        for score in run.scores:
            scores.setdefault((group, score.task), {})[run.run] = score
    runs = {place: one for task in tasks for place, one in _runs_of_task(scores, task)}
    asked: dict[str, set[frozenset[str]]] = {}
    for place, arm in runs.items():
        asked.setdefault(place[1], set()).update(map(frozenset, arm.scores.values()))
    unequal = frozenset(task for task, sets in asked.items() if len(sets) > 1)
    strata = _strata(runs)
    cells: dict[Place, Cell] = {}
    notes: list[str] = []
    for place, of_place in scores.items():
        (student, _, recipe), task = place
        stratum = strata[student, recipe, task]
        cells[place], noted = _pool(list(of_place.values()), runs[place], stratum)
        notes += [f"{_name(groups, place[0])} on {task}: {note}" for note in noted]
    for place, cell in cells.items():
        (student, arm_name, recipe), task = place
        base = cells.get(((student, baseline, recipe), task))
        if arm_name != baseline and base is not None and cell.values and base.values:
            shared = [name for name in cell.values if name in base.values]
            if len(shared) < max(len(cell.values), len(base.values)):
                notes.append(_other_questions(_name(groups, place[0]), place, cell, base, shared))
    averaged = averaged_tasks(tasks, results.members)
    if 1 < len(averaged) < len(tasks):
        notes.append(f"the mean is over {', '.join(averaged)}: no group counts with its members")
    made = Matrix(
        groups=groups,
        tasks=tasks,
        cells=cells,
        baseline=baseline,
        source=results.source,
        averaged=averaged,
        unequal_questions=unequal,
        notes=tuple(notes),
        runs=runs,
        strata=strata,
        run_sd=None if run_sd is None else run_sd / 100,
        mean_is_primary=study is not None and study.evaluation.primary == "mean",
    )
    return _compared(made)


def _compared(table: Matrix) -> Matrix:
    """Return the table with every arm compared with the baseline, p-values adjusted.

    All comparisons are adjusted together; where the mean is the primary result, means among
    themselves and tasks among themselves.
    """
    on_tasks: dict[Place, Difference] = {}
    for group, task in table.cells:
        base = (group[0], table.baseline, group[2])
        found = table.between(base, group, task) if group != base else None
        if found is not None:
            on_tasks[group, task] = found
    means = dict(_mean_differences(table))
    if table.mean_is_primary:
        both = [*adjusted(list(on_tasks.values())), *adjusted(list(means.values()))]
    else:
        both = adjusted([*on_tasks.values(), *means.values()])
    marked = dict(zip(on_tasks, both, strict=False))
    cells = {
        place: replace(cell, difference=marked.get(place)) for place, cell in table.cells.items()
    }
    of_means = dict(zip(means, both[len(on_tasks) :], strict=True))
    return replace(table, cells=cells, mean_differences=of_means)


def _mean_differences(table: Matrix) -> Iterator[tuple[Group, Difference]]:
    """Yield each arm's mean over tasks against the baseline's, where all runs have all tasks."""
    if len(table.averaged) < 2:
        return
    of_groups = {
        group: [table.runs[group, task] for task in table.averaged]
        for group in table.groups
        if all((group, task) in table.runs for task in table.averaged)
    }
    for group, tasks in of_groups.items():
        base = (group[0], table.baseline, group[2])
        if group == base or base not in of_groups:
            continue
        stratum = pooled_runs(
            arm for one, arm in of_groups.items() if (one[0], one[2]) == (group[0], group[2])
        )
        names = (group_name(table, base), group_name(table, group))
        found = difference(of_groups[base], tasks, stratum, names=names, run_sd=table.run_sd)
        if found is not None:
            yield group, found


def _strata(runs: Mapping[Place, ArmRuns]) -> dict[tuple[str, str, str], Stratum]:
    """Return the run variance of each student, recipe and task, pooled over its arms."""
    arms: dict[tuple[str, str, str], list[list[ArmRuns]]] = {}
    for ((student, _, recipe), task), one in runs.items():
        arms.setdefault((student, recipe, task), []).append([one])
    return {key: pooled_runs(of_key) for key, of_key in arms.items()}


def averaged_tasks(tasks: Sequence[str], members: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what a mean over tasks is taken over: no group together with its members.

    Groups and the tasks outside any of them; where one group holds everything, its members.

    >>> members = {"math": ["math_0", "math_1"], "all": ["gsm8k", "math"]}
    >>> averaged_tasks(["gsm8k", "math", "math_0", "math_1"], members)
    ('gsm8k', 'math')
    >>> averaged_tasks(["all", "gsm8k", "math", "math_0", "math_1"], members)
    ('gsm8k', 'math')
    """
    inside = {group: _members_shown(group, tasks, members, ()) for group in tasks}
    chosen = [task for task in tasks if not any(task in inside[group] for group in inside)]
    while len(chosen) == 1 and inside[chosen[0]]:
        chosen = inside[chosen[0]]
    return tuple(chosen)


def _members_shown(
    group: str, tasks: Sequence[str], members: Mapping[str, Sequence[str]], above: tuple[str, ...]
) -> list[str]:
    """Return the members of a group that have a column; those of a member that has none instead."""
    found: list[str] = []
    for member in members.get(group, ()):
        if member in tasks:
            found.append(member)
        elif member not in above:
            found += _members_shown(member, tasks, members, (*above, group))
    return found


def group_name(table: Matrix, group: Group) -> str:
    """Return the shortest name that tells a group from the others of the table."""
    return _name(table.groups, group)


def file_name(name: str) -> str:
    """Return a name that any disk takes.

    >>> file_name("a/B c")
    'a-b-c'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def _name(groups: Iterable[Group], group: Group) -> str:
    several = [len({one[part] for one in groups}) > 1 for part in range(3)]
    parts = [group[part] for part in range(3) if several[part]]
    return " · ".join(parts) or group[1]


def _runs_of_task(
    scores: Mapping[Place, Mapping[str, Score]], task: str
) -> Iterator[tuple[Place, ArmRuns]]:
    """Yield the scores of each run by question, for the places of one task.

    A question has the same name in all runs of the task; a run without samples has no questions.
    """
    places = [place for place in scores if place[1] == task]
    tables = [
        score.table.values if score.table else {}
        for place in places
        for score in scores[place].values()
    ]
    named = iter(joined(tables))
    for place in places:
        yield place, ArmRuns(place[0][1], task, {run: next(named) for run in scores[place]})


def _pool(runs: Sequence[Score], arm: ArmRuns, stratum: Stratum) -> tuple[Cell, list[str]]:
    """Pool the seeds of a group on a task over the questions that all of them answered."""
    values = list(arm.scores.values())
    if len(runs) == 1:
        return Cell(runs[0].score, runs[0].questions, 1, values=values[0]), []
    shared = arm.shared()
    if not shared:
        why = (
            "not every run has samples" if not all(values) else "its seeds answered other questions"
        )
        note = (
            f"{why}, so its {len(runs)} seeds are pooled by their scores, not by question, and no "
            "difference is tested"
        )
        parts = [[getattr(run.score, bound) for run in runs] for bound in ("value", "low", "high")]
        interval = Interval(*(statistics.fmean(part) for part in parts))
        return Cell(interval, min(run.questions for run in runs), len(runs)), [note]
    counts = [len(one) for one in values]
    notes = []
    if len(shared) < max(counts):
        notes.append(
            f"its seeds answered {', '.join(map(str, counts))} questions; pooled over the "
            f"{len(shared)} that all of them answered"
        )
    means = {name: statistics.fmean(one[name] for one in values) for name in shared}
    answers = len(runs) * max(run.repeats for run in runs)
    return Cell(score_of(arm, stratum, answers), len(shared), len(runs), values=means), notes


def _other_questions(name: str, place: Place, cell: Cell, base: Cell, shared: Sequence[str]) -> str:
    """Say that an arm and its baseline did not answer the same questions, and how they compare."""
    note = (
        f"{name} on {place[1]}: answered other questions than the baseline "
        f"({len(cell.values)} and {len(base.values)}, {len(shared)} in both)"
    )
    if not shared:
        return f"{note}, so the two are not compared"
    mine, its = (
        100 * statistics.fmean(one.values[question] for question in shared) for one in (cell, base)
    )
    return (
        f"{note}; on those in both it has {mine:.1f} % and the baseline {its:.1f} %, and these are "
        "what is tested"
    )


_ARROWS = {"▲": r"\uparrow", "▼": r"\downarrow", "": ""}


def _test_of(table: Matrix) -> str:
    claims = {one.compared.claim for one in table.differences}
    if claims == {"models"}:
        return "one seed an arm, so no arm is marked"
    return "crossed t test over questions and training runs"


def as_latex(table: Matrix, caption: str) -> str:
    r"""Return the table for a paper (needs booktabs): score, bounds below and above, marks."""
    heads = ["student", "arm", *(["recipe"] if table.several_recipes else []), *table.tasks]
    means = any(table.mean(group) is not None for group in table.groups)
    columns = "l" * (len(heads) - len(table.tasks)) + "r" * (len(table.tasks) + means)
    verdicts = "" if table.source == "run" else f" ({table.source} verdicts)"
    lines = [
        *(f"% {' '.join(note.split())}" for note in table.notes),
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}{verdicts}. Score in \%, with 95\,\% interval; $\uparrow$ and "
        r"$\downarrow$ differ from "
        rf"{_tex(table.baseline)} ({_test_of(table)}, Holm, $p < 0.05$).}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, heads)) + (" & mean" if means else "") + r" \\",
        r"\midrule",
    ]
    student = None
    for group in table.groups:
        if student not in (None, group[0]):
            lines.append(r"\midrule")
        names = [group[0] if group[0] != student else "", group[1]]
        names += [group[2]] if table.several_recipes else []
        student = group[0]
        cells = [_tex_cell(table.cells.get((group, task))) for task in table.tasks]
        mean = table.mean(group)
        if means:
            marked = table.mean_differences.get(group)
            arrow = _ARROWS[marked.mark if marked else ""]
            cells.append(f"${100 * mean:.1f}{arrow}$" if mean is not None else "--")
        lines.append(" & ".join([*map(_tex, names), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _tex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mark = _ARROWS[cell.mark]
    value, low, high = (
        f"{100 * bound:.1f}" for bound in (cell.score.value, cell.score.low, cell.score.high)
    )
    bounds = "" if cell.score.low != cell.score.low else f"^{{{high}}}_{{{low}}}"
    return f"${value}{bounds}{mark}$"


def _tex(text: str) -> str:
    escapes = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escapes |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(escapes.get(character, character) for character in text)
