"""The evidence of a study: a table of its answers without any text, and every number made from it.

    .venv/bin/python tools/evidence.py take runs/laptop --log LOG -o docs/evidence/laptop
    .venv/bin/python tools/evidence.py numbers docs/evidence/laptop --into docs/evidence/laptop.md

`take` reads a run folder: `answers.csv` has a row a question and run (a hash of the question, task,
arm, seed, whether the answer is correct, its tokens), `facts.json` what was run: versions, seconds
of each job, closeness, hashes of ledgers and files, and what `run` said on its way. LOG is what
`cotdistill run` wrote, each line with the time before it, as `ts %FT%T` puts it there. `numbers`
needs only these two files and computes every table and figure of the page again, with the
statistics that `cotdistill report` uses; `--check` compares only.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from draw_report import picture

from cotdistill.closeness.measures import correlation
from cotdistill.hosts.lm_eval.samples import read_samples
from cotdistill.preflight.plan import plan
from cotdistill.preflight.planned import Assumed
from cotdistill.results.arm_comparisons import (
    ArmRuns,
    Difference,
    adjusted,
    difference,
    points,
    pooled_runs,
    score_of,
)
from cotdistill.results.closeness_of_runs import read_closeness
from cotdistill.results.collect import collect
from cotdistill.results.questions import identified
from cotdistill.results.run_results import RunResult
from cotdistill.runfolder.job import JOBS
from cotdistill.runs.jobs import read_jobs
from cotdistill.runs.records import PART, read_record
from cotdistill.stats.detectable_effect import Design, alternatives, detectable_effect
from cotdistill.stats.run_variance import Stratum
from cotdistill.tables import Table, duration, markdown_of

UNTRAINED = "untouched"
HASH_DIGITS = 12


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


# ---------------------------------------------------------------------------------------- take


def take(folder: Path, out: Path, model: Path, log: Path | None) -> None:
    """Write the answers and the facts of a finished run folder."""
    count = token_counter(model)
    runs = [run for run in collect(folder).runs if run.scores]
    rows = [row for run in runs for row in _answers(run, count)]
    facts = _facts(folder, runs)
    facts["estimates"] = estimates_in(log.read_text(encoding="utf-8")) if log else []
    sys.stderr.write(f"{folder}: {len(rows):,} answers\n")
    out.mkdir(parents=True, exist_ok=True)
    write_answers(out / "answers.csv", rows)
    text = json.dumps(facts, indent=1, sort_keys=True)
    (out / "facts.json").write_text(text + "\n", encoding="utf-8")


_LEFT = re.compile(r"(\S+) \d+/\d+ jobs · about ([\d.]+) (s|min|h) left")
_SCORED = re.compile(r"\S+ finished evaluate ")
_ENDED = re.compile(r"(\S+) [\d,]+ jobs? finished in ")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def estimates_in(log: str) -> list[dict[str, Any]]:
    r"""Return how long `run` said each time that it would take, and how long it did.

    Units: seconds; `scored` is the number of runs that had their scores by then.

    >>> estimates_in("2026-01-31T12:00:00 9/22 jobs · about 2 min left · train a\n"
    ...      "2026-01-31T12:02:30 22 jobs finished in 481.2 s\n")
    [{'scored': 0, 'estimate': 120.0, 'took': 150.0}]
    """
    scored, estimates, end = 0, [], None
    for line in log.splitlines():
        scored += bool(_SCORED.match(line))
        if found := _LEFT.match(line):
            at = datetime.fromisoformat(found[1])
            estimates.append((at, scored, float(found[2]) * _SECONDS[found[3]]))
        elif found := _ENDED.match(line):
            end = datetime.fromisoformat(found[1])
    if end is None:
        raise SystemExit("evidence: the log has no line with a time and `jobs finished in`")
    return [
        {"scored": runs, "estimate": left, "took": (end - at).total_seconds()}
        for at, runs, left in estimates
    ]


def token_counter(model: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text as a model does."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _answers(run: RunResult, count: Callable[[str], int]) -> Iterator[Answer]:
    for score in run.scores:
        assert score.table is not None, f"{run.run}: no samples"
        values = score.table.values
        for found in identified(read_samples(score.table.file)):
            if found.question in values and not found.repeated:
                (text,) = found.sample.responses
                yield Answer(
                    question=hashlib.sha256(found.question.encode()).hexdigest()[:HASH_DIGITS],
                    task=score.task,
                    arm=run.arm,
                    seed="" if run.seed is None else str(run.seed),
                    correct=int(values[found.question]),
                    tokens=count(text),
                    truncated=int(found.sample.metric("cut_off") or 0),
                )


def _jobs(folder: Path) -> dict[str, float | None]:
    """Return the seconds of each job; None where it was resumed and only its end was timed."""
    jobs = read_jobs(folder) if _is_generated(folder) else {}
    done = {str(job): read_record(folder, job.id) for job in jobs.values()}
    return {
        job: None if PART in one.notes else round(one.seconds, 1)
        for job, one in done.items()
        if one
    }


def _is_generated(folder: Path) -> bool:
    """Whether the run folder is here, and not only its results."""
    return (folder / JOBS).is_file()


def _versions(runs: Sequence[RunResult]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for run in runs:
        versions |= {**run.evaluated.environment, **run.trained_with}
    return versions


def _facts(folder: Path, runs: Sequence[RunResult]) -> dict[str, Any]:
    closeness = {
        measured.student: {
            "questions": measured.questions,
            "arms": {
                arm: {name: [one.value, one.low, one.high] for name, one in measures.items()}
                for arm, measures in measured.arms.items()
            },
        }
        for measured in read_closeness(folder)
    }
    planned = {}
    if _is_generated(folder):
        planned = {cost.run.name: cost.tokens for cost in plan(str(folder), [], Assumed()).runs}
    hashed = [*folder.glob("data/*.ledger.json"), folder / "study.yaml", folder / "manifest.jsonl"]
    trained = {
        run.run: {
            "last_loss": run.training.last_loss,
            "tokens": run.training.tokens,
            "seconds": run.training.seconds,
        }
        for run in runs
        if run.training
    }
    return {
        "versions": _versions(runs),
        "jobs": _jobs(folder),
        "closeness": closeness,
        "planned": planned,
        "trained": trained,
        "sha256": {str(path.relative_to(folder)): _sha256(path) for path in sorted(hashed)},
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_answers(path: Path, rows: Iterable[Answer]) -> None:
    """Write answers as CSV, in the order of task, arm, seed and question."""
    ordered = sorted(rows, key=lambda row: (row.task, row.arm, row.seed, row.question))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(
            stream, [field.name for field in fields(Answer)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(map(asdict, ordered))


# ------------------------------------------------------------------------------------- numbers


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


def comparisons(study: Study) -> list[Difference]:
    """Return every pair of arms on every task, adjusted over the pairs of the task."""
    return [
        one
        for task in study.tasks
        for one in adjusted(
            [study.difference(task, *pair) for pair in combinations(study.arms(task), 2)]
        )
    ]


def difference_table(found: Sequence[Difference]) -> Table:
    """Return a row a comparison: points, interval, p alone and after Holm, and the run sd."""
    rows = []
    for one in found:
        compared, bounds = one.compared, one.difference
        runs = compared.run_variance
        sd = "" if runs is None else _with_range(runs.sd, *runs.sd_range())
        rows.append(
            (
                one.task, f"{one.second} - {one.first}", points(bounds.value),
                f"[{points(bounds.low)}, {points(bounds.high)}]",
                "" if one.p is None else f"{one.p:.3f}",
                "" if one.p_holm is None else f"{one.p_holm:.3f}",
                one.mark, sd, f"{100 * compared.visible:.0f}",
            )
        )  # fmt: skip
    columns = (
        "task", "arms", "points", "95 % interval", "p", "p Holm", "", "run sd",
        "likely to be seen from",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def _with_range(value: float, low: float, high: float) -> str:
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


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
                duration(min(whole)), duration(max(whole)),
            )
        )  # fmt: skip
    columns = ("stage", "jobs", "resumed", "wall time of the others", "shortest", "longest")
    return Table(columns, tuple(rows))


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
        worst = max(later, key=lambda one: abs(one["estimate"] / one["took"] - 1))
        name = f"largest of {len(later)} from the second on"
        rows.append((name, duration(worst["estimate"]), duration(worst["took"]), _off(worst)))
    return Table(("runs scored", "left: said", "took", "off by"), tuple(rows))


def _off(one: dict[str, Any]) -> str:
    return f"{100 * (one['said'] / one['took'] - 1):+.0f} %"


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


def power_table(study: Study) -> Table:
    """Return what differences a study of these sizes finds 4 times in 5, as `plan` says it."""
    rows = []
    for task in study.tasks:
        arms = [study.runs(task, arm) for arm in study.arms(task) if arm != UNTRAINED]
        trained = [one for one in arms if one.scores]
        seeds = max(len(one.scores) for one in trained)
        pooled = study.stratum(task).pooled
        design = Design(len(trained[0].shared()), 1, seeds, len(trained))
        designs = {"now": design} | {
            name: other for name, other in alternatives(design).items() if "answers" not in name
        }
        for run_sd, source in ((0.01, "assumed"), (pooled.sd if pooled else None, "estimated")):
            if run_sd is not None and seeds > 1:
                cells = [
                    f"{100 * detectable_effect(other, run_sd):.1f}" for other in designs.values()
                ]
                rows.append((task, f"{100 * run_sd:.1f} ({source})", str(seeds), *cells))
    return Table(
        ("task", "run sd", "seeds", "now", "one more seed", "twice the questions"), tuple(rows)
    )


def tables_of(folder: Path) -> dict[str, Table]:
    """Return every table of a study's page, by the name that the page has it under."""
    study = Study(read_answers(folder / "answers.csv"))
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    hashes = tuple((name, digest[:16]) for name, digest in facts["sha256"].items())
    versions = tuple((name, str(version)) for name, version in sorted(facts["versions"].items()))
    found = {
        "scores": score_table(study),
        "differences": difference_table(comparisons(study)),
        "power": power_table(study),
        "cost": cost_table(facts),
        "left": time_left_table(facts),
        "trained": training_table(facts),
        "versions": Table(("part", "version"), versions),
        "hashes": Table(("file of the run folder", "SHA-256, first 16 digits"), hashes),
    }
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
        title = f"{task}: correct answers, with 95 % confidence intervals"
        found[f"{task}.svg"] = picture(bars, title, None)
    return found


