"""A run folder becomes rows: every run × task with its score, interval, lengths, time and loss.

A score whose training did nothing is refused, not shown; a run that has not finished is named.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from cotdistill.distill.paths import SUMMARY
from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import NOT_JSON
from cotdistill.files.jsonl import Row
from cotdistill.hosts.llamafactory.outputs import Training, read_training
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
from cotdistill.results.run_names import short_names
from cotdistill.results.run_settings import RunSettings, settings_of
from cotdistill.results.verdict_files import GradedResponses, VerdictSource
from cotdistill.runfolder.job import marker_of
from cotdistill.runfolder.manifest import Factor, ManifestRun, read_manifest
from cotdistill.stats.confidence import Interval, score_interval

_STRICT = {"exact_match_strict": "strict", "strict_match": "strict, in the form asked for"}
SKIPPED = "skipped"
_NAMED = 3  # runs of one state that a summary names
_LOGGED = ("lm_eval_version", "transformers_version")
_MACHINE = (  # in what torch's collect_env prints, which lm-eval logs
    ("torch", re.compile(r"^PyTorch version: (\S+)$", re.MULTILINE)),
    ("CUDA", re.compile(r"^CUDA runtime version: ([\d.]+)$", re.MULTILINE)),
    ("GPU", re.compile(r"^GPU (?:0|models and configuration: GPU 0): (.+)$", re.MULTILINE)),
)

Graded = Callable[[], GradedResponses]
KeepSample = Callable[[str, str, QuestionId, Sample, Sequence[str], Graded, str], None]
"""Takes every question of every run while it is read: run and task first, then as `Keep`."""


@dataclass(frozen=True)
class Score:
    """What one run reached on one task.

    Units: score a fraction; tokens and characters a response, means, and `shortest` and `longest`
        the least and the most characters; seconds of wall time.
    `repeats` is the number of responses a question; `table` the scores of the questions, None
    where no samples were logged. `timeouts` counts responses that the grader did not decide within
    its budget of CPU time. `readings` are what the same responses score when read otherwise: by
    another filter, or strictly. Other fields are None where they are not known.
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
    settings: RunSettings
    table: QuestionScores | None = None
    shortest: int | None = None
    longest: int | None = None
    timeouts: int | None = None
    readings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation left in a folder: scores, groups of tasks, environment, what to note.

    `members` names the tasks that a group's score sums up. `environment` is what was logged of the
    machine and its software, by name.
    """

    scores: tuple[Score, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """One run of a study: who and how, what state it is in, and what it reached.

    A checkpoint inside a training has the step in its arm's name, since it is no further seed of
    it. `factors` are the arm's, by name; `config` is the training file and `data` the rows that it
    was trained on; `trained` is False for a model that is scored as it is. `asked` are the tasks
    that the study asks for, empty where the manifest does not say; `distilled` is the summary of a
    training with a teacher, `trained_with` the versions that the training's record names.
    """

    run: str
    student: str
    arm: str
    recipe: str
    seed: int | None
    state: str
    training: Training | None
    evaluated: Evaluated
    folder: Path = Path()
    factors: Mapping[str, Factor] = field(default_factory=dict)
    trained: bool = True
    config: Path | None = None
    data: Path | None = None
    asked: tuple[str, ...] = ()
    distilled: Mapping[str, float] = field(default_factory=dict)
    trained_with: Mapping[str, str] = field(default_factory=dict)

    @property
    def scores(self) -> tuple[Score, ...]:
        """One score a task."""
        return self.evaluated.scores

    @property
    def skipped(self) -> bool:
        """Whether it was left out on purpose, as what a race drops is."""
        return self.state.startswith(f"{SKIPPED}:")

    @property
    def finished(self) -> bool:
        """Whether there are scores to trust."""
        return self.state == "finished"


@dataclass(frozen=True)
class Results:
    """Everything that run folders hold, in the order of their manifests.

    `source` says whose verdicts the scores are made of.
    """

    folders: tuple[Path, ...]
    runs: tuple[RunResult, ...]
    source: VerdictSource = "run"

    @property
    def folder(self) -> Path:
        """The first of the run folders."""
        return self.folders[0]

    def rows(self) -> Iterator[tuple[RunResult, Score]]:
        """Yield every score with its run."""
        for run in self.runs:
            for score in run.scores:
                yield run, score

    @property
    def members(self) -> Mapping[str, tuple[str, ...]]:
        """The tasks that each group's score sums up, as any run says."""
        return {
            group: members for run in self.runs for group, members in run.evaluated.members.items()
        }

    @property
    def settings(self) -> Mapping[str, list[tuple[str, RunSettings]]]:
        """The settings of each run by task."""
        by_task: dict[str, list[tuple[str, RunSettings]]] = {}
        for run, score in self.rows():
            by_task.setdefault(score.task, []).append((run.run, score.settings))
        return by_task

    @property
    def notes(self) -> list[str]:
        """What is to be known of single runs: which are not finished, what was left out."""
        unfinished = [f"{run.run}: {run.state}" for run in self.runs if not run.finished]
        unfinished += [
            f"{run.run}: no score on {', '.join(lacking)}"
            for run in self.runs
            if (lacking := self.lacking(run))
        ]
        noted = [f"{run.run}: {note}" for run in self.runs for note in run.evaluated.notes]
        return [*unfinished, *noted]

    def lacking(self, run: RunResult) -> list[str]:
        """Return the tasks that a finished run was to be asked, that others have, and it has not.

        A name that no run has a score under is that of a group without a score of its own.
        """
        if not run.finished:
            return []
        there = {score.task for score in run.scores}
        return [task for task in run.asked if task in self._tasks and task not in there]

    @cached_property
    def _tasks(self) -> frozenset[str]:
        return frozenset(score.task for _, score in self.rows())

    @property
    def missing(self) -> str:
        """Say how many runs lack a score, and of what; nothing where none does."""
        states: dict[str, list[str]] = {}
        for run in self.runs:
            if (not run.finished and not run.skipped) or self.lacking(run):
                state = run.state.partition(":")[0] if not run.finished else "a task not scored"
                states.setdefault(state, []).append(run.run)
        if not states:
            return ""
        count = sum(map(len, states.values()))
        kinds = "; ".join(
            f"{state}: {', '.join(runs[:_NAMED])}"
            + (f" and {len(runs) - _NAMED} more" if len(runs) > _NAMED else "")
            for state, runs in states.items()
        )
        return f"{count} of {len(self.runs)} runs have no score or lack a task ({kinds})"


