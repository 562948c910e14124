"""The table of the papers: students × arms × tasks, seeds pooled, marked against a baseline arm.

Seeds answer the same questions, so a question's score is the mean over seeds. How far runs of one
arm vary is pooled over the arms of a student, recipe and task, and counts in every difference.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

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
from cotdistill.runfolder.manifest import Factor
from cotdistill.stats.confidence import Interval
from cotdistill.stats.run_variance import Stratum
from cotdistill.studies.load import study_if_any
from cotdistill.studies.study import Study

Group = tuple[str, str, str]  # student, arm, recipe
Place = tuple[Group, str]  # a group on a task
UNTRAINED = "none"  # the recipe of a model that is scored as it is


@dataclass(frozen=True)
class Cell:
    """One group of runs on one task, with its difference from the baseline where there is one.

    `values` holds the score of each question that all its seeds answered, by a name that is the
    same in all cells of the task; empty where samples are not there. `spread` is the standard
    deviation of the runs' scores, a fraction, None for one run; part of it is noise of the
    questions. `runs` are the scores that the cell sums up, run by run.
    """

    score: Interval
    questions: int
    seeds: int
    difference: Difference | None = None
    values: Mapping[str, float] = field(default_factory=dict, repr=False)
    spread: float | None = None
    runs: tuple[Score, ...] = field(default=(), repr=False)

    @property
    def timeouts(self) -> int | None:
        """How many responses the grader gave up on, over all runs; None where none logs it."""
        known = [run.timeouts for run in self.runs if run.timeouts is not None]
        return sum(known) if known else None

    @property
    def cut_off(self) -> float | None:
        """The share of truncated responses, over all runs."""
        known = [run.cut_off for run in self.runs if run.cut_off is not None]
        return statistics.fmean(known) if known else None

    @property
    def readings(self) -> dict[str, float]:
        """What the same responses score read otherwise, means over the runs that all log it."""
        names = dict.fromkeys(name for run in self.runs for name in run.readings)
        return {
            name: statistics.fmean(run.readings[name] for run in self.runs)
            for name in names
            if all(name in run.readings for run in self.runs)
        }

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
    fraction. `mean_is_primary` says that means and tasks are adjusted apart. `also` are further
    arms that every arm is compared with, `also_differences` those comparisons. `factors` are those
    of each arm and recipe.
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
    also: tuple[str, ...] = ()
    also_differences: tuple[Difference, ...] = ()
    factors: Mapping[tuple[str, str], Mapping[str, Factor]] = field(default_factory=dict)

    @cached_property
    def several_recipes(self) -> bool:
        """Whether a row must name its recipe."""
        return len({recipe for _, _, recipe in self.groups if recipe != UNTRAINED}) > 1

    @cached_property
    def several_students(self) -> bool:
        """Whether a row must name its student."""
        return len({student for student, _, _ in self.groups}) > 1

    def base_of(self, group: Group, baseline: str | None = None) -> Group | None:
        """Return what a group is compared with: the baseline of its student and recipe, if any.

        A model that is scored as it is has no recipe and is compared with every one.
        """
        arm = baseline or self.baseline
        for recipe in (group[2], UNTRAINED):
            base = (group[0], arm, recipe)
            if base in self.groups:
                return None if base == group else base
        if group[2] == UNTRAINED:  # the other way round: one trained baseline, whatever its recipe
            trained = [one for one in self.groups if one[:2] == (group[0], arm)]
            return trained[0] if len(trained) == 1 and trained[0] != group else None
        return None

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
        return [*of_cells, *self.mean_differences.values(), *self.also_differences]

    def between(self, first: Group, second: Group, task: str) -> Difference | None:
        """Compare two groups of one student and recipe on a task, None where they share nothing."""
        one, two = self.runs.get((first, task)), self.runs.get((second, task))
        recipe = first[2] if second[2] == UNTRAINED else second[2]
        stratum = self.strata.get((first[0], recipe, task))
        if one is None or two is None or stratum is None:
            return None
        names = (group_name(self, first), group_name(self, second))
        return difference([one], [two], stratum, names=names, run_sd=self.run_sd)


def matrix(results: Results, baseline: str | None = None) -> Matrix:
    """Pool seeds and test every arm against the baseline arm of the same student and recipe.

    `baseline` defaults to the one that the study declares, the arm called answer-only, or the
    first of the study.

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
    study = study_if_any(results.folder)
    also = _declared(study)[1]
    if baseline is None:
        baseline = baseline_of(arms, results.folder)
    run_sd = study.evaluation.run_sd if study else None
    untrained = {(run.student, run.arm, run.recipe) for run in finished if not run.trained}
    scores: dict[Place, dict[str, Score]] = {}
    for run in finished:
        group = (run.student, run.arm, run.recipe)
        for score in run.scores:
            scores.setdefault((group, score.task), {})[run.run] = score
    runs = {
        place: replace(one, trained=place[0] not in untrained)
        for task in tasks
        for place, one in _runs_of_task(scores, task)
    }
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
        cell, noted = _pool(list(of_place.values()), runs[place], stratum)
        cells[place] = replace(cell, runs=tuple(of_place.values()))
        notes += [f"{_name(groups, place[0])} on {task}: {note}" for note in noted]
    averaged = averaged_tasks(tasks, results.members)
    made = Matrix(
        groups=groups,
        tasks=tasks,
        cells=cells,
        baseline=baseline,
        source=results.source,
        averaged=averaged,
        unequal_questions=unequal,
        runs=runs,
        strata=strata,
        run_sd=None if run_sd is None else run_sd / 100,
        mean_is_primary=study is not None and study.evaluation.primary == "mean",
        also=tuple(arm for arm in also if arm in arms and arm != baseline),
        factors={(run.arm, run.recipe): run.factors for run in finished},
    )
    for place, cell in cells.items():
        base_group = made.base_of(place[0])
        base = cells.get((base_group, place[1])) if base_group else None
        if base is not None and cell.values and base.values:
            shared = [name for name in cell.values if name in base.values]
            if len(shared) < max(len(cell.values), len(base.values)):
                notes.append(_other_questions(_name(groups, place[0]), place, cell, base, shared))
    if 1 < len(averaged) < len(tasks):
        notes.append(f"the mean is over {', '.join(averaged)}: no group counts with its members")
    return _compared(replace(made, notes=tuple(notes)))


