"""Which arms of a race get the next seeds: leaders by an upper bound, or fixed halving.

A race compares arms by scores on development questions, and gives more runs to the arms that may be
the best. Two procedures held up in simulation, also where learning curves cross, because every run
is trained to its end: batches of one seed for the arms with the highest upper bounds (P5), and
halving the arms each time (P4). Tests that are valid at every look have no power with a handful of
runs. `benchmarks/racing.py` repeats the simulation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOUND = 1.5
"""Standard errors above an arm's mean up to which it may be the best one."""
FREEDOM = 4
"""Degrees of freedom from which the measured run standard deviation is used."""
QUARTER = 0.25
"""No arm is dropped before every arm together has had this share of the race's runs."""


@dataclass(frozen=True)
class Standing:
    """How an arm stands in a race.

    Units: `mean` and `se` are fractions; `behind` is how far its mean lies below the leader's.
    """

    arm: str
    runs: int
    mean: float
    se: float
    behind: float

    @property
    def bound(self) -> float:
        """How good it may be: its mean and 1.5 standard errors."""
        return self.mean + BOUND * self.se


def run_sd(scores: Mapping[str, Sequence[float]], declared: float, questions: float = 0.0) -> float:
    """Return the standard deviation of runs: pooled over arms from 4 degrees of freedom on.

    Fewer say too little; then it is the declared one. `questions` is the variance of a run's score
    that comes from its finite number of answers; it is taken off a measured spread.

    Units: scores, the result and `declared` are fractions.

    >>> run_sd({"a": [0.5, 0.54], "b": [0.6]}, declared=0.02)
    0.02
    >>> round(run_sd({"a": [0.50, 0.54, 0.52], "b": [0.60, 0.64, 0.62]}, declared=0.02), 3)
    0.02
    """
    freedom = sum(len(of_arm) - 1 for of_arm in scores.values())
    if freedom < FREEDOM:
        return declared
    squares = math.fsum(
        (len(of_arm) - 1) * statistics.variance(of_arm)
        for of_arm in scores.values()
        if len(of_arm) > 1
    )
    return math.sqrt(max(0.0, squares / freedom - questions))


def standings(
    scores: Mapping[str, Sequence[float]], declared: float, questions: float = 0.0
) -> list[Standing]:
    """Return how arms stand, the best first; ties keep their order.

    Shapes: scores {arm: [runs]}.
    Units: fractions; `questions` as for `run_sd`.
    """
    sd = run_sd(scores, declared, questions)
    means = {arm: statistics.fmean(of_arm) for arm, of_arm in scores.items()}
    best = max(means.values())
    found = [
        Standing(
            arm, len(of_arm), means[arm], math.sqrt((sd**2 + questions) / len(of_arm)),
            best - means[arm],
        )
        for arm, of_arm in scores.items()
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one.mean)


def leaders(standing: Sequence[Standing], top: int) -> list[str]:
    """Return the arms that get the next seed: those with the highest upper bounds.

    >>> order = standings({"a": [0.5], "b": [0.6], "c": [0.58]}, declared=0.02)
    >>> leaders(order, top=2)
    ['b', 'c']
    """
    return [one.arm for one in sorted(standing, key=lambda one: -one.bound)[:top]]


def halves(standing: Sequence[Standing], arms_left: int, least: int = 3) -> list[str]:
    """Return the better half of the arms that are left, at least three of them.

    >>> order = standings({"a": [0.5], "b": [0.6], "c": [0.58], "d": [0.1]}, declared=0.02)
    >>> halves(order, arms_left=4)
    ['b', 'c', 'a']
    """
    return [one.arm for one in standing[: max(math.ceil(arms_left / 2), min(least, arms_left))]]


def seeds_of_batches(procedure: str, batches: int) -> list[int]:
    """Return how many seeds each batch gives to each of its arms.

    Leaders get one seed a batch; halving doubles the seeds of an arm each time: 1, 2, 4 in all.

    >>> seeds_of_batches("leaders", 4), seeds_of_batches("halving", 2)
    ([1, 1, 1, 1], [1, 2])
    """
    if procedure == "leaders":
        return [1] * batches
    return [2**batch for batch in range(batches)]


def may_drop(done: int, planned: int) -> bool:
    """Whether a race has had a quarter of its runs, before which no arm is dropped.

    >>> may_drop(12, 24), may_drop(2, 24)
    (True, False)
    """
    return done >= QUARTER * planned
