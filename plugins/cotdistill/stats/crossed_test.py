"""Whether two arms differ: the paired t test that counts questions and training runs.

Both arms answered the same questions, and each was trained with a few random seeds: runs lie within
arms, questions cross them. Averaging runs question by question and testing those differences, as
papers do, answers "do these trained models differ?" and finds differences between equal arms in a
quarter to a half of all cases at 500 questions. Here the error of the difference also holds the run
variance, pooled over the study's arms (`run_variance`), so the answer is about the arms.

docs/decisions/0012-run-variance.md has the reasons, benchmarks/run_variance.py the simulations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cotdistill.errors import DataError, Fault
from cotdistill.stats.confidence import Interval, no_spread_width, score_interval
from cotdistill.stats.distributions import t_quantile, t_two_sided
from cotdistill.stats.run_variance import (
    RunVariance,
    Stratum,
    excess_over_noise,
    task_weights,
)
from cotdistill.stats.significance import PairedTest, paired

Claim = Literal["arms", "models"]
"""What a comparison is about: the arms, or only these trained models."""

FEWEST_QUESTIONS = 6
"""With fewer, a p-value is shown but nothing is ever called a difference."""
FEW_DEGREES = 4
"""A run variance from fewer degrees of freedom gives way to a declared one."""


@dataclass(frozen=True)
class Estimate:
    """A difference or a score with its variance; `run_part` is the share of it due to runs."""

    value: float
    variance: float
    freedom: float
    run_part: float = 0.0

    @property
    def p(self) -> float | None:
        """The two-sided p-value that the true value is zero; None without any variance."""
        if self.variance <= 0:
            return None
        return t_two_sided(self.value / math.sqrt(self.variance), self.freedom)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Return the interval that holds zero exactly where p is above 1 - confidence."""
        half = t_quantile((1 + confidence) / 2, self.freedom) * math.sqrt(self.variance)
        return Interval(self.value, self.value - half, self.value + half)

    def detectable(self, power: float = 0.8, level: float = 0.05) -> float:
        """Return the true difference that a test with this variance finds with a given power."""
        return detectable_size(self.variance, self.freedom, power, level)


@dataclass(frozen=True)
class RunPart:
    """What the runs of one arm add to a variance: `share` times their run variance.

    `share` is 1 / runs for an arm's score or difference, c² / runs for an arm with the weight c.
    `name` is the arm's in the stratum, whose run variance is used unless the arm is unstable.
    """

    stratum: Stratum
    name: str
    share: float


@dataclass(frozen=True)
class ArmComparison:
    """The second arm against the first; the interval is cut to what a difference can be.

    Units: fractions. `claim` is "models" where nothing is known of the run variance: p is then that
    of the `exact` paired test, the interval is the paired t test's, and `break_even_sd`, where p is
    under 0.05, the standard deviation from run to run above which the arms would not differ
    significantly. `p` is None where nothing varies or there are fewer than two questions.
    `run_variance` is the measured one; of two students that with fewer degrees of freedom.
    `unstable` names arms whose own run variance was used because it exceeds that of the others.
    """

    claim: Claim
    test: str
    estimate: Estimate
    difference: Interval
    p: float | None
    questions: int
    runs: tuple[int, int]
    run_variance: RunVariance | None = None
    declared_sd: float | None = None
    unstable: tuple[str, ...] = ()
    exact: PairedTest | None = None
    break_even_sd: float | None = None

    @property
    def visible(self) -> float:
        """The smallest difference that could have been seen (McNemar), or is 4 times in 5."""
        size = self.exact.visible if self.exact else self.estimate.detectable()
        return min(size, 1.0)

    def differs(self, p: float | None, level: float = 0.05) -> bool:
        """Say whether this may be called a difference between arms, given an adjusted p-value."""
        enough = self.claim == "arms" and self.questions >= FEWEST_QUESTIONS
        return enough and p is not None and p < level


