"""A run folder becomes rows: every run × task with its score, interval, lengths, time and loss.

A score whose training did nothing is refused, not shown; a run that has not finished is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.jsonl import Row
from cotdistill.hosts.llamafactory.outputs import Training, read_training
from cotdistill.hosts.lm_eval.samples import (
    SampleFile,
    find_samples,
    newest_results,
    read_results,
    read_samples,
)
from cotdistill.hosts.tokenizer import SAMPLE, mean_tokens
from cotdistill.results.verdict_files import Source, made_scores
from cotdistill.runfolder.manifest import ManifestRun, read_manifest
from cotdistill.stats.confidence import Interval, score_interval

METRICS = ("exact_match", "correct", "score", "acc", "math_verify", "acc_norm")


@dataclass(frozen=True)
class Score:
    """What one run reached on one task.

    Units: score a fraction; tokens and characters a response, means; seconds of wall time.
    `repeats` is the number of responses a question. None stands for "not known".
    """

    task: str
    metric: str
    score: Interval
    questions: int
    repeats: int
    tokens: float | None
    characters: float | None
    cut_off: float | None
    evaluate_seconds: float | None
    results: Path
    samples: SampleFile | None = None


@dataclass(frozen=True)
class RunResult:
    """One run of a study: who and how, what state it is in, and what it reached."""

    run: str
    student: str
    arm: str
    recipe: str
    seed: int | None
    state: str
    training: Training | None
    scores: tuple[Score, ...]

    @property
    def finished(self) -> bool:
        """Whether there are scores to trust."""
        return self.state == "finished"


@dataclass(frozen=True)
class Results:
    """Everything that a run folder holds, in the manifest's order.

    `source` says whose verdicts the scores are made of.
    """

    folder: Path
    runs: tuple[RunResult, ...]
    source: Source = "run"

    def rows(self) -> Iterator[tuple[RunResult, Score]]:
        """Yield every score with its run."""
        for run in self.runs:
            for score in run.scores:
                yield run, score


def collect(folder: Path, source: Source = "run") -> Results:
    """Read a run folder's manifest, trainings and scores.

    `source` takes the scores from what `rescore` or `judge` made instead of what a run logged.

    Raises:
        DataError: there is no manifest, a file in the folder cannot be read, or a run was never
            graded as `source` says.
    """
    runs = tuple(_run_result(folder, run, source) for run in read_manifest(folder))
    return Results(folder, runs, source)


def _run_result(folder: Path, run: ManifestRun, source: Source) -> RunResult:
    training = read_training(folder / run.outputs.train)
    scores: tuple[Score, ...] = ()
    if training is None:
        state = "training not finished"
    elif training.trained_nothing:
        state = (
            "refused: training did nothing (loss 0.0 in no time, as a second run into a used "
            f"folder); remove {run.outputs.train} and run it again"
        )
    else:
        model = folder / run.outputs.train
        scores = folder_scores(folder / run.outputs.evaluate, model, source)
        state = "finished" if scores else "not scored"
    return RunResult(
        run=run.run,
        student=run.student,
        arm=run.arm,
        recipe=run.recipe,
        seed=run.seed,
        state=state,
        training=training,
        scores=scores,
    )


def folder_scores(folder: Path, model: Path | None, source: Source) -> tuple[Score, ...]:
    """Return the newest score of every task that an evaluation left in a folder.

    `model` is where the tokenizer is that counts the lengths, where it is known.

    Raises:
        DataError: a file cannot be read, or nothing was graded as `source` says.
    """
    if not folder.is_dir():
        return ()
    found: dict[str, Score] = {}
    for path in newest_results(folder):
        held = read_results(path)
        stamp = path.stem.rpartition("_")[2]
        samples = _samples_of(path.parent, stamp)
        for task, numbers in held["results"].items():
            score = _score(task, numbers, held, path, samples.get(task), model, source)
            if score is not None:
                found[task] = score
    return tuple(found.values())


def _samples_of(folder: Path, stamp: str) -> dict[str, SampleFile]:
    if not any(folder.glob("samples_*.jsonl")):
        return {}
    held = {one.task: one for one in find_samples([folder]) if one.path.parent == folder}
    return {task: one for task, one in held.items() if one.stamp == stamp}


def _score(
    task: str,
    numbers: Mapping[str, Any],
    held: Row,
    path: Path,
    samples: SampleFile | None,
    model: Path | None,
    source: Source,
) -> Score | None:
    chosen = primary_metric(numbers)
    if chosen is None:
        return None
    metric, chosen_filter = chosen
    value = float(numbers[f"{metric},{chosen_filter}"])
    questions = int((held.get("n-samples") or {}).get(task, {}).get("effective", 0))
    interval = _from_stderr(numbers, chosen, value)
    repeats, characters, tokens = 1, None, None
    if samples is None and source != "run":
        wrong = f"no samples of {task}, so no {source} verdicts"
        raise DataError(Fault(str(path), wrong, "", "--verdicts run reads the run's own scores"))
    if samples is not None:
        made = made_scores(samples, source) if source != "run" else None
        measured = _per_question(samples, metric, chosen_filter, made)
        if measured is not None:
            values, repeats, characters, texts = measured
            interval, questions = score_interval(values), len(values)
            tokens = mean_tokens(texts, model) if model else None
    seconds = held.get("total_evaluation_time_seconds")
    return Score(
        task=task,
        metric=metric,
        score=interval,
        questions=questions,
        repeats=repeats,
        tokens=_number(numbers.get(f"tokens,{chosen_filter}"), tokens),
        characters=_number(numbers.get(f"characters,{chosen_filter}"), characters),
        cut_off=_number(numbers.get(f"cut_off,{chosen_filter}")),
        evaluate_seconds=_number(seconds),
        results=path,
        samples=samples,
    )


def primary_metric(numbers: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the metric and filter that a task is read by, or None where it has no number.

    >>> primary_metric({"alias": "t", "cut_off,none": 0.1, "exact_match,none": 0.5})
    ('exact_match', 'none')
    """
    named: list[tuple[str, str]] = []
    for name, value in numbers.items():
        metric, comma, chosen_filter = name.partition(",")
        if comma and not metric.endswith("_stderr") and isinstance(value, int | float):
            named.append((metric, chosen_filter))
    ranked = {metric: place for place, metric in enumerate(METRICS)}
    return min(named, key=lambda pair: ranked.get(pair[0], len(ranked)), default=None)