def with_tables(page: str, tables: dict[str, Table]) -> str:
    """Return a page with the tables between its marks `<!-- NAME -->` and `<!-- /NAME -->`."""
    for name, table in tables.items():
        first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = page.partition(first)
        _, closed, after = rest.partition(last)
        if not (found and closed):
            raise SystemExit(f"evidence: the page has no place for the table '{name}': {first}")
        page = f"{before}{first}\n{markdown_of(table).strip()}\n\n{last}{after}"
    return page


def main() -> None:
    """Take the evidence of a run folder, or compute the numbers of a page from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    taking = verbs.add_parser("take", help="read a run folder")
    taking.add_argument("folder", type=Path)
    taking.add_argument("-o", "--output", type=Path, required=True)
    taking.add_argument("--log", type=Path, help="what run wrote, with times before the lines")
    taking.add_argument("--model", type=Path, default=Path(".venv/models/SmolLM2-135M-Instruct"))
    numbers = verbs.add_parser("numbers", help="compute every table and figure again")
    numbers.add_argument("folder", type=Path)
    numbers.add_argument("--into", type=Path, help="a page whose tables are replaced")
    numbers.add_argument("--check", action="store_true", help="change nothing, exit 1 if it would")
    given = parser.parse_args()
    if given.verb == "take":
        take(given.folder, given.output, given.model, given.log)
        return
    tables = tables_of(given.folder)
    if given.into is None:
        sys.stdout.write("\n".join(f"## {name}\n\n{markdown_of(t)}" for name, t in tables.items()))
        return
    texts = {given.folder / name: text for name, text in figures_of(given.folder).items()}
    texts[given.into] = with_tables(given.into.read_text(encoding="utf-8"), tables)
    changed = [path for path, text in texts.items() if _text_of(path) != text]
    for path in changed:
        if given.check:
            sys.stderr.write(f"evidence: {path} is not what the table of answers gives\n")
        else:
            path.write_text(texts[path], encoding="utf-8")
    if given.check and changed:
        raise SystemExit(1)


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    main()