def compare_arms(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    strata: Stratum | tuple[Stratum, Stratum],
    *,
    names: tuple[str, str] = ("first", "second"),
    weights: Sequence[float] | None = None,
    declared_sd: float | None = None,
    trained: tuple[bool, bool] = (True, True),
) -> ArmComparison:
    """Compare two arms on one task, or in their mean over several.

    Shapes: first and second [tasks] of scores [runs][questions], the same questions in both.
    Units: scores and `declared_sd` (from run to run) are fractions; `weights` sum to one.
    Degrees of freedom: a measured run variance is used from four on; with fewer, a declared one
        comes first.
    `strata` is that of both arms, or each one's where they are of different students; `names` are
    those of the two arms in it. `trained` is False for an arm that is a model
    scored as it is: it has no training runs that could vary.

    Raises:
        DataError: there are no questions, or the two arms do not have the same ones.

    >>> from cotdistill.stats.run_variance import arm_spread
    >>> first = np.array([[1, 1, 0, 1, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0, 1, 0]])
    >>> second = np.array([[1, 1, 1, 1, 1, 0, 1, 0], [1, 1, 0, 1, 1, 1, 1, 0]])
    >>> stratum = Stratum({"first": arm_spread([first]), "second": arm_spread([second])})
    >>> found = compare_arms([first], [second], stratum)
    >>> found.claim, round(found.p, 4), round(found.difference.low, 4)
    ('arms', 0.0492, 0.0015)
    """
    gaps = _paired_differences(first, second)
    runs = (len(first[0]), len(second[0]))
    over_questions = question_estimate(gaps, weights)
    shares = [1 / count if varies else 0.0 for count, varies in zip(runs, trained, strict=True)]
    both = (strata, strata) if isinstance(strata, Stratum) else strata
    varying = [one for one, share in zip(both, shares, strict=True) if share] or both[:1]
    known = [one.pooled for one in varying if one.pooled is not None]
    measured = min(known, key=lambda one: one.freedom) if len(known) == len(varying) else None
    if measured is not None and declared_sd is not None and measured.freedom < FEW_DEGREES:
        measured = None
    unstable: tuple[str, ...] = ()
    claim: Claim = "arms"
    if measured is not None:
        declared_sd = None
        named = list(zip(both, names, shares, strict=True))
        unstable = tuple(name for stratum, name, _ in named if stratum.is_unstable(name))
        estimate = with_run_parts(over_questions, [RunPart(*one) for one in named])
    elif declared_sd is not None:
        estimate = with_declared_runs(over_questions, sum(shares), declared_sd)
    else:
        claim, estimate = "models", over_questions
    test, p = ("crossed t" if claim == "arms" else "paired t"), estimate.p
    exact = None
    if over_questions.freedom == 0:
        test, p = "none", None
    elif claim == "models" and len(gaps) == 1:
        exact = paired(gaps[0].tolist())
        test, p = exact.test, exact.p
    found = ArmComparison(
        claim=claim,
        test=test,
        estimate=estimate,
        difference=_bounds(estimate, over_questions, gaps, weights),
        p=p,
        questions=sum(len(one) for one in gaps),
        runs=runs,
        run_variance=measured,
        declared_sd=declared_sd,
        unstable=unstable,
        exact=exact,
    )
    if claim == "models" and p is not None and p < 0.05:
        return replace(found, break_even_sd=break_even_sd(over_questions, runs, shares=shares))
    return found


def arm_score(
    tasks: Sequence[np.ndarray],
    stratum: Stratum,
    name: str,
    *,
    weights: Sequence[float] | None = None,
) -> Interval:
    """Return the score of an arm with two or more runs: other questions and other random seeds.

    Shapes: tasks [tasks] of scores [runs][questions].

    Raises:
        DataError: there are no questions, or the stratum has no run variance.

    >>> from cotdistill.stats.run_variance import arm_spread
    >>> scores = np.array([[1, 1, 0, 1, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0, 1, 0]])
    >>> interval = arm_score([scores], Stratum({"arm": arm_spread([scores])}), "arm")
    >>> round(interval.value, 4), round(interval.low, 4), round(interval.high, 4)
    (0.4375, 0.0232, 0.8518)
    """
    means = [table.mean(axis=0) for table in tasks]
    over_questions = question_estimate(means, weights)
    estimate = with_run_variance(over_questions, stratum, {name: len(tasks[0])})
    if estimate.variance <= 0 or over_questions.freedom == 0:
        return score_interval(np.concatenate(means).tolist())
    found = estimate.interval()
    return Interval(found.value, max(0.0, found.low), min(1.0, found.high))


