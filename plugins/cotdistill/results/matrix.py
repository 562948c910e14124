"""The table of the papers: students × arms × tasks, seeds pooled, marked against a baseline arm.

Seeds answer the same questions, so a question's score is the mean over seeds; the interval and the
paired test then take the question as their unit, whatever the number of seeds and answers.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cotdistill.results.collect import Results
from cotdistill.results.question_scores import question_facts
from cotdistill.results.verdict_files import Source
from cotdistill.stats.confidence import Interval, score_interval
from cotdistill.stats.significance import holm, paired

Group = tuple[str, str, str]  # student, arm, recipe


@dataclass(frozen=True)
class Cell:
    """One group of runs on one task; `p` is adjusted by Holm over all cells that have a baseline.

    `better` says which way a difference from the baseline goes, None where there is none to show.
    `values` holds the score of each question by its identity; empty where samples are not there.
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
    """All cells, with the row and column order of the study and the arm that is compared with."""

    groups: tuple[Group, ...]
    tasks: tuple[str, ...]
    cells: dict[tuple[Group, str], Cell]
    baseline: str
    source: Source = "run"

    @cached_property
    def several_recipes(self) -> bool:
        """Whether a row must name its recipe."""
        return len({recipe for _, _, recipe in self.groups}) > 1

    def mean(self, group: Group) -> float | None:
        """Return the unweighted mean over tasks, as the papers print it, where all are there."""
        held = [self.cells.get((group, task)) for task in self.tasks]
        if len(held) < 2 or None in held:
            return None
        return statistics.fmean(cell.score.value for cell in held if cell is not None)


def matrix(results: Results, baseline: str | None = None) -> Matrix:
    """Pool seeds and test every arm against the baseline arm of the same student and recipe.

    `baseline` defaults to the arm called answer-only, or the first of the study.
    """
    finished = [run for run in results.runs if run.finished]
    groups = tuple(dict.fromkeys((run.student, run.arm, run.recipe) for run in finished))
    tasks = tuple(dict.fromkeys(score.task for run in finished for score in run.scores))
    arms = list(dict.fromkeys(arm for _, arm, _ in groups))
    if baseline is None:
        baseline = next((arm for arm in arms if "answer-only" in arm), arms[0] if arms else "")
    pooled: dict[tuple[Group, str], list[dict[str, float]]] = {}
    fallback: dict[tuple[Group, str], Cell] = {}
    for run in finished:
        group = (run.student, run.arm, run.recipe)
        for score in run.scores:
            if score.samples is None:
                fallback[group, score.task] = Cell(score.score, score.questions, 1)
                continue
            facts = question_facts(score.samples, results.source)
            one = {key: fact.value for key, fact in facts.items()}
            pooled.setdefault((group, score.task), []).append(one)
    values = {place: _mean_by_question(held) for place, held in pooled.items()}
    tested = {
        place: _against(values[place], values[other])
        for place in values
        if (other := ((place[0][0], baseline, place[0][2]), place[1])) in values
        and place[0][1] != baseline
    }
    adjusted = dict(zip(tested, holm([p for p, _ in tested.values()]), strict=True))
    cells = dict(fallback)
    for place, held in values.items():
        better = tested[place][1] > 0 if place in tested else None
        count = len(pooled[place])
        cells[place] = Cell(
            score_interval(list(held.values())),
            len(held),
            count,
            adjusted.get(place),
            better,
            held,
        )
    return Matrix(groups, tasks, cells, baseline, results.source)


def group_name(held: Matrix, group: Group) -> str:
    """Return the shortest name that tells a group from the others of the table."""
    several = [len({one[place] for one in held.groups}) > 1 for place in range(3)]
    parts = [group[place] for place in range(3) if several[place]]
    return " · ".join(parts) or group[1]


def file_name(name: str) -> str:
    """Return a name that any disk takes.

    >>> file_name("a/B c")
    'a-b-c'
    """
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def _mean_by_question(held: list[dict[str, float]]) -> dict[str, float]:
    shared = [key for key in held[0] if all(key in one for one in held)]
    return {key: statistics.fmean(one[key] for one in held) for key in shared}


def _against(mine: dict[str, float], base: dict[str, float]) -> tuple[float, float]:
    gaps = [mine[key] - base[key] for key in mine if key in base]
    if not gaps:
        return 1.0, 0.0
    return paired(gaps).p, statistics.fmean(gaps)


def as_latex(held: Matrix, caption: str) -> str:
    r"""Return the table for a paper (needs booktabs): score, bounds below and above, marks."""
    heads = ["student", "arm", *(["recipe"] if held.several_recipes else []), *held.tasks]
    means = any(held.mean(group) is not None for group in held.groups)
    columns = "l" * (len(heads) - len(held.tasks)) + "r" * (len(held.tasks) + means)
    verdicts = "" if held.source == "run" else f" ({held.source} verdicts)"
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}{verdicts}. Score in \%, with 95\,\% interval; $\uparrow$ and "
        r"$\downarrow$ differ from "
        rf"{_tex(held.baseline)} (paired test, Holm, $p < 0.05$).}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, heads)) + (" & mean" if means else "") + r" \\",
        r"\midrule",
    ]
    student = None
    for group in held.groups:
        if student not in (None, group[0]):
            lines.append(r"\midrule")
        names = [group[0] if group[0] != student else "", group[1]]
        names += [group[2]] if held.several_recipes else []
        student = group[0]
        cells = [_tex_cell(held.cells.get((group, task))) for task in held.tasks]
        mean = held.mean(group)
        cells += [f"{100 * mean:.1f}" if mean is not None else "--"] if means else []
        lines.append(" & ".join([*map(_tex, names), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _tex_cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    mark = {"▲": r"\uparrow", "▼": r"\downarrow", "": ""}[cell.mark]
    low, high = 100 * cell.score.low, 100 * cell.score.high
    return rf"${100 * cell.score.value:.1f}^{{{high:.1f}}}_{{{low:.1f}}}{mark}$"


def _tex(text: str) -> str:
    signs = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    signs |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    return "".join(signs.get(sign, sign) for sign in text)
