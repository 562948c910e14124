"""How far a measured score may lie from the true one: intervals whose unit is the question.

A benchmark is a sample of questions. Several answers to one question are not independent, so the
question is what is resampled, never the answer (Miller 2024, "Adding Error Bars to Evals",
arXiv:2411.00640).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cotdistill.errors import DataError, Fault

DRAWS = 10_000
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
    held = sorted(Counter(float(value) for value in values).items())
    mean = math.fsum(value * times for value, times in held) / count
    if len(held) == 1:
        width = wilson(0, count, confidence).high
        return _without_spread(mean, width)
    levels = np.array([value for value, _ in held])
    shares = np.array([times / count for _, times in held])
    generator = np.random.Generator(np.random.PCG64(seed))
    means = _drawn_means(generator, levels, shares, count, draws)
    t = student_t_quantile((1 + confidence) / 2, count - 1)
    tail = _NORMAL.cdf(-t * math.sqrt(count / (count - 1)))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))


def score_interval(values: Sequence[float], confidence: float = 0.95, *, seed: int = 0) -> Interval:
    """Return the interval of a score: Wilson's for right/wrong, else the cluster bootstrap.

    Shapes: values [questions], each in [0, 1].

    >>> score_interval([1, 0, 1, 1]) == wilson(3, 4)
    True
    """
    if values and all(value in (0, 1) for value in values):
        return wilson(round(math.fsum(values)), len(values), confidence)
    found = cluster_interval(values, confidence, seed=seed)
    if values and all(0 <= value <= 1 for value in values):
        return Interval(found.value, max(0.0, found.low), min(1.0, found.high))
    return found


def student_t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t, by the Cornish-Fisher expansion around the normal one.

    Precision: within 1 % from 4 degrees of freedom up, within 0.01 % from 29 up.
    Source: Abramowitz and Stegun 1964, 26.7.5.

    >>> round(student_t_quantile(0.975, 29), 3)
    2.045
    """
    x = _NORMAL.inv_cdf(probability)
    v = max(freedom, 1)
    return (
        x
        + (x**3 + x) / (4 * v)
        + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * v**2)
        + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * v**3)
        + (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / (92160 * v**4)
    )


def _without_spread(mean: float, width: float) -> Interval:
    if mean == 0:
        return Interval(mean, -width, width)
    return Interval(mean, mean - width, mean + width)


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