def _from_stderr(numbers: Mapping[str, Any], chosen: tuple[str, str], value: float) -> Interval:
    """The host's standard error, where the samples were not logged: the best there is."""
    error = _number(numbers.get(f"{chosen[0]}_stderr,{chosen[1]}"))
    half = 1.96 * error if error is not None else float("nan")
    return Interval(value, value - half, value + half)


def _per_question(
    samples: SampleFile, metric: str, chosen_filter: str, made: Mapping[str, float] | None
) -> tuple[list[float], int, float | None, list[str]] | None:
    values: list[float] = []
    texts: list[str] = []
    repeats, responses, characters = 1, 0, 0
    for sample in read_samples(samples):
        if sample.filter != chosen_filter:
            continue
        value = _number(sample.metrics.get(metric) if made is None else made.get(sample.key))
        if value is None and made is not None:
            continue  # without a gold answer there is no verdict
        if value is None:
            return None
        values.append(value)
        repeats = max(repeats, len(sample.responses))
        responses += len(sample.responses)
        characters += sum(map(len, sample.responses))
        if len(texts) < SAMPLE:
            texts += sample.responses
    if not values:
        return None
    return values, repeats, characters / responses if responses else None, texts


def _number(value: Any, otherwise: float | None = None) -> float | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return otherwise
    return float(value) if isinstance(value, int | float) else otherwise
