"""Scores on the development questions, by which rounds and arms are chosen on the way."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import DataError, Fault
from cotdistill.results.evaluation import evaluation_of
from cotdistill.stats.distributions import t_quantile


@dataclass(frozen=True)
class DevScore:
    """The development scores of a round: by task, and by task and question."""

    tasks: Mapping[str, float]
    values: Mapping[tuple[str, str], float]

    @property
    def mean(self) -> float:
        """The mean over the tasks, each counted once."""
        return statistics.fmean(self.tasks.values())


def dev_score(place: Path) -> DevScore:
    """Return what an evaluation left in a folder as the development scores of a model.

    Raises:
        DataError: it left no scores, or they cannot be read.
    """
    found = evaluation_of(place, None, "run")
    if not found.scores:
        raise DataError(Fault(str(place), "no score on the development questions"))
    values = {
        (score.task, str(question)): value
        for score in found.scores
        for question, value in (score.table.values.items() if score.table else ())
    }
    return DevScore({score.task: score.score.value for score in found.scores}, values)


def gain_interval(now: DevScore, before: DevScore) -> tuple[float, float, float]:
    """Return the gain of a score over another in points, with its 95 % interval over questions.

    Each task counts the same. Where no questions are known, or one, the interval is infinite.
    """
    gain = 100 * (now.mean - before.mean)
    variance = 0.0
    freedom = 0
    for task in now.tasks:
        gaps = [
            value - before.values[key]
            for key, value in now.values.items()
            if key[0] == task and key in before.values
        ]
        if len(gaps) < 2:
            return gain, -math.inf, math.inf
        variance += statistics.variance(gaps) / len(gaps)
        freedom += len(gaps) - 1
    half = 100 * t_quantile(0.975, freedom) * math.sqrt(variance) / len(now.tasks)
    return gain, gain - half, gain + half