def break_even_sd(
    over_questions: Estimate,
    runs: tuple[int, int],
    level: float = 0.05,
    *,
    shares: Sequence[float] | None = None,
) -> float:
    """Return the standard deviation from run to run at which p reaches the level.

    `shares` is what each arm's runs count for, 1 / runs by default.

    A reader who believes in less may believe the finding. Declaring exactly this gives p = level.

    >>> found = break_even_sd(Estimate(0.05, 0.0001, 499), (1, 1))
    >>> round(found, 4)
    0.0166
    >>> round(with_declared_runs(Estimate(0.05, 0.0001, 499), 2.0, found).p, 6)
    0.05
    """
    if over_questions.variance <= 0 or over_questions.freedom <= 0:
        return 0.0
    freedom = over_questions.freedom
    for _ in range(50):  # more run variance, more degrees of freedom: settles at once
        t = t_quantile(1 - level / 2, freedom)
        variance = max((over_questions.value / t) ** 2, over_questions.variance)
        settled = over_questions.freedom * (variance / over_questions.variance) ** 2
        if math.isclose(settled, freedom, rel_tol=1e-12):
            break
        freedom = settled
    total = sum(shares) if shares is not None else 1 / runs[0] + 1 / runs[1]
    return math.sqrt((variance - over_questions.variance) / total) if total else math.inf


def detectable_size(
    variance: float, freedom: float, power: float = 0.8, level: float = 0.05
) -> float:
    """Return the true difference that a two-sided t test finds with a given power.

    Precision: within 0.5 % of the answer by the non-central t distribution.

    >>> round(detectable_size(0.00046, 6), 3)
    0.072
    """
    quantiles = t_quantile(1 - level / 2, freedom) + t_quantile(power, freedom)
    return quantiles * math.sqrt(variance)


def degrees_of_freedom(
    question: tuple[float, float], runs: tuple[float, float], noise: tuple[float, float]
) -> float:
    """Return the degrees of freedom of a variance made of mean squares: question + runs - noise.

    Each is a part of the variance with its own degrees of freedom. Welch and Satterthwaite's
    formula, raised to at least the smaller of those of the questions and the runs, which costs
    nothing (simulated) and keeps intervals from becoming absurd.

    Source: Satterthwaite 1946, doi:10.2307/3002019.

    >>> round(degrees_of_freedom((0.00012, 499), (0.0005, 6), (0.00016, 2994)), 6)
    6
    """
    return _degrees_of_freedom(question, [runs], [noise])


def _degrees_of_freedom(
    question: tuple[float, float],
    runs: Sequence[tuple[float, float]],
    noise: Sequence[tuple[float, float]],
) -> float:
    """Return the same where runs of several strata have a part each."""
    total = math.fsum([question[0], *(part for part, _ in runs), *(-part for part, _ in noise)])
    squares = math.fsum(part * part / freedom for part, freedom in (question, *runs, *noise))
    return max(total * total / squares, min([question[1], *(freedom for _, freedom in runs)]))


def with_run_variance(
    over_questions: Estimate, stratum: Stratum, runs: Mapping[str, int]
) -> Estimate:
    """Return an estimate over questions with the runs' part of its variance added.

    `runs` names the arms it is made of, each with the number of its runs: one arm for a score, two
    for a difference.

    Raises:
        DataError: the stratum has no run variance.
    """
    parts = [RunPart(stratum, name, 1 / count) for name, count in runs.items()]
    return with_run_parts(over_questions, parts)


