"""Weighted sums of arm means: main effects, interactions, and means over several arms.

A contrast is the sum of c_a times the mean of arm a. Its error has the two parts of a difference
between two arms (`crossed_test`): one of the questions, from the weighted sum of each question's
scores, and one of the training runs, h times the run variance with h = the sum of c_a²/S_a, where
S_a is the number of runs of the arm. Arms of several students are in several strata, and each
stratum's own run variance counts for its arms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cotdistill.errors import DataError, Fault
from cotdistill.stats.confidence import Interval, no_spread_width
from cotdistill.stats.crossed_test import (
    FEW_DEGREES,
    Claim,
    Estimate,
    RunPart,
    question_estimate,
    with_declared_runs,
    with_run_parts,
)
from cotdistill.stats.run_variance import Stratum


@dataclass(frozen=True)
class WeightedArm:
    """One arm of a contrast: its weight, its scores, and the arms that its runs are pooled with.

    Shapes: scores [runs][questions].
    Units: scores are fractions. `trained` is False for a model that is scored as it is: it has no
        training runs that could vary.
    """

    weight: float
    name: str
    scores: np.ndarray
    stratum: Stratum
    trained: bool = True


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of arm means with its error.

    Units: fractions. `claim` is "models" where the run variance of an arm is not known: the error
    is then that of the questions alone. `p` is None where nothing varies or there are fewer than
    two questions.
    """

    claim: Claim
    estimate: Estimate
    interval: Interval
    p: float | None
    questions: int


def contrast(arms: Sequence[WeightedArm], declared_sd: float | None = None) -> Contrast:
    """Return a contrast of arms that answered the same questions.

    Units: `declared_sd`, from run to run, is a fraction; it is used where fewer than four degrees
        of freedom were measured.

    Raises:
        DataError: there are no arms or no questions, or the arms have different numbers of them.

    >>> from cotdistill.stats.run_variance import arm_spread
    >>> first = np.array([[1, 1, 0, 1, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0, 1, 0]])
    >>> second = np.array([[1, 1, 1, 1, 1, 0, 1, 0], [1, 1, 0, 1, 1, 1, 1, 0]])
    >>> stratum = Stratum({"one": arm_spread([first]), "two": arm_spread([second])})
    >>> arms = [WeightedArm(-1, "one", first, stratum), WeightedArm(1, "two", second, stratum)]
    >>> found = contrast(arms)
    >>> found.claim, round(found.p, 4), round(found.interval.low, 4)
    ('arms', 0.0492, 0.0015)
    """
    counts = {int(arm.scores.shape[1]) for arm in arms if arm.scores.ndim == 2 and len(arm.scores)}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(str(arm.scores.shape) for arm in arms) or "none"
        raise DataError(Fault("contrast", f"scores of shape {shapes}", "the same questions"))
    questions = counts.pop()
    sums = np.sum([arm.weight * arm.scores.mean(axis=0) for arm in arms], axis=0)
    over_questions = question_estimate([sums])
    claim, estimate = _with_runs(over_questions, arms, declared_sd)
    return Contrast(
        claim=claim,
        estimate=estimate,
        interval=_interval(estimate, over_questions, [arm.weight for arm in arms], questions),
        p=None if over_questions.freedom == 0 else estimate.p,
        questions=questions,
    )


def _with_runs(
    over_questions: Estimate, arms: Sequence[WeightedArm], declared_sd: float | None
) -> tuple[Claim, Estimate]:
    """Add the runs' part of the error, measured or declared, and say what may be claimed."""
    trained = [arm for arm in arms if arm.trained and arm.weight]
    pooled = [arm.stratum.pooled for arm in trained]
    freedom = min((one.freedom if one else 0 for one in pooled), default=FEW_DEGREES)
    if freedom and (declared_sd is None or freedom >= FEW_DEGREES):
        parts = [RunPart(arm.stratum, arm.name, arm.weight**2 / len(arm.scores)) for arm in trained]
        return "arms", with_run_parts(over_questions, parts)
    if declared_sd is None:
        return "models", over_questions
    share = math.fsum(arm.weight**2 / len(arm.scores) for arm in trained)
    return "arms", with_declared_runs(over_questions, share, declared_sd)


def _interval(
    estimate: Estimate, over_questions: Estimate, weights: Sequence[float], questions: int
) -> Interval:
    """Return the interval, cut to what the sum can be."""
    low = math.fsum(weight for weight in weights if weight < 0)
    high = math.fsum(weight for weight in weights if weight > 0)
    if over_questions.freedom == 0:
        return Interval(estimate.value, low, high)
    if estimate.variance > 0:
        found = estimate.interval()
    else:
        half = max(-low, high) * no_spread_width(questions)
        found = Interval(estimate.value, estimate.value - half, estimate.value + half)
    return Interval(found.value, max(low, found.low), min(high, found.high))
