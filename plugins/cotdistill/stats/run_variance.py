"""How far two trainings of one arm differ by chance: the run variance of a study.

A run is one training with one random seed. Its score is the arm's mean, plus what this training
happened to get (the run variance), plus what comes from the questions and from sampled answers
(the noise, which shrinks with more questions). One arm has few runs, so the run variance is pooled
over all arms of a student, recipe and task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cotdistill.errors import DataError, Fault
from cotdistill.stats.distributions import chi_square_quantile, f_quantile

UNSTABLE_QUANTILE = 0.8
"""Of F; simulated: 0.95 would leave 9.6 % false findings where one arm varies twice as much."""
_EXTREME = 0.05  # a mean so near 0 or 1 leaves runs no room to vary
_ROUNDING = 1e-9  # of a variance: below that, a difference of two is the rounding of their sums
_CLEAR = 3  # standard errors; by chance in under 1 % of runs where few answers are right


@dataclass(frozen=True)
class ArmSpread:
    """How the runs of one arm spread.

    Units: `between` is the variance over runs of the run's mean score, `noise` the part of it that
    questions and sampled answers explain, with `noise_freedom` degrees of freedom.
    """

    runs: int
    mean: float
    between: float
    noise: float
    noise_freedom: float


@dataclass(frozen=True)
class RunVariance:
    """A run variance pooled over arms, with its `freedom` degrees of freedom."""

    between: float
    noise: float
    freedom: int
    noise_freedom: float

    @property
    def variance(self) -> float:
        """The variance of a run's true score around its arm's: never negative."""
        return excess_over_noise(self.between, self.noise)

    @property
    def sd(self) -> float:
        """The standard deviation from run to run. Units: a fraction, 0.01 is one point."""
        return math.sqrt(self.variance)

    def sd_range(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return bounds of the standard deviation from run to run, by the chi-square distribution.

        >>> low, high = RunVariance(0.0005, 0.0001, 6, math.inf).sd_range()
        >>> round(low, 4), round(high, 4)
        (0.0104, 0.0482)
        """
        tail = (1 - confidence) / 2
        scaled = self.freedom * self.between
        low, high = (
            math.sqrt(max(0.0, scaled / chi_square_quantile(p, self.freedom) - self.noise))
            for p in (1 - tail, tail)
        )
        return low, high


@dataclass(frozen=True)
class Stratum:
    """The arms whose run variance is pooled: of one student, recipe and task, two or more runs.

    `cautious` uses an unstable arm's own run variance for it; without, the pooled one is used for
    every arm, which finds more and is wrong where arms differ in it.
    """

    spreads: Mapping[str, ArmSpread]
    cautious: bool = True

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Arms that are not pooled: their mean is under 5 % or over 95 %, and others' are not."""
        extreme = [
            arm for arm, one in self.spreads.items() if not _EXTREME <= one.mean <= 1 - _EXTREME
        ]
        return tuple(extreme) if len(extreme) < len(self.spreads) else ()

    @cached_property
    def pooled(self) -> RunVariance | None:
        """The run variance of all pooled arms, None where no arm has two runs."""
        return self._pool(None)

    def is_unstable(self, arm: str) -> bool:
        """Say whether the runs of an arm vary more than those of all others together.

        More means over the 80 % quantile of F, the ratio that one of five equal arms exceeds. The
        others' variance is taken to be at least their noise: on few questions runs often tie.
        """
        own = self.spreads.get(arm)
        others = self._pool(arm)
        if not self.cautious or own is None or others is None or arm in self.left_out:
            return False
        limit = f_quantile(UNSTABLE_QUANTILE, own.runs - 1, others.freedom)
        return own.between > limit * max(others.between, others.noise)

    def _pool(self, without: str | None) -> RunVariance | None:
        pooled = [
            one for arm, one in self.spreads.items() if arm != without and arm not in self.left_out
        ]
        freedom = sum(one.runs - 1 for one in pooled)
        if not freedom:
            return None
        return RunVariance(
            between=math.fsum((one.runs - 1) * one.between for one in pooled) / freedom,
            noise=math.fsum((one.runs - 1) * one.noise for one in pooled) / freedom,
            freedom=freedom,
            noise_freedom=math.fsum(one.noise_freedom for one in pooled),
        )


