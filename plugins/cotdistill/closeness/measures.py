"""Measures of how a student finds given tokens, for one trace and for an arm.

None is a verdict: how well they predict what a student learns is known for a few students and many
teachers, and not for arms of one teacher.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.stats.confidence import Interval, cluster_interval
from cotdistill.stats.distributions import t_quantile

CLIP = 100
"""The largest rank that counts, as in arXiv:2601.14249."""
FIRST = 512
_DRAWS = 2000
EXACT = 8
"""Up to so many arms every order is counted; they have 40,320."""


@dataclass(frozen=True)
class Closeness:
    """One trace: its response tokens and how the student finds them.

    Units: `nll` and `nll_512` in nats a token, `rank` from 1 to CLIP, `rsr` ranks a nat, `top1` a
    share.
    """

    tokens: int
    nll: float
    nll_512: float
    rank: float
    rsr: float
    top1: float


def closeness_of(logprobs: Sequence[float], ranks: Sequence[int]) -> Closeness:
    """Return the measures of a response from the log probability and the rank of each token.

    The rank-surprisal ratio is the sum of the clipped ranks divided by the sum of the negative log
    probabilities: low where a student is surprised although the token is among its likely ones.
    Source: arXiv:2601.14249.

    >>> closeness_of([-1.0, -3.0], [1, 500])
    Closeness(tokens=2, nll=2.0, nll_512=2.0, rank=50.5, rsr=25.25, top1=0.5)
    """
    surprisal = -np.asarray(logprobs, np.float64)
    clipped = np.minimum(np.asarray(ranks), CLIP)
    total = float(surprisal.sum())
    return Closeness(
        tokens=len(surprisal),
        nll=float(surprisal.mean()),
        nll_512=float(surprisal[:FIRST].mean()),
        rank=float(clipped.mean()),
        rsr=float(clipped.sum()) / total if total > 0 else math.inf,
        top1=float((np.asarray(ranks) == 1).mean()),
    )


MEASURES = ("tokens", "nll", "nll_512", "rank", "rsr", "top1")


def arm_intervals(traces: Sequence[Closeness]) -> dict[str, Interval]:
    """Return each measure of an arm with its interval over questions, a trace a question.

    The ratio of an arm is that of the means of its traces' ranks and surprisals, as in the source.
    """
    found = {
        name: cluster_interval([float(asdict(trace)[name]) for trace in traces])
        for name in MEASURES
        if name != "rsr"
    }
    ranks = np.array([trace.rank for trace in traces])
    surprisals = np.array([trace.nll for trace in traces])
    return found | {"rsr": _ratio_interval(ranks, surprisals)}


def _ratio_interval(above: NDArray[np.float64], below: NDArray[np.float64]) -> Interval:
    """Return the bootstrap interval of a ratio of means, questions drawn whole."""
    value = float(above.sum() / below.sum()) if below.sum() > 0 else math.inf
    count = len(above)
    if count < 2 or not math.isfinite(value):
        return Interval(value, -math.inf, math.inf)
    generator = np.random.Generator(np.random.PCG64(0))
    chosen = generator.integers(0, count, (_DRAWS, count))
    ratios = above[chosen].sum(1) / np.maximum(below[chosen].sum(1), 1e-12)
    # as wide as `cluster_interval`: the percentiles of few questions are too narrow
    widened = t_quantile(0.975, count - 1) / 1.959964 * math.sqrt(count / (count - 1))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(value, value - (value - low) * widened, value + (high - value) * widened)


@dataclass(frozen=True)
class Correlation:
    """A rank correlation, and the same with length held constant; None where it is not defined."""

    rank: float | None
    without_length: float | None


def with_length(values: Sequence[float], lengths: Sequence[float]) -> float | None:
    """Return the rank correlation of a measure with length."""
    return _pearson(_ranked(values), _ranked(lengths))


def correlation(
    values: Sequence[float], results: Sequence[float], lengths: Sequence[float]
) -> Correlation:
    """Return Spearman's correlation of a measure with results, and partialled for length.

    >>> correlation([1, 2, 3, 4], [10, 20, 30, 40], [5, 1, 2, 3]).rank
    1.0
    """
    x, y, z = (_ranked(one) for one in (values, results, lengths))
    plain, with_x, with_y = _pearson(x, y), _pearson(x, z), _pearson(y, z)
    if plain is None or len(x) < 4 or with_x is None or with_y is None:
        return Correlation(plain, None)
    below = math.sqrt(max(0.0, (1 - with_x**2) * (1 - with_y**2)))
    return Correlation(plain, (plain - with_x * with_y) / below if below > 1e-6 else None)


def smallest_correlation(arms: int) -> float | None:
    """Return the rank correlation that chance reaches, either way, in at most 5 % of cases.

    Over all orders up to EXACT arms; above, by the t approximation, in about 5 % (5.9 % of 9 arms).
    None where even a perfect order comes by chance more often.

    >>> smallest_correlation(4), smallest_correlation(5), round(smallest_correlation(6) or 0, 3)
    (None, 1.0, 0.886)
    """
    if arms > EXACT:
        t = t_quantile(0.975, arms - 2)
        return t / math.sqrt(arms - 2 + t * t)
    if arms < 2:
        return None
    orders = np.array(list(itertools.permutations(range(arms))), np.int64)
    # 12 times Spearman's correlation of each order with the first, and its denominator: integers
    products = 12 * (orders @ np.arange(arms)) - 3 * arms * (arms - 1) ** 2
    whole = arms * (arms**2 - 1)
    sizes, counts = np.unique(np.abs(products), return_counts=True)
    reached = np.cumsum(counts[::-1])[::-1]
    rare = sizes[reached * 20 <= len(orders)]
    return float(rare[0] / whole) if len(rare) else None


def _ranked(values: Sequence[float]) -> NDArray[np.float64]:
    """Return ranks, the mean one where values are equal."""
    array = np.asarray(values, np.float64)
    ordered = np.sort(array)
    first = np.searchsorted(ordered, array, "left")
    last = np.searchsorted(ordered, array, "right")
    found: NDArray[np.float64] = (first + last + 1) / 2
    return found


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return None
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def arm_row(name: str, intervals: Mapping[str, Interval]) -> dict[str, Any]:
    """Return what is stored of an arm: each measure with its bounds."""
    return {
        "arm": name,
        **{key: [found.value, found.low, found.high] for key, found in intervals.items()},
    }
