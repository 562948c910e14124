"""Grade the samples of an old run again with today's grader; nothing is generated or replaced."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import free_name, sha256_of, write_if_changed, written_whole
from cotdistill.files.jsonl import Row, read_rows, row_line
from cotdistill.hosts.lm_eval.generated import with_text
from cotdistill.hosts.lm_eval.samples import (
    Sample,
    SampleFile,
    find_samples,
    read_results,
    read_samples,
)
from cotdistill.results.collect import primary_metric
from cotdistill.results.regrade import NO_GOLD, Verdict, regrade, same_question, task_of
from cotdistill.stats.confidence import Interval, score_interval


@dataclass
class Change:
    """How the verdicts that one rule read moved: questions counted."""

    responses: int = 0
    up: int = 0
    down: int = 0


@dataclass
class Rescored:
    """What grading one samples file again gave.

    `before` holds the old score of each filter; `up` and `down` count questions against the
    filter that the old results are read by. `rules` is keyed by (outcome, rule).
    """

    file: SampleFile
    before: dict[str, float] = field(default_factory=dict)
    score: Interval = field(default_factory=lambda: Interval(0.0, 0.0, 0.0))
    questions: int = 0
    without_gold: int = 0
    repeated_rows: int = 0
    up: int = 0
    down: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rules: dict[tuple[str, str], Change] = field(default_factory=dict)
    written: tuple[Path, ...] = ()


def rescore(
    places: Sequence[Path],
    *,
    task: str | None = None,
    stamp: str | None = None,
    golds: Path | None = None,
    workers: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Rescored]:
    """Grade every sample below the places again and write the results beside the old ones.

    A question is graded once, whatever the number of filters; a row that repeats a question is
    counted and left out. Questions without a gold answer are named and left out of the score.
    `tell` is told of files that hold likelihoods and no text.

    Raises:
        DataError: there are no samples, or none of a file's questions has a gold answer.
    """
    known = read_golds(golds) if golds else {}
    files = with_text(find_samples(places, task, stamp), tell)
    return [_rescore_file(file, known, workers) for file in files]


def read_golds(path: Path) -> dict[str, str]:
    """Return gold answers by question from rows of `question`/`problem` and `gold`/`answer`.

    Raises:
        DataError: a row lacks either, or one question has two answers.
    """
    found: dict[str, str] = {}
    for number, row in enumerate(read_rows(path), start=1):
        question = row.get("question") or row.get("problem")
        gold = row.get("gold", row.get("answer"))
        if not isinstance(question, str) or gold is None:
            wrong = "a row without question and gold"
            raise DataError(Fault(f"{path}: row {number}", wrong, "question and gold"))
        key = same_question(question)
        if found.setdefault(key, str(gold)) != str(gold):
            raise DataError(Fault(f"{path}: row {number}", "a second gold for one question"))
    return found


def _rescore_file(file: SampleFile, golds: Mapping[str, str], workers: int | None) -> Rescored:
    report = Rescored(file)
    chosen = _old_choice(file)
    values: list[float] = []
    out = free_name(
        file.path.with_name(f"verdicts_{file.task}_{file.stamp or 'run'}.rescored.jsonl")
    )
    with written_whole(out) as stream:
        first, second = tee(_one_a_question(file, report, chosen))
        graded = regrade((task_of(sample, golds) for sample in first), workers)
        for sample, verdicts in zip(second, graded, strict=True):
            value = _count(report, sample, verdicts, chosen)
            if value is not None:
                values.append(value)
            stream.write(row_line(_verdict_row(sample, verdicts, value)))
        if not values:
            remedy = "give the answers with --golds FILE (rows of question and gold)"
            wrong = f"none of {report.questions} questions has a gold answer"
            raise DataError(Fault(str(file.path), wrong, "", remedy))
    _finish_before(report)
    report.score = score_interval(values)
    results = free_name(
        file.path.with_name(f"results_{file.stamp or 'run'}.{file.task}.rescored.json")
    )
    write_if_changed(results, json.dumps(_results(report, chosen), ensure_ascii=False, indent=2))
    report.written = (results, out)
    return report


def _old_choice(file: SampleFile) -> tuple[str, str] | None:
    """Return the metric and filter that the old results are read by, where they are known."""
    if file.results is not None:
        numbers = read_results(file.results)["results"].get(file.task)
        if isinstance(numbers, dict):
            return primary_metric(numbers)
    return None


def _one_a_question(
    file: SampleFile, report: Rescored, chosen: tuple[str, str] | None
) -> Iterator[Sample]:
    """Yield each question once; every filter's old score is summed on the way past."""
    seen: dict[tuple[str, str, str], None] = {}
    passed: dict[tuple[str, str], None] = {}
    for sample in read_samples(file):
        question = (sample.key, sample.hashes.get("doc_hash", same_question(sample.question)))
        row = (sample.filter, *question)
        if row in seen:
            report.repeated_rows += 1
            continue
        seen[row] = None
        old = old_value(sample, chosen)
        if old is not None:
            report.before[sample.filter] = report.before.get(sample.filter, 0.0) + old
        wanted = chosen is None or chosen[1] == sample.filter
        if question not in passed and wanted:
            passed[question] = None
            yield sample


