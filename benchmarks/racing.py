"""Racing in simulation: how often the best of 12 arms is picked, what that loses, what it costs.

    python benchmarks/racing.py [--races 2000] [--questions 500] [--run-sd 0.02]

Arms have known true accuracies, drawn from N(55, 3) points; a run adds N(0, run sd) and the error
of its development questions. The procedures are the ones that `race:` uses
(`cotdistill.stats.racing`); cost is relative to three seeds of every arm. Prints a table.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np

from cotdistill.stats.racing import halves, leaders, seeds_of_batches, standings

ARMS = 12
RUN_BY_QUESTION = 0.15
"""Variance of one answer to one question from run to run, at an accuracy of 55 %."""
Race = Callable[["World"], tuple[str, int]]


class World:
    """Arms with known accuracies, and runs of them that are scored on development questions."""

    def __init__(self, source: np.random.Generator, questions: int, run_sd: float) -> None:
        self.source, self.questions, self.run_sd = source, questions, run_sd
        truths = np.clip(source.normal(0.55, 0.03, ARMS), 0.01, 0.99)
        self.truth = {f"arm-{number}": float(one) for number, one in enumerate(truths)}
        self.scores: dict[str, list[float]] = {arm: [] for arm in self.truth}

    def train(self, arm: str, seeds: int = 1) -> None:
        """Add runs of an arm."""
        for _ in range(seeds):
            noise = self.source.normal(0, np.sqrt(self.run_sd**2 + self.noise))
            self.scores[arm].append(self.truth[arm] + float(noise))

    @property
    def noise(self) -> float:
        """The variance of a score from its questions, which all runs share (run x question)."""
        return RUN_BY_QUESTION / self.questions

    @property
    def best_now(self) -> str:
        """The arm with the highest mean among those with the most runs."""
        return max(self.scores, key=lambda arm: statistics.fmean(self.scores[arm]))

    @property
    def runs(self) -> int:
        """How many runs were trained."""
        return sum(map(len, self.scores.values()))


def equally(seeds: int) -> Race:
    """Return a race that gives every arm the same seeds."""

    def race(world: World) -> tuple[str, int]:
        for arm in world.truth:
            world.train(arm, seeds)
        return world.best_now, world.runs

    return race


def by_leaders(world: World) -> tuple[str, int]:
    """P5: one seed each, then four batches of one seed to the top three."""
    for arm in world.truth:
        world.train(arm)
    for _ in seeds_of_batches("leaders", 4):
        for arm in leaders(standings(world.scores, world.run_sd, world.noise), top=3):
            world.train(arm)
    return picked(world), world.runs


def by_halving(world: World) -> tuple[str, int]:
    """P4: one seed each, one more for the better half, two more for the better quarter."""
    left = list(world.truth)
    for arm in left:
        world.train(arm)
    for seeds in seeds_of_batches("halving", 2):
        of_left = {arm: world.scores[arm] for arm in left}
        left = halves(standings(of_left, world.run_sd, world.noise), len(left))
        for arm in left:
            world.train(arm, seeds)
    return max(left, key=lambda arm: statistics.fmean(world.scores[arm])), world.runs


def picked(world: World) -> str:
    """Return the leader of a race by upper bounds: the best mean among arms of two runs or more."""
    several = {arm: of_arm for arm, of_arm in world.scores.items() if len(of_arm) > 1}
    return max(several or world.scores, key=lambda arm: statistics.fmean(world.scores[arm]))


PROCEDURES: dict[str, Race] = {
    "one seed each": equally(1),
    "three seeds each": equally(3),
    "P4 halving 12, 6, 3": by_halving,
    "P5 leaders 12, 4 x 3": by_leaders,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--run-sd", type=float, default=0.02)
    given = parser.parse_args()
    print(f"{given.races:,} races of {ARMS} arms, {given.questions} questions, sd {given.run_sd:g}")
    print(f"{'procedure':24}{'runs':>6}{'cost':>7}{'picked':>9}{'loss, points':>14}")
    for name, race in PROCEDURES.items():
        hits, losses, runs = [], [], []
        for number in range(given.races):
            world = World(np.random.default_rng(number), given.questions, given.run_sd)
            arm, count = race(world)
            best = max(world.truth, key=lambda one: world.truth[one])
            hits.append(arm == best)
            losses.append(100 * (world.truth[best] - world.truth[arm]))
            runs.append(count)
        cost = statistics.fmean(runs) / (3 * ARMS)
        cells = f"{statistics.fmean(runs):6.1f}{cost:7.2f}{statistics.fmean(hits):9.3f}"
        print(f"{name:24}{cells}{statistics.fmean(losses):14.2f}", flush=True)


if __name__ == "__main__":
    main()
