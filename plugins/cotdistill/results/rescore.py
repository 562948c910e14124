"""Grade the samples of an old run again with today's grader; nothing is generated or replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.corpus.records.gold_files import read_golds
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import free_name, write_if_changed, written_whole
from cotdistill.files.inputs import InputFiles
from cotdistill.files.jsonl import Row, json_text, row_line
from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.grade import OUTCOMES, Grade
from cotdistill.hosts.lm_eval.generated import with_text
from cotdistill.hosts.lm_eval.samples import (
    Sample,
    SampleFile,
    find_samples,
    read_results,
    read_samples,
)
from cotdistill.hosts.lm_eval.task_files import tasks_that_run_programs
from cotdistill.results.question_scores import MainMetric, main_metric, main_metric_of
from cotdistill.results.questions import QuestionId, identified
from cotdistill.results.regrade import NO_GOLD, UNGRADED, regrade, task_of
from cotdistill.results.run_names import output_folders
from cotdistill.stats.confidence import Interval, score_interval
from cotdistill.stats.pass_at_k import (
    classes_of,
    majority_correct,
    pass_at,
    share_correct,
    steps_up_to,
)


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
    filter that the old results are read by. `rules` is keyed by (outcome, rule). `over_samples`
    has avg@k, pass@k and maj@k where questions have several responses.
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
    over_samples: dict[str, float] = field(default_factory=dict)
    written: tuple[Path, ...] = ()


def rescore(
    places: Sequence[Path],
    *,
    task: str | None = None,
    stamp: str | None = None,
    golds: Path | None = None,
    workers: int | None = None,
    tell: Callable[[str], None] | None = None,
    out: Path | None = None,
) -> list[Rescored]:
    """Grade every sample below the places again and write the results next to the old ones.

    A question is graded once, whatever the number of filters; a row that repeats a question is
    counted and left out. Questions without a gold answer are named and left out of the score.
    `tell` is told of files that hold likelihoods and no text, and of older files. With `out`,
    results go there, into a folder a run, and nothing is written next to the samples.

    Raises:
        DataError: there are no samples, or none of a file's questions has a gold answer.
    """
    known = read_golds(golds) if golds else {}
    files = with_text(find_samples(places, task, stamp), tell)
    _refuse_programs(files)
    folders = output_folders(files, out)
    done = [
        _rescore_file(file, known, workers, folder)
        for file, folder in zip(files, folders, strict=True)
    ]
    for folder in dict.fromkeys(folders):
        here = [one for one, place in zip(done, folders, strict=True) if place == folder]
        _write_gsm8k_summary(folder, [one for one in here if "gsm8k" in one.file.task.lower()])
    return done


def _refuse_programs(files: Sequence[SampleFile]) -> None:
    faults = [
        Fault(
            str(file.path),
            "its responses are programs; what they print is not in the file",
            "responses that state their answers",
            "evaluate again",
        )
        for file in files
        if tasks_that_run_programs([file.task])
    ]
    if faults:
        raise DataError(faults)


def _write_gsm8k_summary(folder: Path, done: Sequence[Rescored]) -> None:
    """Write what the learnability-gap repository's script for GSM8K writes, with these scores."""
    if not done:
        return
    found: dict[str, dict[str, float]] = {}
    for one in done:
        name = one.file.results.name if one.file.results else one.file.path.name
        found.setdefault(name, {})[one.file.task] = one.score.value
    path = free_name(folder / "summary_results_gsm8k.json")
    write_if_changed(path, json_text({"results": found}, indent=4) + "\n")
    done[-1].written = (*done[-1].written, path)


def _rescore_file(
    file: SampleFile, golds: Mapping[str, str], workers: int | None, folder: Path
) -> Rescored:
    inputs = InputFiles.of([file.path, *([file.results] if file.results else [])])
    report = Rescored(file)
    chosen = main_metric_of(file)
    values: list[float] = []
    sampled = _OverSamples()
    out = free_name(folder / f"verdicts_{file.task}_{file.stamp or 'run'}.rescored.jsonl")
    with written_whole(out) as stream:
        first, second = tee(_one_a_question(file, report, chosen))
        graded = regrade((task_of(sample, golds) for _, sample in first), workers)
        for (question, sample), grades in zip(second, graded, strict=True):
            value = _count(report, sample, grades, chosen)
            if value is not None:
                values.append(value)
                sampled.add(sample, grades or ())
            stream.write(row_line(_verdict_row(question, sample, grades, value)))
        if not values:
            remedy = "give the answers with --golds FILE (rows of question and gold)"
            wrong = f"none of {report.questions} questions has a gold answer"
            raise DataError(Fault(str(file.path), wrong, "", remedy))
        inputs.refuse_changes()  # the outputs have new names, so that none of them is an input
    _finish_before(report)
    report.over_samples = sampled.means()
    report.score = score_interval(values, answers=sampled.most)
    results = free_name(folder / f"results_{file.stamp or 'run'}.{file.task}.rescored.json")
    made = _results(report, chosen, inputs)
    write_if_changed(results, json_text(made, indent=2))
    report.written = (results, out)
    return report


