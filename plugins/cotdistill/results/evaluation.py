"""What an evaluation left in a folder: the newest score of every task, and how it was made."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import Row
from cotdistill.hosts.lm_eval.kept_responses import RESPONSES_KEPT
from cotdistill.hosts.lm_eval.samples import (
    ResultsFile,
    Sample,
    SampleFile,
    as_number,
    newest_results,
    passed_over,
    read_results,
    samples_of,
)
from cotdistill.hosts.tokenizer import mean_tokens
from cotdistill.results.question_scores import (
    Keep,
    MainMetric,
    QuestionScores,
    main_metric,
    question_scores,
    score_fault,
)
from cotdistill.results.questions import QuestionId
from cotdistill.results.run_results import Evaluated, Score
from cotdistill.results.run_settings import settings_of
from cotdistill.results.verdict_files import GradedResponses, VerdictSource
from cotdistill.stats.confidence import Interval, score_interval, wilson

_STRICT = {"exact_match_strict": "strict", "strict_match": "strict, in the form asked for"}
_LOGGED = ("lm_eval_version", "transformers_version")
_MACHINE = (  # in what torch's collect_env prints, which lm-eval logs
    ("torch", re.compile(r"^PyTorch version: (\S+)$", re.MULTILINE)),
    ("CUDA", re.compile(r"^CUDA runtime version: ([\d.]+)$", re.MULTILINE)),
    ("GPU", re.compile(r"^GPU (?:0|models and configuration: GPU 0): (.+)$", re.MULTILINE)),
)

Graded = Callable[[], GradedResponses]
KeepSample = Callable[[str, str, QuestionId, Sample, Sequence[str], Graded, str], None]
"""Takes every question of every run while it is read: run and task first, then as `Keep`."""


def evaluation_of(
    folder: Path,
    model: Path | None,
    source: VerdictSource,
    keep: Callable[[str, QuestionId, Sample, Sequence[str], Graded, str], None] | None = None,
) -> Evaluated:
    """Return the newest score of every task that an evaluation left in a folder.

    `model` is where the tokenizer is that counts the lengths, where it is known.

    Raises:
        DataError: a file cannot be read, a score is no fraction, or nothing was graded as `source`
            says.
    """
    scores: dict[str, Score] = {}
    members: dict[str, tuple[str, ...]] = {}
    environment: dict[str, str] = {}
    notes: list[str] = []
    logged: list[Row] = []
    faults: list[Fault] = []
    for file in newest_results(folder) if folder.is_dir() else []:
        results = read_results(file.path)
        members |= members_of_groups(results)
        environment |= _environment(results)
        logged.append(results.get("config") or {})
        if file.older:
            notes.append(passed_over(file.path, file.older, "results files"))
        samples = samples_of(file)
        for task, numbers in results["results"].items():
            if source != "run" and task in members and task not in samples:
                notes.append(f"{task}: a group's score is not made of {source} verdicts; left out")
                continue
            try:
                score = _score(
                    _Scored(task, numbers, results, file),
                    samples.get(task),
                    model,
                    source,
                    partial(keep, task) if keep else None,
                )
            except DataError as error:
                faults += error.faults
                continue
            if score is not None:
                scores[task] = score
                remarks = score.table.remarks if score.table else []
                notes += [f"{task}: {note}" for note in remarks]
                if score.table is None and task not in members:
                    notes.append(f"{task}: {_untested(samples.get(task), score)}")
    if faults:
        raise DataError(faults)
    return Evaluated(tuple(scores.values()), members, environment, tuple(notes), tuple(logged))


def members_of_groups(results: Row) -> dict[str, tuple[str, ...]]:
    """Return the tasks that each group of a results file sums up.

    lm-eval says so in `group_subtasks`. In a file without, a name that counts no questions of its
    own is a group of the names that continue it.

    >>> members_of_groups({"results": {"m": {}, "m_a": {}}, "group_subtasks": {"m": ["m_a"]}})
    {'m': ('m_a',)}
    >>> names = {"gsm8k": {}, "math": {}, "math_0": {}, "math_1": {}}
    >>> members_of_groups({"results": names, "n-samples": {"gsm8k": {}}})
    {'math': ('math_0', 'math_1')}
    """
    named = results.get("group_subtasks")
    if named:
        return {
            group: tuple(map(str, members))
            for group, members in named.items()
            if isinstance(members, list) and members
        }
    counted = results.get("n-samples") or {}
    found = {}
    for group in results["results"]:
        members = tuple(name for name in results["results"] if name.startswith(f"{group}_"))
        if group not in counted and len(members) > 1:
            found[group] = members
    return found


@dataclass(frozen=True)
class _Scored:
    """A task in a results file."""

    task: str
    numbers: Mapping[str, Any]
    results: Row
    file: ResultsFile

    @property
    def place(self) -> str:
        return f"{self.file.path}: results.{self.task}"


def _score(
    scored: _Scored,
    samples: SampleFile | None,
    model: Path | None,
    source: VerdictSource,
    keep: Keep | None,
) -> Score | None:
    metric = main_metric(scored.numbers)
    if metric is None:
        return None
    if samples is None and source != "run":
        wrong = f"no samples of {scored.task}, so no {source} verdicts"
        remedy = "--verdicts run reads the run's own scores"
        raise DataError(Fault(str(scored.file.path), wrong, "", remedy))
    value = as_number(scored.numbers[str(metric)])
    assert value is not None  # main_metric takes numbers only
    if source == "run" and not 0 <= value <= 1:
        raise DataError(score_fault(value, scored.place, str(metric)))
    table = question_scores(samples, source, scored.results, keep) if samples else None
    counted = (scored.results.get("n-samples") or {}).get(scored.task) or {}
    questions, repeats = _count(counted.get("effective")), 1
    interval = _from_stderr(scored.numbers, metric, value, questions)
    tokens = characters = None
    if table is not None and table.values:
        interval = score_interval(list(table.values.values()), answers=table.repeats)
        questions, repeats = len(table.values), table.repeats
        characters = table.characters
        tokens = mean_tokens(table.texts, model) if model else None
    elif table is not None and source != "run":
        wrong = f"no question has a {source} verdict"
        raise DataError(Fault(str(table.file.path), wrong, "reference answers", "give --golds"))
    return Score(
        task=scored.task,
        metric=metric.metric,
        score=interval,
        questions=questions,
        repeats=repeats,
        tokens=_number(scored.numbers.get(f"tokens,{metric.filter}"), tokens),
        characters=_number(scored.numbers.get(f"characters,{metric.filter}"), characters),
        cut_off=_number(scored.numbers.get(f"cut_off,{metric.filter}")),
        evaluate_seconds=_seconds(scored.results),
        settings=table.settings if table else settings_of(scored.results, scored.task),
        table=table if table is not None and table.values else None,
        shortest=table.shortest if table else None,
        longest=table.longest if table else None,
        timeouts=_timeouts(scored, metric, table, questions * repeats),
        readings=_readings(scored.numbers, metric) if source == "run" else {},
    )


def _seconds(results: Row) -> float | None:
    """Return how long an evaluation took; unknown where it was resumed and only its end counted."""
    if results.get(RESPONSES_KEPT):
        return None
    return _number(results.get("total_evaluation_time_seconds"))


def _untested(samples: SampleFile | None, score: Score) -> str:
    """Say why a score is not compared with others: nothing is known of its questions."""
    why = (
        "no samples were logged"
        if samples is None
        else f"no question of {samples.path.name} has {score.metric}"
    )
    return f"{why}, so its score is not compared, and its interval is made of lm-eval's own error"


def _timeouts(
    scored: _Scored, metric: MainMetric, table: QuestionScores | None, responses: int
) -> int | None:
    """Return how many responses the grader gave up on: counted, or from the share logged."""
    if table is not None and table.timeouts is not None:
        return table.timeouts
    share = _number(scored.numbers.get(f"timeout,{metric.filter}"))
    return None if share is None else round(share * responses)


def _readings(numbers: Mapping[str, Any], metric: MainMetric) -> dict[str, float]:
    """Return what else a task's responses score: by other filters, and read strictly.

    >>> numbers = {"exact_match,strict-match": 0.5, "exact_match,flexible-extract": 0.75}
    >>> _readings(numbers, MainMetric("exact_match", "strict-match"))
    {'flexible-extract': 0.75}
    """
    found = {}
    for name, value in numbers.items():
        other, comma, chosen = name.partition(",")
        number = as_number(value)
        if not comma or number is None or not 0 <= number <= 1:
            continue
        if other == metric.metric and chosen != metric.filter:
            found[chosen] = number
        elif other in _STRICT and chosen == metric.filter:
            found[_STRICT[other]] = number
    return found


def _count(value: Any) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return max(int(value), 0) if whole else 0


def _environment(results: Row) -> dict[str, str]:
    config = results.get("config") or {}
    logged = {name.replace("_", " "): results.get(name) for name in _LOGGED}
    logged |= {"engine": config.get("model"), "dtype": config.get("model_dtype")}
    machine = results.get("pretty_env_info")
    if isinstance(machine, str):
        logged |= {name: found[1] for name, line in _MACHINE if (found := line.search(machine))}
    return {name: str(value) for name, value in logged.items() if value}


def _from_stderr(
    numbers: Mapping[str, Any], metric: MainMetric, value: float, questions: int
) -> Interval:
    """The host's standard error, where the samples were not logged: the best there is.

    It is 0 where all answers are right, or none: then the number of questions says more.
    """
    error = as_number(numbers.get(f"{metric.metric}_stderr,{metric.filter}"))
    if value in (0.0, 1.0) and questions:
        return wilson(round(value * questions), questions)
    half = 1.96 * error if error is not None else float("nan")
    return Interval(value, value - half, value + half)


def _number(value: Any, otherwise: float | None = None) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return otherwise
    number = as_number(value)
    return otherwise if number is None else number
