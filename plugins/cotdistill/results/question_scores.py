"""What one run scored on each question of one task: the table that all comparisons are made of.

A samples file is read here once. Report, compare, matrix and sample browser share what comes out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import Row
from cotdistill.hosts.lm_eval.samples import (
    Sample,
    SampleFile,
    as_number,
    read_results,
    read_samples,
)
from cotdistill.results.questions import QuestionId, content_of, identified
from cotdistill.results.run_settings import NOT_LOGGED, RunSettings, model_of, settings_of
from cotdistill.results.verdict_files import (
    GradedResponses,
    Verdict,
    VerdictSource,
    read_verdicts,
    span_of,
)
from cotdistill.tables import counted

METRICS = ("exact_match", "correct", "score", "acc", "math_verify", "acc_norm")
TEXTS_KEPT = 500
_MOST_FAULTS = 5


class MainMetric(NamedTuple):
    """The metric and the filter that a task is read by."""

    metric: str
    filter: str

    def __str__(self) -> str:
        return f"{self.metric},{self.filter}"


class Logged(NamedTuple):
    """The score of a task in a results file, and the number of its questions if that is there."""

    score: float
    questions: int | None


@dataclass(frozen=True)
class QuestionScores:
    """One run on one task, question by question.

    Units: `values` are scores, fractions, in the order of the file; characters a response, the
    mean, and `shortest` and `longest` the least and the most of them. `timeouts` counts the
    responses that `rescore` or `judge` graded as timeout, None where the run's own verdicts are
    read. `repeats` is the largest number of responses to a question; `texts` are the first
    `TEXTS_KEPT` responses. `unscored` counts questions without this metric, `without_gold` those
    without a reference answer; neither is in `values`. `logged` is the score that the run itself
    logged, with the number of its questions, where that is what `values` should give.
    `responses_hash` is of all questions with their responses, in any order, 0 where all responses
    are one text; `prompts` holds a hash of each question's prompt, where it was logged. Both
    compare within one process only. `model` is the folder or name of the model that was asked.
    """

    file: SampleFile
    metric: MainMetric
    settings: RunSettings
    values: Mapping[QuestionId, float]
    repeats: int
    characters: float | None
    texts: Sequence[str]
    unscored: int = 0
    without_gold: int = 0
    repeated_rows: int = 0
    shortest: int | None = None
    longest: int | None = None
    timeouts: int | None = None
    logged: Logged | None = None
    responses_hash: int = 0
    prompts: Mapping[QuestionId, int] = field(default_factory=dict, repr=False)
    model: str = ""

    @property
    def remarks(self) -> list[str]:
        """What is not in the scores, counted, and whether they are what was logged, in words."""
        metric = self.metric.metric
        left_out = [
            f"{counted(count, what)} {why}"
            for count, what, why in [
                (self.unscored, "question", f"without {metric} left out of the score"),
                (self.without_gold, "question", "without a reference answer left out"),
                (self.repeated_rows, "row", "left out as repeating a question"),
            ]
            if count
        ]
        return [*left_out, *([differs] if (differs := self._differs_from_logged()) else [])]

    def _differs_from_logged(self) -> str:
        """Say that the samples do not give what the results file of the same run says."""
        if self.logged is None or not self.values:
            return ""
        score = math.fsum(self.values.values()) / len(self.values)
        asked = len(self.values) + self.unscored
        same_count = self.logged.questions in (None, asked)
        if same_count and (self.unscored or math.isclose(score, self.logged.score, abs_tol=1e-6)):
            return ""
        of = "" if same_count else f" of {self.logged.questions:,} questions"
        found = "" if same_count else f" of {asked:,}"
        return (
            f"the samples give {100 * score:.1f} %{found}, but lm-eval logged "
            f"{100 * self.logged.score:.1f} %{of}: {self.file.path.name} lacks rows, was changed, "
            "or is of another run"
        )


Keep = Callable[[QuestionId, Sample, Sequence[str], Callable[[], GradedResponses], str], None]
"""Takes every question while the file is read: its row and responses, how to get what these were
graded as, and what it asks."""


def main_metric(numbers: Mapping[str, Any]) -> MainMetric | None:
    """Return the metric and filter that a task is read by, or None where it has no number.

    >>> main_metric({"alias": "t", "cut_off,none": 0.1, "exact_match,none": 0.5})
    MainMetric(metric='exact_match', filter='none')
    """
    named: list[MainMetric] = []
    for name, value in numbers.items():
        metric, comma, chosen_filter = name.partition(",")
        if comma and not metric.endswith("_stderr") and as_number(value) is not None:
            named.append(MainMetric(metric, chosen_filter))
    ranked = {metric: place for place, metric in enumerate(METRICS)}
    return min(named, key=lambda one: ranked.get(one.metric, len(ranked)), default=None)


def main_metric_of(file: SampleFile) -> MainMetric | None:
    """Return the metric and filter that the results file of a samples file is read by, if any."""
    if file.results is None:
        return None
    return main_metric(read_results(file.results)["results"].get(file.task) or {})


def score_fault(value: float, place: str, metric: str) -> Fault:
    """Return the fault of a score that is not a number from 0 to 1."""
    remedy = "grade the samples again: cotdistill rescore"
    return Fault(place, f"{metric} is {value:g}", "a fraction from 0 to 1", remedy)


def question_scores(
    file: SampleFile,
    source: VerdictSource = "run",
    results: Row | None = None,
    keep: Keep | None = None,
) -> QuestionScores:
    """Read what a samples file says of each question; the file is opened once.

    `source` takes the scores from what `rescore` or `judge` made instead of what the run logged.
    `results` is what the results file holds, where it was read before. Rows of other filters than
    the main metric's are passed over, repeated rows counted and left out. `keep` is called with
    each question on the way.

    Raises:
        DataError: the file cannot be read, `source` was never made for it, or a score is not a
            number from 0 to 1.
    """
    if results is None and file.results is not None:
        results = read_results(file.results)
    metric = main_metric(results["results"].get(file.task) or {}) if results else None
    verdicts = read_verdicts(file, source)
    samples = read_samples(file)
    if metric is None:
        first = next(samples)  # a file without rows is refused by then
        metric = main_metric(first.numbers()) or MainMetric(METRICS[0], first.filter)
        samples = chain([first], samples)
    reading = _Reading(metric.metric if verdicts is None else source)
    wanted = (sample for sample in samples if sample.filter == metric.filter)
    for question, sample, repeated, text in identified(wanted):
        if repeated:
            reading.repeated_rows += 1
            continue
        responses = sample.responses
        if verdicts is None:
            score = as_number(sample.metric(metric.metric))
            graded = partial(logged_grades, sample, metric, responses)
        elif given := verdicts.of(question, sample):
            score, graded = given.score, partial(_of_verdict, given)
            reading.timeouts += sum(outcome == "timeout" for outcome, *_ in given.responses)
        else:
            reading.not_in_verdicts += 1
            continue
        reading.take(question, sample, responses, score)
        if keep is not None:
            keep(question, sample, responses, graded, text or sample.prompt)
    if verdicts is not None and reading.not_in_verdicts:
        raise verdicts.missing(reading.not_in_verdicts, file.path)
    if reading.faults:
        raise DataError(reading.faults)
    count = reading.responses
    return QuestionScores(
        file=file,
        metric=metric,
        settings=settings_of(results, file.task) if results else NOT_LOGGED,
        values=reading.values,
        repeats=reading.repeats,
        characters=reading.characters / count if count else None,
        texts=reading.texts,
        unscored=reading.without_score if verdicts is None else 0,
        without_gold=0 if verdicts is None else reading.without_score,
        repeated_rows=reading.repeated_rows,
        shortest=reading.shortest if count else None,
        longest=reading.longest if count else None,
        timeouts=None if verdicts is None else reading.timeouts,
        responses_hash=reading.responses_hash if reading.varied else 0,
        prompts=reading.prompts,
        model=model_of(results.get("config") or {}) if results else "",
        logged=_logged(results, file.task, metric) if results and verdicts is None else None,
    )


def _logged(results: Row, task: str, metric: MainMetric) -> Logged | None:
    score = as_number((results["results"].get(task) or {}).get(str(metric)))
    counted_by_host = ((results.get("n-samples") or {}).get(task) or {}).get("effective")
    whole = isinstance(counted_by_host, int) and not isinstance(counted_by_host, bool)
    return None if score is None else Logged(score, counted_by_host if whole else None)


def no_score(path: Path) -> DataError:
    """Return the error that no question of a samples file has a score."""
    remedy = "grade it: cotdistill rescore; then --verdicts rescored"
    return DataError(Fault(str(path), "no question has a score", "a metric in every row", remedy))


def logged_grades(sample: Sample, metric: MainMetric, responses: Sequence[str]) -> GradedResponses:
    """Return what the run itself logged of each response, or all alike by the question's score."""
    logged = sample.metric("answered")
    if isinstance(logged, list) and all(isinstance(one, dict) for one in logged):
        return tuple(
            (
                str(one.get("outcome")),
                str(one.get("rule") or ""),
                str(one.get("answer") or ""),
                span_of(one.get("span")),
            )
            for one in logged
        )
    value = as_number(sample.metric(metric.metric))
    outcome = "not graded" if value is None else "correct" if value >= 1 else "wrong"
    return ((outcome, "as logged", "", None),) * len(responses)