class _OverSamples:
    """avg@k, pass@k and maj@k of questions with several responses, for the k that all have."""

    def __init__(self) -> None:
        self.most = 1
        self._sums: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()

    def add(self, sample: Sample, grades: Sequence[Grade]) -> None:
        """Add one question."""
        self.most = max(self.most, len(grades))
        if len(grades) < 2:
            return
        task = task_of(sample, {})
        correct = [grade.correct for grade in grades]

        def same(one: str, other: str) -> bool:
            return equivalent(one, other, kind=task.kind, options=task.options).equal is True

        classes = classes_of([grade.answer for grade in grades], same)
        found = {f"avg@{len(correct)}": share_correct(correct)}
        for k in steps_up_to(len(correct)):
            found[f"pass@{k}"] = pass_at(correct, k)
            found[f"maj@{k}"] = float(majority_correct(classes, correct, k))
        self._sums.update(found)
        self._counts.update(found.keys())

    def means(self) -> dict[str, float]:
        """Return the means over the questions that have so many responses."""
        return {name: self._sums[name] / self._counts[name] for name in self._counts}


def _one_a_question(
    file: SampleFile, report: Rescored, chosen: MainMetric | None
) -> Iterator[tuple[QuestionId, Sample]]:
    """Yield each question once; every filter's old score is summed on the way past."""
    passed: set[QuestionId] = set()
    for question, sample, repeated, _ in identified(read_samples(file)):
        if repeated:
            report.repeated_rows += 1
            continue
        old = _old_value(sample, chosen)
        if old is not None:
            report.before[sample.filter] = report.before.get(sample.filter, 0.0) + old
        wanted = chosen is None or chosen.filter == sample.filter
        if question not in passed and wanted:
            passed.add(question)
            yield question, sample


def _old_value(sample: Sample, chosen: MainMetric | None) -> float | None:
    """Return the value that the old run gave a sample, by its main metric."""
    numbers = sample.numbers()
    metric = chosen or main_metric(numbers)
    return numbers.get(f"{metric.metric},{sample.filter}") if metric else None


def _count(
    report: Rescored,
    sample: Sample,
    grades: tuple[Grade, ...] | None,
    chosen: MainMetric | None,
) -> float | None:
    report.questions += 1
    if not grades:
        report.without_gold += 1
        report.outcomes[UNGRADED] += len(sample.responses)
        report.rules.setdefault((UNGRADED, NO_GOLD), Change()).responses += len(sample.responses)
        return None
    for grade in grades:
        report.outcomes[grade.outcome] += 1
        _change(report, grade).responses += 1
    value = sum(grade.correct for grade in grades) / len(grades)
    old = _old_value(sample, chosen)
    if old is not None and old != value:
        deciding = next((one for one in grades if one.correct == (value > old)), grades[0])
        report.up += value > old
        report.down += value < old
        _change(report, deciding).up += value > old
        _change(report, deciding).down += value < old
    return value


def _change(report: Rescored, grade: Grade) -> Change:
    return report.rules.setdefault((grade.outcome, grade.rule), Change())


def _finish_before(report: Rescored) -> None:
    rows = report.questions
    report.before = {name: total / rows for name, total in report.before.items()}


def _verdict_row(
    question: QuestionId, sample: Sample, grades: tuple[Grade, ...] | None, value: float | None
) -> Row:
    ungraded = {"outcome": UNGRADED, "answer": None, "rule": NO_GOLD}
    return {
        "question": str(question),
        "key": sample.key,
        "doc_hash": sample.doc_hash,
        "score": value,
        "verdicts": [
            {
                "outcome": one.outcome,
                "answer": one.answer,
                "rule": one.rule,
                "span": list(one.span) if one.span else None,
            }
            for one in grades
        ]
        if grades
        else [ungraded] * len(sample.responses),
    }


def _results(report: Rescored, chosen: MainMetric | None, inputs: InputFiles) -> dict[str, Any]:
    """A results file of lm-eval's shape: what the old one says, with the scores replaced.

    Every outcome has its share, also those that did not occur: `timeout,rescored` is there to be
    shown next to any score.
    """
    old = read_results(report.file.results) if report.file.results else {}
    graded = max(sum(report.outcomes.values()), 1)
    shares = {
        name: report.outcomes[name] / graded for name in sorted({*OUTCOMES, *report.outcomes})
    }
    return {
        "results": {
            report.file.task: {
                "alias": report.file.task,
                "exact_match,rescored": report.score.value,
                "low,rescored": report.score.low,
                "high,rescored": report.score.high,
                **{f"{name},rescored": share for name, share in shares.items()},
                **{f"{name},rescored": value for name, value in report.over_samples.items()},
            }
        },
        "rescored": {
            "from": report.file.path.name,
            "sha256": inputs.sha256(report.file.path),
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
