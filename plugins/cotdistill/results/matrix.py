"""The table of the papers: students × arms × tasks, seeds pooled, marked against a baseline.

Seeds answer the same questions, so a question's score is the mean over seeds. How far runs of one
arm vary is pooled over the arms of a student, recipe and task, and counts in every difference.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from cotdistill.results.arm_comparisons import (
    ArmRuns,
    Difference,
    adjusted,
    difference,
    pooled_runs,
    score_of,
)
from cotdistill.results.doubts import one_draw, other_prompts, same_responses
from cotdistill.results.groups import (
    ARM,
    UNTRAINED,
    Group,
    bases_of,
    default_selection,
    kind_of,
    name_of,
    selection_of,
    shown,
)
from cotdistill.results.question_scores import QuestionScores
from cotdistill.results.questions import joined
from cotdistill.results.run_results import Results, RunResult, Score
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.manifest import Factor
from cotdistill.stats.confidence import Interval
from cotdistill.stats.run_variance import Stratum
from cotdistill.studies.load import study_if_any

Place = tuple[Group, str]  # a group on a task
EVERY_RECIPE = ""  # in place of a recipe: the arms of all recipes of a student
_NOTHING = Stratum({})


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
    """All cells, with the row and column order of the study and what is compared with.

    `baseline` says in words what that is, and `compared` whether arms, recipes or students are
    compared; `bases` is the group that each is compared with, where there is one. `averaged` names
    the tasks and groups of tasks that a mean is taken over: no group together with its members.
    `unequal_questions` are the tasks whose runs did not all answer the same ones; `notes` say so of
    each arm. `mean_differences` are those of the mean from the baseline's. `runs` holds every run's
    scores by question and `strata` the run variance, by student, recipe (or `EVERY_RECIPE`) and
    task; `run_sd` is the declared one, a fraction. `mean_is_primary` says that means and tasks are
    adjusted apart. `also` are further arms that every arm is compared with, `also_differences`
    those comparisons. `factors` are those of each arm and recipe.
    """

    groups: tuple[Group, ...]
    tasks: tuple[str, ...]
    cells: Mapping[Place, Cell]
    baseline: str
    source: VerdictSource = "run"
    compared: str = ARM
    bases: Mapping[Group, Group] = field(default_factory=dict)
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
    def across_recipes(self) -> bool:
        """Whether recipes of one student are compared, whose runs are pooled then."""
        recipes = [{group[2], base[2]} - {UNTRAINED} for group, base in self.bases.items()]
        return any(len(both) > 1 for both in recipes)

    @cached_property
    def several_students(self) -> bool:
        """Whether a row must name its student."""
        return len({student for student, _, _ in self.groups}) > 1

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

    def stratum(self, student: str, recipes: Iterable[str], task: str) -> Stratum:
        """Return a student's run variance on a task: of one recipe, else pooled over all of them.

        The same stratum is the same object, since a test counts each once.
        """
        trained = {recipe for recipe in recipes if recipe != UNTRAINED} or {UNTRAINED}
        recipe = next(iter(trained)) if len(trained) == 1 else EVERY_RECIPE
        return self.strata.get((student, recipe, task), _NOTHING)

    def between(self, first: Group, second: Group, task: str) -> Difference | None:
        """Compare two groups on a task, None where they share nothing.

        Recipes of one student have one run variance, students have one each.
        """
        one, two = self.runs.get((first, task)), self.runs.get((second, task))
        if one is None or two is None:
            return None
        strata = [self.stratum(group[0], (first[2], second[2]), task) for group in (first, second)]
        names = (group_name(self, first), group_name(self, second))
        return difference([one], [two], *strata, names=names, run_sd=self.run_sd)


def matrix(results: Results, baseline: str | None = None) -> Matrix:
    """Pool seeds and test every group against its baseline: an arm's, or a recipe's or student's.

    `baseline` is an arm, a recipe, a student, or factors as `level=1`; it defaults to what the
    study declares, the arm called answer-only, or the first of the study.

    Raises:
        DataError: no finished run is of the baseline that was asked for.
    """
    finished = [run for run in results.runs if run.finished]
    groups = tuple(dict.fromkeys((run.student, run.arm, run.recipe) for run in finished))
    tasks = tuple(dict.fromkeys(score.task for run in finished for score in run.scores))
    factors = {(run.arm, run.recipe): run.factors for run in finished}
    chosen = (
        default_selection(groups, factors, results.folder)
        if baseline is None
        else selection_of(baseline, groups, factors, "finished")
    )
    study = study_if_any(results.folder)
    run_sd = study.evaluation.run_sd if study else None
    untrained = {(run.student, run.arm, run.recipe) for run in finished if not run.trained}
    scores: dict[Place, dict[str, Score]] = {}
    for run in finished:
        group = (run.student, run.arm, run.recipe)
        for score in run.scores:
            scores.setdefault((group, score.task), {})[run.run] = score
    pooled_names = names_in_strata(groups)
    runs = {
        place: replace(one, arm=pooled_names[place[0]], trained=place[0] not in untrained)
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
        notes += [f"{name_of(groups, place[0])} on {task}: {note}" for note in noted]
    notes += _doubts(finished)
    averaged = averaged_tasks(tasks, results.members)
    named = {arm for _, arm, _ in groups} - {str(chosen.get(ARM))}
    made = Matrix(
        groups=groups,
        tasks=tasks,
        cells=cells,
        baseline=shown(chosen),
        source=results.source,
        compared=kind_of(chosen),
        bases=bases_of(groups, factors, chosen),
        averaged=averaged,
        unequal_questions=unequal,
        runs=runs,
        strata=strata,
        run_sd=None if run_sd is None else run_sd / 100,
        mean_is_primary=study is not None and study.evaluation.primary == "mean",
        also=tuple(arm for arm in (study.compare.also if study else ()) if arm in named),
        factors=factors,
    )
    for group, base in made.bases.items():
        for task in tasks:
            mine, its = cells.get((group, task)), cells.get((base, task))
            if mine is not None and its is not None and mine.values and its.values:
                shared = [name for name in mine.values if name in its.values]
                if len(shared) < max(len(mine.values), len(its.values)):
                    name = name_of(groups, group)
                    notes.append(_other_questions(name, task, mine, its, shared))
    wanted = study.compare.baseline if study and baseline is None else None
    words = wanted if isinstance(wanted, str) else shown(wanted or {})
    is_other = made.baseline != words and not made.baseline.endswith(f"/{words}")
    if wanted and made.baseline and is_other:
        notes.append(f"{words}, the study's baseline, has no score: {made.baseline} stands in")
    if 1 < len(averaged) < len(tasks):
        notes.append(f"the mean is over {', '.join(averaged)}: no group counts with its members")
    return _compared(replace(made, notes=tuple(notes)))


def _doubts(runs: Sequence[RunResult]) -> Iterator[str]:
    """Yield what makes scores of one student doubtful; a checkpoint repeats its training's end."""
    tables: dict[tuple[str, str], dict[str, QuestionScores]] = {}
    for run in runs:
        for score in run.scores if "step" not in run.factors else ():
            if score.table is not None:
                tables.setdefault((run.student, score.task), {})[run.run] = score.table
    trained = Counter((run.student, run.arm, run.recipe) for run in runs if run.shares_start)
    yield from one_draw(student for (student, _, _), seeds in trained.items() if seeds > 1)
    for of_task in tables.values():
        yield from other_prompts(of_task)
        yield from same_responses(of_task)


