"""How far a measured score may lie from the true one: intervals whose unit is the question.

A benchmark is a sample of questions. Several answers to one question are not independent, so the
question is what is resampled, never the answer (Miller 2024, "Adding Error Bars to Evals",
arXiv:2411.00640).
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cotdistill.errors import DataError, Fault
from cotdistill.stats.distributions import beta_quantile, t_quantile

DRAWS = 10_000
FEW_QUESTIONS = 100
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """A value with the bounds between which the true one is expected to lie."""

    value: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Say whether the two intervals share a point.

        >>> Interval(0.9, 0.8, 1.0).overlaps(Interval(0.1, 0.0, 0.2))
        False
        """
        return self.low <= other.high and other.low <= self.high


def wilson(right: int, questions: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a share of right answers, one answer a question.

    Units: fractions in [0, 1].
    Source: Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001.

    Raises:
        DataError: there are no questions, or more right answers than questions.

    >>> interval = wilson(18, 40)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.307, 0.602)
    """
    if questions < 1 or not 0 <= right <= questions:
        raise DataError(Fault("score", f"{right} right of {questions}", "0 <= right <= questions"))
    z = _NORMAL.inv_cdf((1 + confidence) / 2)
    share = right / questions
    centre = (share + z * z / (2 * questions)) / (1 + z * z / questions)
    spread = math.sqrt(share * (1 - share) / questions + z * z / (4 * questions**2))
    half = spread * z / (1 + z * z / questions)
    low = 0.0 if right == 0 else max(0.0, centre - half)
    high = 1.0 if right == questions else min(1.0, centre + half)
    return Interval(share, low, high)


def cluster_interval(
    values: Sequence[float], confidence: float = 0.95, *, seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Return the bootstrap interval of a mean over questions, each question drawn whole.

    Shapes: values [questions], each the mean of that question's answers or a difference of two.
    Method: expanded percentile bootstrap; the plain percentile one is too narrow below about 100
        questions. Questions with the same value are drawn together (a multinomial), which is the
        same distribution as drawing them one by one and costs nothing for many questions. With
        repeated answers it reads its width from the questions, so k identical answers count once.
        Values that are all equal have no spread to draw from: the interval is then Wilson's for
        "none of n questions differs".
    Source: Efron and Tibshirani 1993, ch. 13; Hesterberg 2015, doi:10.1080/00031305.2015.1089789.

    Raises:
        DataError: there are no values, or one is not a number.

    >>> interval = cluster_interval([0.0, 0.5, 1.0, 0.25] * 25)
    >>> round(interval.value, 4), round(interval.low, 2), round(interval.high, 2)
    (0.4375, 0.36, 0.51)
    """
    count = len(values)
    if not count or not all(math.isfinite(value) for value in values):
        raise DataError(Fault("score", f"{count} values", "one finite number a question"))
    counted = sorted(Counter(float(value) for value in values).items())
    mean = math.fsum(value * times for value, times in counted) / count
    if len(counted) == 1:
        half = no_spread_width(count, confidence)
        return Interval(mean, mean - half, mean + half)
    levels = np.array([value for value, _ in counted])
    shares = np.array([times / count for _, times in counted])
    generator = np.random.Generator(np.random.PCG64(seed))
    means = _drawn_means(generator, levels, shares, count, draws)
    t = t_quantile((1 + confidence) / 2, count - 1)
    tail = _NORMAL.cdf(-t * math.sqrt(count / (count - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def no_spread_width(questions: int, confidence: float = 0.95) -> float:
    """Return half the width of the interval of a mean of equal values.

    There is no spread to read it from: it is the upper bound of Wilson's interval for "none of so
    many questions differs".

    >>> round(no_spread_width(40), 3)
    0.088
    """
    return wilson(0, questions, confidence).high


def effective_sample_interval(
    values: Sequence[float], answers: int, confidence: float = 0.95
) -> Interval:
    """Return the interval of a score on few questions with several answers each.

    The spread over questions says how many independent answers they are worth; that many, rarely a
    whole number, go into Clopper and Pearson's exact interval. Near 0 and 1 this covers where
    intervals that are symmetric or resample the questions do not.

    Shapes: values [questions], each the share of its `answers` answers that are right.
    Source: Korn and Graubard 1998, Survey Methodology 24, 193-201.

    Raises:
        DataError: there are fewer than two values, or they are all equal.

    >>> right = [0, 0, 0, 1, 2, 5, 9, 14, 16, 16]
    >>> interval = effective_sample_interval([count / 16 for count in right], 16)
    >>> round(interval.value, 5), round(interval.low, 6), round(interval.high, 6)
    (0.39375, 0.115515, 0.736152)
    """
    count = len(values)
    if count < 2 or min(values) == max(values):
        raise DataError(Fault("score", f"{count} values without spread", "two or more that differ"))
    mean = statistics.fmean(values)
    tail = (1 - confidence) / 2
    few = _NORMAL.inv_cdf(1 - tail) / t_quantile(1 - tail, count - 1)
    worth = mean * (1 - mean) * count / statistics.variance(values) * few * few
    worth = min(worth, count * answers)
    right = mean * worth
    low = beta_quantile(tail, right, worth - right + 1)
    high = beta_quantile(1 - tail, right + 1, worth - right)
    return Interval(mean, low, high)


def score_interval(
    values: Sequence[float], confidence: float = 0.95, *, answers: int = 1, seed: int = 0
) -> Interval:
    """Return the interval of one model's score: what other questions could have given.

    Wilson's where every answer is right or wrong; for fewer than 100 questions with several
    answers each, the exact one for the effective number of answers; else the bootstrap.

    Shapes: values [questions], each in [0, 1], the share of its `answers` that are right.

    >>> score_interval([1, 0, 1, 1]) == wilson(3, 4)
    True
    """
    if values and all(value in (0, 1) for value in values):
        return wilson(round(math.fsum(values)), len(values), confidence)
    shares = values and all(0 <= value <= 1 for value in values)
    few = shares and answers > 1 and len(values) < FEW_QUESTIONS
    if few and min(values) < max(values):
        return effective_sample_interval(values, answers, confidence)
    found = cluster_interval(values, confidence, seed=seed)
    if shares:
        return Interval(found.value, max(0.0, found.low), min(1.0, found.high))
    return found


def _drawn_means(
    generator: np.random.Generator,
    levels: np.ndarray,
    shares: np.ndarray,
    count: int,
    draws: int,
) -> np.ndarray:
    """Draw in pieces, so that memory stays under some 16 MB however many levels there are."""
    piece = max(1, min(draws, 2_000_000 // len(levels)))
    means = [
        generator.multinomial(count, shares, size=min(piece, draws - done)) @ levels / count
        for done in range(0, draws, piece)
    ]
    return np.concatenate(means)
