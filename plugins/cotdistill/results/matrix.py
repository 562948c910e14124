"""The table of the papers: students × arms × tasks, seeds pooled, marked against a baseline arm.

Seeds answer the same questions, so a question's score is the mean over seeds; the interval and the
paired test then take the question as their unit, whatever the number of seeds and answers.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from cotdistill.errors import DataError, Fault, did_you_mean
from cotdistill.results.collect import Results, Score
from cotdistill.results.questions import joined
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.stats.confidence import Interval, score_interval
from cotdistill.stats.significance import holm, paired

Group = tuple[str, str, str]  # student, arm, recipe
Place = tuple[Group, str]  # a group on a task


@dataclass(frozen=True)
class Cell:
    """One group of runs on one task; `p` is adjusted by Holm over all cells that have a baseline.

    `better` says which way a difference from the baseline goes, None where there is none to show.
    `values` holds the score of each question that all its seeds answered, by a name that is the
    same in all cells of the task; empty where samples are not there.
    """

    score: Interval
    questions: int
    seeds: int
    p: float | None = None
    better: bool | None = None
    values: Mapping[str, float] = field(default_factory=dict, repr=False)

    @property
    def mark(self) -> str:
        """▲ or ▼ where the difference from the baseline is significant after Holm, else nothing."""
        if self.p is None or self.p >= 0.05:
            return ""
        return "▲" if self.better else "▼"


@dataclass(frozen=True)
class Matrix:
    """All cells, with the row and column order of the study and the arm that is compared with.

    `averaged` names the tasks and groups of tasks that a mean is taken over: no group together with
    its members. `unequal_questions` are the tasks whose runs did not all answer the same ones;
    `notes` say so of each arm.
    """

    groups: tuple[Group, ...]
    tasks: tuple[str, ...]
    cells: Mapping[Place, Cell]
    baseline: str
    source: VerdictSource = "run"
    averaged: tuple[str, ...] = ()
    unequal_questions: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

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
    scores: dict[Place, list[Score]] = {}
    for run in finished:
        for score in run.scores:
            scores.setdefault(((run.student, run.arm, run.recipe), score.task), []).append(score)
    values = {place: one for task in tasks for place, one in _values_of_task(scores, task)}
    asked: dict[str, set[frozenset[str]]] = {}
    for place, runs_of_place in values.items():
        asked.setdefault(place[1], set()).update(map(frozenset, runs_of_place))
    unequal = frozenset(task for task, sets in asked.items() if len(sets) > 1)
    pooled: dict[Place, Cell] = {}
    notes: list[str] = []
    for place, runs in scores.items():
        pooled[place], noted = _pool(runs, values[place])
        notes += [f"{_name(groups, place[0])} on {place[1]}: {note}" for note in noted]
    tested: dict[Place, tuple[float, float]] = {}
    for place, cell in pooled.items():
        (student, arm, recipe), task = place
        base = pooled.get(((student, baseline, recipe), task))
        if arm == baseline or base is None or not cell.values or not base.values:
            continue
        shared = [name for name in cell.values if name in base.values]
        if len(shared) < max(len(cell.values), len(base.values)):
            notes.append(_other_questions(_name(groups, place[0]), place, cell, base, shared))
        if shared:
            gaps = [cell.values[name] - base.values[name] for name in shared]
            tested[place] = paired(gaps).p, statistics.fmean(gaps)
    adjusted = dict(zip(tested, holm([p for p, _ in tested.values()]), strict=True))
    cells = {
        place: Cell(
            cell.score,
            cell.questions,
            cell.seeds,
            adjusted.get(place),
            tested[place][1] > 0 if place in tested else None,
            cell.values,
        )
        for place, cell in pooled.items()
    }
    averaged = averaged_tasks(tasks, results.members)
    if 1 < len(averaged) < len(tasks):
        notes.append(f"the mean is over {', '.join(averaged)}: no group counts with its members")
    return Matrix(groups, tasks, cells, baseline, results.source, averaged, unequal, tuple(notes))


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


def _values_of_task(
    scores: Mapping[Place, Sequence[Score]], task: str
) -> Iterator[tuple[Place, list[dict[str, float]]]]:
    """Yield the scores of each run by question, for the places of one task.

    A question has the same name in all runs of the task; a run without samples has no questions.
    """
    places = [place for place in scores if place[1] == task]
    tables = [
        score.table.values if score.table else {} for place in places for score in scores[place]
    ]
    named = iter(joined(tables))
    for place in places:
        yield place, [next(named) for _ in scores[place]]


def _pool(runs: Sequence[Score], values: Sequence[Mapping[str, float]]) -> tuple[Cell, list[str]]:
    """Pool the seeds of a group on a task over the questions that all of them answered."""
    if len(runs) == 1:
        return Cell(runs[0].score, runs[0].questions, 1, values=values[0]), []
    shared = [name for name in values[0] if all(name in one for one in values)]
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
    score = score_interval(list(means.values()), answers=answers)
    return Cell(score, len(shared), len(runs), values=means), notes


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
        rf"{_tex(table.baseline)} (paired test, Holm, $p < 0.05$).}}",
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
        cells += [f"{100 * mean:.1f}" if mean is not None else "--"] if means else []
        lines.append(" & ".join([*map(_tex, names), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _tex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mark = {"▲": r"\uparrow", "▼": r"\downarrow", "": ""}[cell.mark]
    value, low, high = (
        f"{100 * bound:.1f}" for bound in (cell.score.value, cell.score.low, cell.score.high)
    )
    bounds = "" if cell.score.low != cell.score.low else f"^{{{high}}}_{{{low}}}"
    return f"${value}{bounds}{mark}$"


def _tex(text: str) -> str:
    escapes = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    escapes |= {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(escapes.get(character, character) for character in text)