def arm_spread(tasks: Sequence[np.ndarray], weights: Sequence[float] | None = None) -> ArmSpread:
    """Return how the runs of one arm spread in their score, or in their mean over tasks.

    Shapes: tasks [tasks] of scores [runs][questions]; every run has every task and question.
    Units: scores are fractions; `weights` sum to one, equal ones by default.
    Source: mean squares of the two-way layout runs × questions without replication, Scheffé 1959,
        ch. 4.

    Raises:
        DataError: there are fewer than two runs, or two questions of a task, or shapes differ.

    >>> scores = np.array([[1, 1, 0, 1, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0, 1, 0]])
    >>> arm_spread([scores]).between
    0.0078125
    """
    runs = len(tasks[0]) if tasks else 0
    if runs < 2 or any(table.ndim != 2 or len(table) != runs for table in tasks):
        shapes = ", ".join(str(table.shape) for table in tasks) or "none"
        raise DataError(Fault("runs", f"scores of shape {shapes}", "two or more runs, all alike"))
    if any(table.shape[1] < 2 for table in tasks):
        raise DataError(Fault("runs", "a task with fewer than two questions", "two or more"))
    shares = task_weights(len(tasks), weights)
    means = sum(weight * table.mean(axis=1) for weight, table in zip(shares, tasks, strict=True))
    noises = [_residual_mean_square(table) / table.shape[1] for table in tasks]
    return ArmSpread(
        runs=runs,
        mean=float(np.mean(means)),
        between=float(np.var(means, ddof=1)),
        noise=math.fsum(w * w * noise for w, noise in zip(shares, noises, strict=True)),
        noise_freedom=(runs - 1) * (tasks[0].shape[1] - 1) if len(tasks) == 1 else math.inf,
    )


def excess_over_noise(between: float, noise: float) -> float:
    """Return what a variance between runs has beyond its noise, zero if nothing but rounding.

    On few questions the two are often equal. The degrees of freedom are those of the runs as soon
    as there is an excess, so a rounding error of 1e-20 would change p.

    >>> excess_over_noise(0.5, 0.25), excess_over_noise(0.1 + 0.2, 0.3), excess_over_noise(0.1, 0.2)
    (0.25, 0.0, 0.0)
    """
    excess = between - noise
    return excess if excess > _ROUNDING * between else 0.0


def task_weights(tasks: int, weights: Sequence[float] | None) -> Sequence[float]:
    """Return the weights of a mean over tasks, equal ones where none are given.

    Raises:
        DataError: there is not one weight a task, or they do not sum to one.
    """
    if weights is None:
        return [1 / tasks] * tasks
    if len(weights) != tasks or not math.isclose(math.fsum(weights), 1):
        wrong = f"weights {list(weights)} of {tasks} tasks"
        raise DataError(Fault("tasks", wrong, "one weight a task, together one"))
    return weights


def diverged(scores: np.ndarray) -> list[int]:
    """Return which runs of one arm score less than half of what the others do on average.

    Where few questions are right, one has half of another's by chance: the gap must also be over
    three of its standard errors, taken over the questions.

    Shapes: scores [runs][questions]; two or more questions.

    >>> right, wrong = [1.0] * 12, [0.0] * 12
    >>> diverged(np.array([right + wrong, [1.0] + [0.0] * 23, right + wrong]))
    [1]
    """
    found = []
    for number, own in enumerate(scores if len(scores) > 1 else ()):
        others = np.delete(scores, number, axis=0).mean(axis=0)
        gaps = others - own
        error = gaps.std(ddof=1) / math.sqrt(len(gaps))
        if own.mean() < others.mean() / 2 and gaps.mean() > _CLEAR * error:
            found.append(number)
    return found


def _residual_mean_square(table: np.ndarray) -> float:
    runs, questions = table.shape
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    return float((rest**2).sum() / ((runs - 1) * (questions - 1)))