def old_value(sample: Sample, chosen: tuple[str, str] | None) -> float | None:
    """Return the value that the old run gave a sample, by its main metric."""
    numbers = sample.numbers()
    named = chosen[0] if chosen else None
    if named is None:
        metric = primary_metric(numbers)
        named = metric[0] if metric else None
    return numbers.get(f"{named},{sample.filter}")


def _count(
    report: Rescored,
    sample: Sample,
    verdicts: tuple[Verdict, ...],
    chosen: tuple[str, str] | None,
) -> float | None:
    report.questions += 1
    for verdict in verdicts:
        report.outcomes[verdict.outcome] += 1
        _change(report, verdict).responses += 1
    if not verdicts or verdicts[0].rule == NO_GOLD:
        report.without_gold += 1
        return None
    value = sum(verdict.correct for verdict in verdicts) / len(verdicts)
    old = old_value(sample, chosen)
    if old is not None and old != value:
        deciding = next((v for v in verdicts if v.correct == (value > old)), verdicts[0])
        report.up += value > old
        report.down += value < old
        _change(report, deciding).up += value > old
        _change(report, deciding).down += value < old
    return value


def _change(report: Rescored, verdict: Verdict) -> Change:
    return report.rules.setdefault((verdict.outcome, verdict.rule), Change())


def _finish_before(report: Rescored) -> None:
    rows = report.questions
    report.before = {name: total / rows for name, total in report.before.items()}


def _verdict_row(sample: Sample, verdicts: tuple[Verdict, ...], value: float | None) -> Row:
    return {
        "key": sample.key,
        "doc_hash": sample.hashes.get("doc_hash"),
        "score": value,
        "verdicts": [
            {"outcome": one.outcome, "answer": one.answer, "rule": one.rule} for one in verdicts
        ],
    }


def _results(report: Rescored, chosen: tuple[str, str] | None) -> dict[str, Any]:
    """A results file of lm-eval's shape: what the old one says, with the scores replaced."""
    old = read_results(report.file.results) if report.file.results else {}
    graded = max(sum(report.outcomes.values()), 1)
    shares = {name: report.outcomes[name] / graded for name in sorted(report.outcomes)}
    return {
        "results": {
            report.file.task: {
                "alias": report.file.task,
                "exact_match,rescored": report.score.value,
                "low,rescored": report.score.low,
                "high,rescored": report.score.high,
                **{f"{name},rescored": share for name, share in shares.items()},
            }
        },
        "rescored": {
            "from": report.file.path.name,
            "sha256": sha256_of(report.file.path),
            "by": f"cotdistill {__version__}",
            "before": report.before,
            "read_by": list(chosen) if chosen else None,
            "questions": report.questions,
            "without_gold": report.without_gold,
            "repeated_rows": report.repeated_rows,
            "up": report.up,
            "down": report.down,
        },
        **{key: value for key, value in old.items() if key not in ("results", "groups")},
    }