def collect(
    folder: Path,
    source: VerdictSource = "run",
    keep: KeepSample | None = None,
    naming: Naming | None = None,
) -> Results:
    """Read a run folder's manifest, trainings and scores; each samples file is opened once.

    `source` takes the scores from what `rescore` or `judge` made instead of what a run logged.
    `keep` is called with every question of every run on the way. `naming` is how to call runs and
    arms next to those of other folders.

    Raises:
        DataError: there is no manifest, files in the folder cannot be read or hold no scores, or
            a run was never graded as `source` says; all runs at once.
    """
    naming = naming or Naming()
    runs: list[RunResult] = []
    faults: list[Fault] = []
    for run in read_manifest(folder, for_results=True):
        try:
            runs.append(_run_result(folder, run, source, keep, naming))
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    return Results((folder,), tuple(runs), source)


def collect_all(
    folders: Sequence[Path], source: VerdictSource = "run", keep: KeepSample | None = None
) -> Results:
    """Read several run folders as one; what two of them call alike is named by its folder too.

    Nothing is pooled over folders: an arm that two folders have is two arms.

    Raises:
        DataError: as `collect`, for the first folder that cannot be read.
    """
    if len(folders) == 1:
        return collect(folders[0], source, keep)
    counted: Counter[tuple[str, str, str]] = Counter()
    for folder in folders:
        runs = read_manifest(folder, for_results=True)
        counted.update({(run.student, run.arm, run.recipe) for run in runs})
    in_several = frozenset(arm for (_, arm, _), count in counted.items() if count > 1)
    names = short_names([folder.resolve() for folder in folders])
    if len(set(names)) < len(names):
        wrong = f"{', '.join(map(str, folders))}: folders of one name"
        raise DataError(Fault("report", wrong, "each run folder once"))
    found = [
        collect(folder, source, keep, Naming(name, in_several))
        for folder, name in zip(folders, names, strict=True)
    ]
    return Results(tuple(folders), tuple(run for one in found for run in one.runs), source)


