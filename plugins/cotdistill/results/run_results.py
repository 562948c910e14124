"""What run folders hold: runs with their scores, the state of each, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cotdistill.hosts.llamafactory.outputs import Training
from cotdistill.results.question_scores import QuestionScores
from cotdistill.results.run_settings import RunSettings
from cotdistill.results.verdict_files import VerdictSource
from cotdistill.runfolder.manifest import Factor
from cotdistill.stats.confidence import Interval

SKIPPED = "skipped"
_NAMED = 3  # runs of one state that a summary names


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
    machine and its software, by name; `logged` are the settings of each results file.
    """

    scores: tuple[Score, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    logged: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class RunResult:
    """One run of a study: who and how, what state it is in, and what it reached.

    A checkpoint inside a training has the step in its arm's name, since it is no further seed of
    it. `factors` are the arm's, by name; `config` is the training file and `data` the rows that it
    was trained on; `trained` is False for a model that is scored as it is; `shares_start` is True
    where all seeds of its arm began from the same random weights. `asked` are the tasks
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
    shares_start: bool = False
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


@dataclass(frozen=True)
class Results:
    """Everything that run folders hold, in the order of their manifests.

    `source` says whose verdicts the scores are made of, `namings` how the runs of each folder are
    called.
    """

    folders: tuple[Path, ...]
    runs: tuple[RunResult, ...]
    source: VerdictSource = "run"
    namings: tuple[Naming, ...] = (Naming(),)

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
        lack = "have no score or lack a task" if count > 1 else "has no score or lacks a task"
        return f"{count} of {len(self.runs)} runs {lack} ({kinds})"