def baseline_of(arms: Sequence[str], folder: Path) -> str:
    """Return the arm that others are compared with where nobody says which.

    It is the one that the study declares, else the arm called answer-only, else the first.
    """
    declared = _declared(study_if_any(folder))[0]
    chosen = [arm for arm in arms if arm == declared]
    chosen += [arm for arm in arms if "answer-only" in arm]
    return next(iter([*chosen, *arms]), "")


def _declared(study: Study | None) -> tuple[str | None, Sequence[str]]:
    """Return the baseline that a study declares, and further arms to compare all with."""
    return (study.compare.baseline, study.compare.also) if study else (None, ())


def _compared(table: Matrix) -> Matrix:
    """Return the table with every arm compared with the baseline, p-values adjusted.

    All comparisons are adjusted together; where the mean is the primary result, means among
    themselves and tasks among themselves.
    """
    on_tasks: dict[Place, Difference] = {}
    for group, task in table.cells:
        base = table.base_of(group)
        found = table.between(base, group, task) if base else None
        if found is not None:
            on_tasks[group, task] = found
    means = dict(_mean_differences(table, table.baseline))
    with_others = [
        found
        for other in table.also
        for group, task in table.cells
        if group[1] != table.baseline and (base := table.base_of(group, other))
        if (found := table.between(base, group, task)) is not None
    ]
    if table.mean_is_primary:
        both = adjusted([*on_tasks.values(), *with_others])
        of_means = adjusted(list(means.values()))
    else:
        every = adjusted([*on_tasks.values(), *with_others, *means.values()])
        count = len(on_tasks) + len(with_others)
        both, of_means = every[:count], every[count:]
    marked = dict(zip(on_tasks, both, strict=False))
    cells = {
        place: replace(cell, difference=marked.get(place)) for place, cell in table.cells.items()
    }
    return replace(
        table,
        cells=cells,
        mean_differences=dict(zip(means, of_means, strict=True)),
        also_differences=tuple(both[len(on_tasks) :]),
    )


def _mean_differences(table: Matrix, baseline: str) -> Iterator[tuple[Group, Difference]]:
    """Yield each arm's mean over tasks against the baseline's, where all runs have all tasks."""
    if len(table.averaged) < 2:
        return
    of_groups = {
        group: [table.runs[group, task] for task in table.averaged]
        for group in table.groups
        if all((group, task) in table.runs for task in table.averaged)
    }
    for group, tasks in of_groups.items():
        base = table.base_of(group, baseline)
        if base is None or base not in of_groups:
            continue
        recipe = base[2] if group[2] == UNTRAINED else group[2]
        stratum = pooled_runs(
            arm for one, arm in of_groups.items() if (one[0], one[2]) == (group[0], recipe)
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


def _name(groups: Sequence[Group], group: Group) -> str:
    trained = [one for one in groups if one[2] != UNTRAINED] or list(groups)
    several = [len({one[0] for one in groups}) > 1, len({one[1] for one in groups}) > 1]
    several.append(len({one[2] for one in trained}) > 1 and group[2] != UNTRAINED)
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
    spread = statistics.stdev(run.score.value for run in runs)
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
        questions = min(run.questions for run in runs)
        return Cell(interval, questions, len(runs), spread=spread), [note]
    counts = [len(one) for one in values]
    notes = []
    if len(shared) < max(counts):
        notes.append(
            f"its seeds answered {', '.join(map(str, counts))} questions; pooled over the "
            f"{len(shared)} that all of them answered"
        )
    means = {name: statistics.fmean(one[name] for one in values) for name in shared}
    spread = statistics.stdev(statistics.fmean(one[name] for name in shared) for one in values)
    answers = len(runs) * max(run.repeats for run in runs)
    score = score_of(arm, stratum, answers)
    return Cell(score, len(shared), len(runs), values=means, spread=spread), notes


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