def with_run_parts(over_questions: Estimate, parts: Sequence[RunPart]) -> Estimate:
    """Return an estimate over questions with the parts of its arms' runs added.

    What questions and answers explain of the variance between runs is already in the estimate, so
    only the excess is added.

    Raises:
        DataError: a stratum has no run variance.
    """
    strata = list({id(part.stratum): part.stratum for part in parts if part.share}.values())
    between: list[tuple[float, float]] = []
    noise: list[tuple[float, float]] = []
    excess = 0.0
    for stratum in strata:
        pooled = stratum.pooled
        if pooled is None:
            raise DataError(Fault("runs", "no run variance", "an arm with two or more runs"))
        mine = [part for part in parts if part.stratum is stratum]
        own = [
            stratum.spreads[part.name].between if stratum.is_unstable(part.name) else pooled.between
            for part in mine
        ]
        shares = [part.share for part in mine]
        added = math.fsum(
            share * excess_over_noise(one, pooled.noise)
            for share, one in zip(shares, own, strict=True)
        )
        if added > 0:
            whole = math.fsum(share * one for share, one in zip(shares, own, strict=True))
            between.append((whole, pooled.freedom))
            noise.append((math.fsum(shares) * pooled.noise, pooled.noise_freedom))
        excess += added
    if excess <= 0 or over_questions.freedom == 0:
        return over_questions
    variance = over_questions.variance + excess
    freedom = min(freedom for _, freedom in between)
    if over_questions.variance > 0:
        questions = (over_questions.variance, over_questions.freedom)
        freedom = _degrees_of_freedom(questions, between, noise)
    return Estimate(over_questions.value, variance, freedom, excess / variance)


def with_declared_runs(over_questions: Estimate, share: float, sd: float) -> Estimate:
    """Add `share` times a declared run variance; taken as known, it loses no degrees of freedom."""
    added = share * sd * sd
    variance = over_questions.variance + added
    if added <= 0 or over_questions.freedom == 0:
        return over_questions
    freedom = math.inf
    if over_questions.variance > 0:
        freedom = over_questions.freedom * (variance / over_questions.variance) ** 2
    return Estimate(over_questions.value, variance, freedom, added / variance)


def _paired_differences(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray]
) -> list[np.ndarray]:
    shapes = [[table.shape for table in tables] for tables in (first, second)]
    sizes = [[shape[1] for shape in one if len(shape) == 2] for one in shapes]
    if sizes[0] != sizes[1] or not sizes[0] or 0 in sizes[0] or len(sizes[0]) != len(shapes[0]):
        wrong = f"scores of shape {shapes[0]} and {shapes[1]}"
        raise DataError(Fault("compare", wrong, "the same questions of the same tasks"))
    return [two.mean(axis=0) - one.mean(axis=0) for one, two in zip(first, second, strict=True)]


def question_estimate(
    values: Sequence[np.ndarray], weights: Sequence[float] | None = None
) -> Estimate:
    """Return the mean of values over questions, and over tasks; tasks are fixed, not a sample.

    Zero degrees of freedom say that a task has fewer than two questions.
    """
    shares = task_weights(len(values), weights)
    value = math.fsum(w * float(one.mean()) for w, one in zip(shares, values, strict=True))
    if min(len(one) for one in values) < 2:
        return Estimate(value, 0.0, 0.0)
    parts = [
        w * w * float(one.var(ddof=1)) / len(one) for w, one in zip(shares, values, strict=True)
    ]
    variance = math.fsum(parts)
    squares = math.fsum(
        part * part / (len(one) - 1) for part, one in zip(parts, values, strict=True)
    )
    freedom = variance * variance / squares if squares > 0 else len(values[0]) - 1
    return Estimate(value, variance, freedom)


def _bounds(
    estimate: Estimate,
    over_questions: Estimate,
    gaps: Sequence[np.ndarray],
    weights: Sequence[float] | None,
) -> Interval:
    if over_questions.freedom == 0:
        return Interval(estimate.value, -1.0, 1.0)
    if estimate.variance > 0:
        found = estimate.interval()
    else:
        shares = task_weights(len(gaps), weights)
        widths = (w * no_spread_width(len(one)) for w, one in zip(shares, gaps, strict=True))
        half = math.fsum(widths)
        found = Interval(estimate.value, estimate.value - half, estimate.value + half)
    return Interval(found.value, max(-1.0, found.low), min(1.0, found.high))
