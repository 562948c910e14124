"""The tables and figures of a study's page, computed from its answers and facts."""

from __future__ import annotations

import csv
import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Any

from draw_report import picture

from cotdistill.closeness.measures import correlation
from cotdistill.results.arm_comparisons import (
    ArmRuns,
    Difference,
    adjusted,
    difference,
    points,
    pooled_runs,
    score_of,
)
from cotdistill.stats.run_variance import Stratum
from cotdistill.tables import Table, duration, markdown_of

UNTRAINED = "untouched"


@dataclass(frozen=True)
class Answer:
    """One answer: which question (a hash), of which run, whether correct, its length in tokens."""

    question: str
    task: str
    arm: str
    seed: str
    correct: int
    tokens: int
    truncated: int

    @property
    def of(self) -> tuple[str, ...]:
        """What it is the answer to, and whose."""
        return (self.task, self.arm, self.seed, self.question)


def write_answers(path: Path, rows: Iterable[Answer]) -> None:
    """Write answers as CSV, in the order of task, arm, seed and question."""
    ordered = sorted(rows, key=lambda row: (row.task, row.arm, row.seed, row.question))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(
            stream, [field.name for field in fields(Answer)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(map(asdict, ordered))


def read_answers(path: Path) -> list[Answer]:
    """Return the answers of a table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return [
            Answer(
                row["question"], row["task"], row["arm"], row["seed"],
                int(row["correct"]), int(row["tokens"]), int(row["truncated"]),
            )
            for row in csv.DictReader(stream)
        ]  # fmt: skip


@dataclass(frozen=True)
class Study:
    """The answers of a study as arms by task, with the run variance of each task."""

    answers: Sequence[Answer]

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of their names."""
        return sorted({row.task for row in self.answers})

    def arms(self, task: str) -> list[str]:
        """Return the arms that were asked a task: the untrained student first."""
        asked = {row.arm for row in self.answers if row.task == task}
        return sorted(asked, key=lambda arm: (arm != UNTRAINED, arm))

    def rows(self, task: str, arm: str) -> list[Answer]:
        """Return the answers of one arm on one task."""
        return [row for row in self.answers if (row.task, row.arm) == (task, arm)]

    def runs(self, task: str, arm: str) -> ArmRuns:
        """Return the scores of one arm on one task, by seed and question."""
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        for row in self.rows(task, arm):
            scores[f"{arm} {row.seed}".strip()][row.question] = float(row.correct)
        return ArmRuns(arm, task, scores, trained=arm != UNTRAINED)

    def stratum(self, task: str) -> Stratum:
        """Return how far runs of one arm vary on a task, pooled over the arms."""
        return pooled_runs([[self.runs(task, arm)] for arm in self.arms(task)])

    def difference(self, task: str, first: str, second: str) -> Difference:
        """Compare the second arm with the first on a task."""
        stratum = self.stratum(task)
        one, two = self.runs(task, first), self.runs(task, second)
        found = difference([one], [two], stratum, names=(first, second))
        assert found is not None, f"{first}, {second}: no common question of {task}"
        return found


def score_table(study: Study) -> Table:
    """Return a row a task and arm: score with its interval, each seed's count, lengths."""
    rows = []
    for task in study.tasks:
        stratum = study.stratum(task)
        for arm in study.arms(task):
            runs, answers = study.runs(task, arm), study.rows(task, arm)
            interval = score_of(runs, stratum)
            right = [f"{sum(one.values()):.0f}" for one in runs.scores.values()]
            rows.append(
                (
                    task, arm, str(len(runs.scores)), str(len(runs.shared())), ", ".join(right),
                    f"{100 * interval.value:.1f}",
                    f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]",
                    f"{statistics.fmean(row.tokens for row in answers):.0f}",
                    f"{100 * statistics.fmean(row.truncated for row in answers):.1f}",
                )
            )  # fmt: skip
    columns = (
        "task", "arm", "runs", "questions", "correct, by run", "score %", "95 % interval",
        "tokens an answer", "truncated %",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def comparisons(study: Study, baselines: Sequence[str]) -> list[Difference]:
    """Return the comparisons that a study declares, adjusted together: each arm with each baseline.

    `report` compares the mean over tasks with the first baseline too, and adjusts over these as
    well.
    """
    return adjusted(
        [
            study.difference(task, base, arm)
            for task in study.tasks
            for place, base in enumerate(baselines)
            for arm in study.arms(task)
            if arm not in baselines[: place + 1]
        ]
    )


def other_pairs(study: Study, baselines: Sequence[str]) -> list[Difference]:
    """Return the comparisons of arms that a study does not declare; nothing is adjusted."""
    return [
        study.difference(task, *pair)
        for task in study.tasks
        for pair in combinations([arm for arm in study.arms(task) if arm not in baselines], 2)
    ]


def difference_table(found: Sequence[Difference]) -> Table:
    """Return a row a comparison: points, interval, p, what could be seen, and what to mind."""
    rows = []
    for one in found:
        compared, bounds = one.compared, one.difference
        p_values = [one.p, *([one.p_holm] if one.p_holm is not None else [])]
        rows.append(
            (
                one.task, f"{one.second} - {one.first}", points(bounds.value),
                f"[{points(bounds.low)}, {points(bounds.high)}]",
                *("" if p is None else f"{p:.3f}" for p in p_values),
                f"{100 * compared.visible:.0f}", "; ".join(one.cautions),
            )
        )  # fmt: skip
    holm = ("p Holm",) if any(one.p_holm is not None for one in found) else ()
    columns = ("task", "arms", "points", "95 % interval", "p", *holm, "could be seen from", "mind")
    return Table(columns, tuple(rows))


def cost_table(facts: dict[str, Any]) -> Table:
    """Return a row a stage: jobs, wall time, shortest and longest job that was not resumed."""
    by_stage: dict[str, list[float | None]] = defaultdict(list)
    for job, seconds in facts["jobs"].items():
        by_stage[job.partition(" ")[0]].append(seconds)
    rows = []
    for stage, times in by_stage.items():
        whole = [seconds for seconds in times if seconds is not None]
        rows.append(
            (
                stage, str(len(times)), str(len(times) - len(whole)), duration(sum(whole)),
                duration(min(whole, default=0)), duration(max(whole, default=0)),
            )
        )  # fmt: skip
    columns = ("stage", "jobs", "resumed", "wall time of the others", "shortest", "longest")
    return Table(columns, tuple(rows))


_NEAR = 0.2
_EVERY = 300
"""Seconds between two estimates in the table: `run` writes more of them."""


def time_left_table(facts: dict[str, Any]) -> Table:
    """Return what `run` said is left, and what was: about every five minutes, and the largest miss.

    Estimates of the last two minutes are not counted: they are said in seconds.
    """
    estimates = [one for one in facts["estimates"] if one["took"] >= 120]
    rows, before = [], math.inf
    for one in estimates:
        if before - one["took"] >= _EVERY:
            before = one["took"]
            rows.append(
                (str(one["scored"]), duration(one["estimate"]), duration(before), _off(one))
            )
    later = [one for one in estimates if one["scored"] >= 2]
    if later:
        near = sum(abs(one["estimate"] / one["took"] - 1) <= _NEAR for one in later)
        rows.append(
            (f"off by 20 % at most, from the second on: {near} of {len(later)}", "", "", "")
        )
        worst = max(later, key=lambda one: abs(one["estimate"] / one["took"] - 1))
        name = "the largest miss from the second on"
        rows.append((name, duration(worst["estimate"]), duration(worst["took"]), _off(worst)))
    return Table(("runs scored", "left: said", "took", "off by"), tuple(rows))


def _off(one: dict[str, Any]) -> str:
    return f"{100 * (one['estimate'] / one['took'] - 1):+.0f} %"


def training_table(facts: dict[str, Any]) -> Table:
    """Return a row a training: tokens that `plan` expected and the trainer counted, loss, speed."""
    rows = []
    for run, trained in facts["trained"].items():
        planned, counted = facts["planned"].get(run), trained["tokens"]
        tokens = ("unknown", "unknown", "")
        if planned and counted:
            off = f"{100 * (planned - counted) / counted:+.0f} %"
            tokens = (f"{planned:,.0f}", f"{counted:,}", off)
        seconds = f"{trained['seconds']:,.0f}"
        rows.append((run, *tokens, f"{trained['last_loss']:.2f}", seconds))
    columns = ("run", "tokens planned", "counted", "off by", "last loss", "seconds")
    return Table(columns, tuple(rows))


def closeness_table(facts: dict[str, Any], study: Study) -> Table:
    """Return each arm's closeness, with intervals over questions, next to its scores.

    The last rows are rank correlations of the arms' measures with their scores on each task.
    """
    rows = []
    (measured,) = facts["closeness"].values()
    arms = {
        arm: measures
        for arm, measures in measured["arms"].items()
        if any(study.rows(task, arm) for task in study.tasks)
    }
    scores = {
        task: [score_of(study.runs(task, arm), study.stratum(task)).value for arm in arms]
        for task in study.tasks
        if all(study.rows(task, arm) for arm in arms)
    }
    for place, (arm, measures) in enumerate(arms.items()):
        cells = [
            f"{value:.{2 if value < 100 else 0}f} [{low:.2f}, {high:.2f}]"
            for value, low, high in measures.values()
        ]
        rows.append((arm, *cells, *(f"{100 * values[place]:.1f}" for values in scores.values())))
    names = list(next(iter(arms.values())))
    values = {name: [measures[name][0] for measures in arms.values()] for name in names}
    for task, reached in scores.items():
        found = [correlation(values[name], reached, values["tokens"]).rank for name in names]
        cells = ["-" if one is None else f"{one:+.2f}" for one in found]
        rows.append((f"rank correlation with {task}", *cells, *("" for _ in scores)))
    return Table(("arm", *names, *(f"{task} %" for task in scores)), tuple(rows))


def power_table(study: Study, facts: dict[str, Any]) -> Table:
    """Return what `plan` said a study of these sizes can see, next to what it could.

    Units: points. The run sd is that between runs of one arm with its 95 % range; the last column
    holds the comparisons with the first baseline, likely to be seen 4 times in 5.
    """
    rows = []
    for task in study.tasks:
        planned = facts["detectable"][task]["1"]
        pooled = study.stratum(task).pooled
        sd = "" if pooled is None else f"{100 * pooled.sd:.1f}"
        if pooled is not None:
            low, high = pooled.sd_range()
            sd += f" [{100 * low:.1f}, {100 * high:.1f}]"
        found = comparisons(study, facts["baselines"][:1])
        seen = [100 * one.compared.visible for one in found if one.task == task]
        rows.append((task, f"{planned:.1f}", sd, f"{min(seen):.0f} to {max(seen):.0f}"))
    columns = ("task", "plan: seen from, run sd 1", "run sd", "could be seen from")
    return Table(columns, tuple(rows))


def start_table(facts: dict[str, Any]) -> Table:
    """Return a row a start of `run`: how it ended, wall time, processor time."""
    rows = [
        (
            str(number), "killed" if one["killed"] else "finished", duration(one["seconds"]),
            "" if one["cpu"] is None else duration(one["cpu"]),
        )
        for number, one in enumerate(facts["starts"], start=1)
    ]  # fmt: skip
    return Table(("start", "ended", "wall time", "processor time"), tuple(rows))


def tables_of(folder: Path) -> dict[str, Table]:
    """Return every table of a study's page, by the name that the page has it under."""
    study = Study(read_answers(folder / "answers.csv"))
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    hashes = tuple((name, digest[:16]) for name, digest in facts["sha256"].items())
    versions = tuple((name, str(version)) for name, version in sorted(facts["versions"].items()))
    found = {
        "scores": score_table(study),
        "differences": difference_table(comparisons(study, facts["baselines"])),
        "pairs": difference_table(other_pairs(study, facts["baselines"])),
        "cost": cost_table(facts),
        "versions": Table(("part", "version"), versions),
        "hashes": Table(("file", "SHA-256, first 16 digits"), hashes),
    }
    if "detectable" in facts:
        found |= {"power": power_table(study, facts), "trained": training_table(facts)}
    if "starts" in facts:
        found |= {"left": time_left_table(facts), "starts": start_table(facts)}
    if facts["closeness"]:
        found["closeness"] = closeness_table(facts, study)
    return found


def figures_of(folder: Path) -> dict[str, str]:
    """Return a figure of the scores of each task, by the name of its file."""
    study = Study(read_answers(folder / "answers.csv"))
    found = {}
    for task in study.tasks:
        stratum = study.stratum(task)
        scores = [(arm, score_of(study.runs(task, arm), stratum)) for arm in study.arms(task)]
        bars = [
            {"arm": arm, "score": str(one.value), "low": str(one.low), "high": str(one.high)}
            for arm, one in scores
        ]
        count = len(study.runs(task, UNTRAINED).shared())
        title = f"{task}, {count} questions: correct answers, with 95 % confidence intervals"
        most = min(1.0, math.ceil(10 * max(one.high for _, one in scores)) / 10)
        found[f"{task}.svg"] = picture(bars, title, most=most)
    return found


def with_tables(page: str, tables: dict[str, Table]) -> str:
    """Return a page with the tables that it has a place for: `<!-- NAME -->`, `<!-- /NAME -->`."""
    for name in re.findall(r"^<!-- ([a-z]+) -->$", page, re.MULTILINE):
        first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = page.partition(first)
        _, closed, after = rest.partition(last)
        if not closed or name not in tables:
            known = ", ".join(sorted(tables))
            raise SystemExit(f"evidence: {first.strip()} needs an end, {last}, and one of {known}")
        page = f"{before}{first}\n{markdown_of(tables[name]).strip()}\n\n{last}{after}"
    return page