def _of_verdict(verdict: Verdict) -> GradedResponses:
    return verdict.responses


class _Reading:
    """What has been read so far of one samples file; `name` is that of its scores in messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.values: dict[QuestionId, float] = {}
        self.texts: list[str] = []
        self.faults: list[Fault] = []
        self.repeats = 1
        self.responses = self.characters = self.longest = self.timeouts = 0
        self.shortest = sys.maxsize
        self.responses_hash = 0
        self.varied = False
        self.first: Sequence[str] | None = None
        self.prompts: dict[QuestionId, int] = {}
        self.without_score = self.repeated_rows = self.not_in_verdicts = 0

    def take(
        self,
        question: QuestionId,
        sample: Sample,
        responses: Sequence[str],
        score: float | None,
    ) -> None:
        """Add one question."""
        if score is None:
            self.without_score += 1
            return
        if not 0 <= score <= 1:
            if len(self.faults) < _MOST_FAULTS:
                self.faults.append(score_fault(score, sample.place, self.name))
            return
        self.values[question] = score
        if sample.prompt_hash:
            self.prompts[question] = hash(sample.prompt_hash)
        self.responses_hash += hash((content_of(question), tuple(responses)))
        if self.first is None:
            self.first = responses
        elif not self.varied:
            self.varied = tuple(responses) != tuple(self.first)
        self.repeats = max(self.repeats, len(responses))
        self.responses += len(responses)
        for response in responses:
            length = len(response)
            self.characters += length
            if length < self.shortest:
                self.shortest = length
            if length > self.longest:
                self.longest = length
        if len(self.texts) < TEXTS_KEPT:
            self.texts += responses