@dataclass(frozen=True)
class Naming:
    """How runs are called next to those of other folders: by their folder too.

    `arms` are those that another folder has as well.
    """

    folder: str = ""
    arms: frozenset[str] = frozenset()

    def run(self, name: str) -> str:
        """Return what to call a run."""
        return f"{self.folder}/{name}" if self.folder else name

    def arm(self, name: str) -> str:
        """Return what to call an arm."""
        return f"{self.folder}/{name}" if name in self.arms else name


def _run_result(
    folder: Path,
    run: ManifestRun,
    source: VerdictSource,
    keep: KeepSample | None,
    naming: Naming,
) -> RunResult:
    trained = run.outputs.train
    name = naming.run(run.run)
    training = read_training(folder / trained) if trained else None
    evaluated = Evaluated()
    skipped = why_skipped_run(folder, run.run) if trained and training is None else ""
    if skipped:
        state = f"{SKIPPED}: {skipped}"
    elif trained and training is None:
        state = "training not finished"
    elif training is not None and training.trained_nothing:
        state = (
            f"refused: training did nothing ({training.trained_nothing}); remove "
            f"{trained} and run it again"
        )
    else:
        evaluated = evaluation_of(
            folder / run.outputs.evaluate,
            folder / trained if trained else None,
            source,
            partial(keep, name) if keep else None,
        )
        state = "finished" if evaluated.scores else "not scored"
    return RunResult(
        run=name,
        student=run.student,
        arm=naming.arm(run.arm) + (f" (step {run.step})" if run.step is not None else ""),
        recipe=run.recipe,
        seed=run.seed,
        state=state,
        training=training,
        evaluated=evaluated,
        folder=folder,
        factors=run.factors,
        trained=run.is_trained,
        asked=run.tasks,
        config=folder / run.files.train if run.files.train else None,
        data=folder / run.files.data if run.files.data else None,
        distilled=_distilled(folder / trained) if trained else {},
        trained_with=_trained_with(folder, Path(trained).name) if trained else {},
    )


def _distilled(output: Path) -> dict[str, float]:
    """Return the numbers that a training with a teacher left, nothing of one without."""
    with contextlib.suppress(*NOT_JSON):
        found = json.loads((output / SUMMARY).read_text(encoding="utf-8"))
        numbers = found.items() if isinstance(found, dict) else ()
        return {
            name: float(value)
            for name, value in numbers
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
    return {}


def _trained_with(folder: Path, run: str) -> dict[str, str]:
    """Return the versions that the record of a training names, where `cotdistill run` made one."""
    with contextlib.suppress(*NOT_JSON, AttributeError):
        record = json.loads((folder / "done" / "train" / f"{run}.json").read_text("utf-8"))
        found = record.get("notes", {}).get("versions", {})
        return {str(name): str(version) for name, version in found.items()}
    return {}


def why_skipped_run(folder: Path, run: str) -> str:
    """Return why a run is not trained after all, as its record says; else an empty text."""
    try:
        record = json.loads((folder / marker_of(("train", run))).read_text(encoding="utf-8"))
        return str(record["notes"][SKIPPED])
    except (*NOT_JSON, KeyError, TypeError):
        return ""


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
    faults: list[Fault] = []
    for file in newest_results(folder) if folder.is_dir() else []:
        results = read_results(file.path)
        members |= members_of_groups(results)
        environment |= _environment(results)
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
                left_out = score.table.left_out if score.table else []
                notes += [f"{task}: {note}" for note in left_out]
    if faults:
        raise DataError(faults)
    return Evaluated(tuple(scores.values()), members, environment, tuple(notes))


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
    interval = _from_stderr(scored.numbers, metric, value)
    counted = (scored.results.get("n-samples") or {}).get(scored.task) or {}
    questions, repeats = _count(counted.get("effective")), 1
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
        evaluate_seconds=_number(scored.results.get("total_evaluation_time_seconds")),
        settings=table.settings if table else settings_of(scored.results, scored.task),
        table=table if table is not None and table.values else None,
        shortest=table.shortest if table else None,
        longest=table.longest if table else None,
        timeouts=_timeouts(scored, metric, table, questions * repeats),
        readings=_readings(scored.numbers, metric) if source == "run" else {},
    )


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


def _from_stderr(numbers: Mapping[str, Any], metric: MainMetric, value: float) -> Interval:
    """The host's standard error, where the samples were not logged: the best there is."""
    error = as_number(numbers.get(f"{metric.metric}_stderr,{metric.filter}"))
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