def names_in_strata(groups: Sequence[Group]) -> dict[Group, str]:
    """Return the name of each group's arm among those of its student, whatever the recipe."""
    several = len({recipe for _, _, recipe in groups if recipe != UNTRAINED}) > 1
    return {
        group: f"{group[1]} · {group[2]}" if several and group[2] != UNTRAINED else group[1]
        for group in groups
    }


def _compared(table: Matrix) -> Matrix:
    """Return the table with every group compared with its baseline, p-values adjusted.

    All comparisons are adjusted together; where the mean is the primary result, means among
    themselves and tasks among themselves.
    """
    on_tasks: dict[Place, Difference] = {}
    for group, task in table.cells:
        base = table.bases.get(group)
        found = table.between(base, group, task) if base else None
        if found is not None:
            on_tasks[group, task] = found
    means = dict(_mean_differences(table))
    baselines = set(table.bases.values())
    with_others = [
        found
        for other in table.also
        for group, base in bases_of(table.groups, table.factors, {ARM: other}).items()
        if group not in baselines and base != table.bases.get(group)
        for task in table.tasks
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


def _mean_differences(table: Matrix) -> Iterator[tuple[Group, Difference]]:
    """Yield each group's mean over tasks against its baseline's, where all runs have all tasks."""
    if len(table.averaged) < 2:
        return
    of_groups = {
        group: [table.runs[group, task] for task in table.averaged]
        for group in table.groups
        if all((group, task) in table.runs for task in table.averaged)
    }
    strata: dict[tuple[str, frozenset[str]], Stratum] = {}
    for group, tasks in of_groups.items():
        base = table.bases.get(group)
        if base is None or base not in of_groups:
            continue
        recipes = frozenset({base[2], group[2]} - {UNTRAINED})
        if len(recipes) > 1:
            recipes = frozenset(recipe for _, _, recipe in table.groups)
        for student in (base[0], group[0]):
            if (student, recipes) not in strata:
                strata[student, recipes] = pooled_runs(
                    arm for one, arm in of_groups.items() if one[0] == student and one[2] in recipes
                )
        both = [strata[student, recipes] for student in (base[0], group[0])]
        names = (group_name(table, base), group_name(table, group))
        found = difference(of_groups[base], tasks, *both, names=names, run_sd=table.run_sd)
        if found is not None:
            yield group, found


def _strata(runs: Mapping[Place, ArmRuns]) -> dict[tuple[str, str, str], Stratum]:
    """Return the run variance of each student, recipe and task, and of all recipes together."""
    arms: dict[tuple[str, str, str], list[list[ArmRuns]]] = {}
    for ((student, _, recipe), task), one in runs.items():
        for each in (recipe, EVERY_RECIPE):
            arms.setdefault((student, each, task), []).append([one])
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
    return name_of(table.groups, group)


def file_name(name: str) -> str:
    """Return a name that any disk takes.

    >>> file_name("a/B c")
    'a-b-c'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


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


def _other_questions(name: str, task: str, cell: Cell, base: Cell, shared: Sequence[str]) -> str:
    """Say that an arm and its baseline did not answer the same questions, and how they compare."""
    note = (
        f"{name} on {task}: answered other questions than the baseline "
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
