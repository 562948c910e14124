"""How often the crossed t test finds a difference between equal arms, and between unequal ones.

    python benchmarks/run_variance.py [components] [equal] [unequal] [means] [scores] [STUDIES]

A study has six arms of S seeds on n questions; three arms are equal, the other three are 5 points
better. Answers are right by a logit-normal model (question sd 2, arm × question 0.4, run × question
1), and a run shifts its whole score by a normal effect of a given standard deviation, in points.
Next to each measured figure stands that of an independent simulation of the same design, made
before this code was written; both are means over scores of 30 and 60 % and 1 and 4 answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from cotdistill.stats.crossed_test import Estimate, compare_arms, with_run_variance
from cotdistill.stats.detectable_effect import TYPICAL
from cotdistill.stats.run_variance import Stratum, arm_spread

GAP = 0.05
QUESTION, ARM_QUESTION, RUN_QUESTION = 2.0, 0.4, 1.0


@cache
def logit_of(score: float) -> tuple[float, float]:
    """Return the mean logit that gives an average score, and the score's slope there."""
    spread = np.sqrt(QUESTION**2 + ARM_QUESTION**2 + RUN_QUESTION**2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    low, high = -15.0, 15.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        chance = 1 / (1 + np.exp(-(middle + spread * nodes)))
        low, high = (middle, high) if weights @ chance < score else (low, middle)
    return middle, float(weights @ (chance * (1 - chance)))


def simulate(
    generator: np.random.Generator,
    questions: int,
    answers: int,
    scores: Sequence[float],
    seeds: Sequence[int],
    run_sds: Sequence[float],
) -> list[np.ndarray]:
    """Return one study: for each arm its scores [runs][questions]."""
    difficulty = generator.normal(0, QUESTION, questions)
    arms = []
    for score, runs, sd in zip(scores, seeds, run_sds, strict=True):
        level, slope = logit_of(score)
        logit = difficulty + level + generator.normal(0, ARM_QUESTION, questions)
        logit = logit + generator.normal(0, RUN_QUESTION, (runs, questions))
        logit += generator.normal(0, sd / slope, (runs, 1))
        chance = 1 / (1 + np.exp(-logit))
        right = np.zeros(chance.shape)
        for _ in range(answers):
            right += generator.random(chance.shape) < chance
        arms.append(right / answers)
    return arms


@dataclass
class Tally:
    """Counts of tests that found a difference, and of intervals that contained the true one."""

    tests: int = 0
    found: int = 0
    covered: int = 0

    def add(self, estimate: Estimate, true: float) -> None:
        """Count a test; its interval holds the truth where the difference from it is not found."""
        off = Estimate(estimate.value - true, estimate.variance, estimate.freedom)
        self.tests += 1
        self.found += estimate.p is not None and estimate.p < 0.05
        self.covered += off.p is None or off.p >= 0.05

    @property
    def found_percent(self) -> float:
        """Percent of tests that found a difference."""
        return 100 * self.found / max(self.tests, 1)

    @property
    def covered_percent(self) -> float:
        """Percent of intervals that contained the true difference."""
        return 100 * self.covered / max(self.tests, 1)


def over_questions(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Return the paired difference of two arms' scores [runs][questions], questions random."""
    gaps = second.mean(axis=0) - first.mean(axis=0)
    return Estimate(float(gaps.mean()), float(gaps.var(ddof=1)) / len(gaps), len(gaps) - 1)


def strata(arms: Sequence[np.ndarray]) -> tuple[Stratum, Stratum]:
    """Return the arms' run variance, always pooled and with the cautious rule."""
    spreads = {str(n): arm_spread([arm]) for n, arm in enumerate(arms) if len(arm) > 1}
    return Stratum(spreads, cautious=False), Stratum(spreads)


def tally_pairs(
    arms: Sequence[np.ndarray],
    pairs: Sequence[tuple[int, int]],
    true: float,
    tallies: Sequence[Tally],
) -> None:
    """Test pairs of arms by questions only, pooled, and with the cautious rule."""
    pooled, cautious = strata(arms)
    for one, two in pairs:
        plain = over_questions(arms[one], arms[two])
        runs = {str(one): len(arms[one]), str(two): len(arms[two])}
        tallies[0].add(plain, true)
        tallies[1].add(with_run_variance(plain, pooled, runs), true)
        tallies[2].add(with_run_variance(plain, cautious, runs), true)


EQUAL = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
APART = [(one, two) for one in range(3) for two in range(3, 6)]
REFERENCE_FALSE = {
    (40, 2): (3.3, 3.7, 4.0), (40, 3): (3.6, 4.1, 4.5), (40, 5): (3.6, 4.6, 4.4),
    (500, 2): (2.9, 5.3, 5.2), (500, 3): (3.9, 5.0, 5.5), (500, 5): (4.1, 5.4, 5.1),
    (1319, 2): (3.4, 5.5, 5.4), (1319, 3): (3.4, 4.7, 5.1), (1319, 5): (3.9, 4.7, 4.8),
}  # fmt: skip
REFERENCE_POWER = {
    (40, 2): (12, 12, 10), (40, 3): (18, 16, 13), (40, 5): (29, 27, 20),
    (500, 2): (82, 41, 18), (500, 3): (94, 64, 27), (500, 5): (99, 85, 43),
    (1319, 2): (98, 50, 19), (1319, 3): (100, 73, 28), (1319, 5): (100, 93, 46),
}  # fmt: skip


def equal(studies: int) -> Iterator[Sequence[object]]:
    """Yield a row for every number of questions, of seeds, and run standard deviation."""
    yield (
        "questions", "seeds", "run sd",
        "false %: questions only", "reference", "pooled", "cautious",
        "5 points found %: reference", "pooled", "cautious",
        "covered %: pooled", "cautious",
    )  # fmt: skip
    for (questions, seeds), expected in REFERENCE_FALSE.items():
        for place, sd in enumerate((0.0, 0.02, 0.04)):
            null, apart = [Tally() for _ in range(3)], [Tally() for _ in range(3)]
            generator = np.random.default_rng([questions, seeds, place])
            for score, answers in ((0.3, 1), (0.3, 4), (0.6, 1), (0.6, 4)):
                if (questions, score, answers) == (1319, 0.3, 4):
                    continue  # nor has the reference
                scores = [score] * 3 + [score + GAP] * 3
                for _ in range(studies):
                    arms = simulate(generator, questions, answers, scores, [seeds] * 6, [sd] * 6)
                    tally_pairs(arms, EQUAL, 0.0, null)
                    tally_pairs(arms, APART, GAP, apart)
            yield (
                questions, seeds, 100 * sd,
                null[0].found_percent, expected[place], null[1].found_percent,
                null[2].found_percent, REFERENCE_POWER[questions, seeds][place],
                apart[1].found_percent, apart[2].found_percent,
                apart[1].covered_percent, apart[2].covered_percent,
            )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A study whose arms differ in seeds or in run variance; arms 0 and 1 are compared.

    `reference` are the false findings of the independent simulation, in percent.
    """

    name: str
    questions: int
    seeds: Sequence[int]
    run_sds: Sequence[float]
    reference: object


def unequal_cases() -> Iterator[Case]:
    """Yield an arm that varies more than the others, and arms with few or different seeds."""
    for sd, expected in ((0.04, (7.4, 7.1, 6.2)), (0.06, (12, 9, 8))):
        for seeds, percent in zip((2, 3, 5), expected, strict=True):
            name = f"one arm varies by {100 * sd:.0f} points, the others by 2; {seeds} seeds"
            yield Case(name, 1000, [seeds] * 6, [sd] + [0.02] * 5, percent)
    for name, seeds, expected in (
        ("1 seed against 2, 2 elsewhere", [1, 2, 2, 2, 2, 2], (3.1, 4.8, 5.8)),
        ("1 seed against 5, 2 elsewhere", [1, 5, 2, 2, 2, 2], (3.6, 5.2, 5.4)),
        ("2 seeds against 5, 2 elsewhere", [2, 5, 2, 2, 2, 2], (3.9, 4.7, 5.8)),
        ("four arms of 2 seeds", [2] * 4, (2.9, 4.0, 5.9)),
        ("twelve arms of 2 seeds", [2] * 12, (3.5, 4.8, 4.6)),
        ("1 against 1, one other arm of 3 seeds", [1, 1, 3, 1, 1, 1], (3.1, 6.6, 6.4)),
        ("1 against 1, two other arms of 2 seeds", [1, 1, 2, 2, 1, 1], (4.1, 7.5, "-")),
    ):
        for questions, percent in zip((40, 500, 1319), expected, strict=True):
            yield Case(name, questions, seeds, [0.02] * len(seeds), percent)
    spread = 0.02 * np.exp(np.linspace(-0.5, 0.5, 6))
    for seeds, expected in ((2, (3.4, 5.2, 5.6)), (3, (3.8, 5.9, 6.8))):
        for questions, percent in zip((40, 500, 1319), expected, strict=True):
            name = f"run sd from 1.2 to 3.3 points; {seeds} seeds"
            yield Case(name, questions, [seeds] * 6, spread, percent)


def unequal(studies: int) -> Iterator[Sequence[object]]:
    """Yield the false findings of studies whose arms differ in seeds or in run variance.

    The reference gives the first six with the cautious rule and the others pooled.
    """
    yield ("arms", "questions", "false %: reference", "pooled", "cautious")
    for number, case in enumerate(unequal_cases()):
        generator = np.random.default_rng([7, number])
        tallies = [Tally() for _ in range(3)]
        seeds, sds = np.array(case.seeds), np.array(case.run_sds)
        for _ in range(2 * studies):
            arms = simulate(generator, case.questions, 1, [0.6] * len(seeds), seeds, sds)
            pairs = [(0, 1)]
            if case.name.startswith("one arm"):
                pairs = [(0, two) for two in range(1, 6)]
            elif len(set(case.seeds)) == 1:
                pairs = [(one, one + 1) for one in range(0, len(seeds) - 1, 2)]
            tally_pairs(arms, pairs, 0.0, tallies)
            if case.name.startswith("run sd"):
                generator.shuffle(sds)
        found = (tally.found_percent for tally in tallies[1:])
        yield (case.name, case.questions, case.reference, *found)


TASKS = ((500, 1), (1319, 1), (30, 16), (40, 16), (272, 1), (675, 1), (198, 1))
REFERENCE_MEANS = {
    2: ((5, 34, 62), (3.1, 4.9, 5.1), (86, 30, 13)),
    3: ((5, 37, 63), (2.7, 5.6, 5.2), (97, 47, 18)),
}


def means(studies: int) -> Iterator[Sequence[object]]:
    """Yield tests of the mean over seven tasks; run effects correlate by 0.6 over tasks."""
    yield (
        "seeds", "run sd", "false %: questions only", "reference", "pooled", "cautious",
        "3 points found %: reference", "pooled", "cautious", "covered %: cautious",
    )  # fmt: skip
    for seeds, (_, false, power) in REFERENCE_MEANS.items():
        for place, sd in enumerate((0.0, 0.02, 0.04)):
            generator = np.random.default_rng([9, seeds, place])
            null, apart = [Tally() for _ in range(3)], [Tally() for _ in range(3)]
            for _ in range(max(studies // 3, 20)):
                arms = seven_tasks(generator, seeds, sd)
                spreads = {str(number): arm_spread(arm) for number, arm in enumerate(arms)}
                for pairs, true, tallies in ((EQUAL, 0.0, null), (APART, 0.03, apart)):
                    for one, two in pairs:
                        for tally, stratum in (
                            (tallies[0], Stratum({})),
                            (tallies[1], Stratum(spreads, cautious=False)),
                            (tallies[2], Stratum(spreads)),
                        ):
                            names = (str(one), str(two))
                            found = compare_arms(arms[one], arms[two], stratum, names=names)
                            tally.add(found.estimate, true)
            yield (
                seeds, 100 * sd, null[0].found_percent, false[place], null[1].found_percent,
                null[2].found_percent, power[place], apart[1].found_percent,
                apart[2].found_percent, apart[2].covered_percent,
            )  # fmt: skip


def seven_tasks(generator: np.random.Generator, seeds: int, sd: float) -> list[list[np.ndarray]]:
    """Return six arms of seven tasks each; three arms are 3 points better in every task."""
    shared = generator.normal(0, np.sqrt(0.6), (6, seeds, 1))
    arms: list[list[np.ndarray]] = [[] for _ in range(6)]
    for number, (questions, answers) in enumerate(TASKS):
        base = 0.3 + 0.05 * number
        difficulty = generator.normal(0, QUESTION, questions)
        for arm in range(6):
            level, slope = logit_of(base + 0.03 * (arm >= 3))
            own = generator.normal(0, np.sqrt(0.4), (seeds, 1))
            logit = difficulty + level + generator.normal(0, ARM_QUESTION, questions)
            logit = logit + generator.normal(0, RUN_QUESTION, (seeds, questions))
            logit += (shared[arm] + own) * sd / slope
            chance = 1 / (1 + np.exp(-logit))
            arms[arm].append(generator.binomial(answers, chance) / answers)
    return arms


def scores(studies: int) -> Iterator[Sequence[object]]:
    """Yield the coverage of the score of one arm with several seeds, run sd 2 and 4 points."""
    yield ("questions", "seeds", "run sd", "covered %: questions only", "with runs")
    for questions in (40, 500, 1319):
        for seeds in (2, 3):
            for sd in (0.02, 0.04):
                generator = np.random.default_rng([questions, seeds, int(100 * sd)])
                plain, whole = Tally(), Tally()
                for _ in range(studies):
                    arms = simulate(generator, questions, 1, [0.6] * 6, [seeds] * 6, [sd] * 6)
                    _, stratum = strata(arms)
                    for number, arm in enumerate(arms):
                        alone = over_questions(np.zeros_like(arm), arm)
                        plain.add(alone, 0.6)
                        whole.add(with_run_variance(alone, stratum, {str(number): seeds}), 0.6)
                yield (
                    questions, seeds, 100 * sd, plain.covered_percent, whole.covered_percent,
                )  # fmt: skip


def components(studies: int) -> Iterator[Sequence[object]]:
    """Yield the variance components of the simulated benchmark: what `plan` assumes."""
    yield ("score", "answers", "arm × question", "run × question with answers", "plan assumes")
    for score in (0.1, 0.3, 0.5, 0.6, 0.8):
        for answers in (1, 4, 16):
            generator = np.random.default_rng([answers, int(100 * score)])
            arm_part, residuals = [], []
            for _ in range(max(studies // 10, 4)):
                arms = simulate(generator, 4000, answers, [score] * 2, [3] * 2, [0.0] * 2)
                residual = np.mean([arm_spread([arm]).noise * 4000 for arm in arms])
                gaps = arms[1].mean(axis=0) - arms[0].mean(axis=0)
                residuals.append(residual)
                arm_part.append((gaps.var(ddof=1) - 2 / 3 * residual) / 2)
            yield (
                score, answers, f"{np.mean(arm_part):.4f}", f"{np.mean(residuals):.3f}",
                f"{TYPICAL.arm_question:.4f} and {TYPICAL.residual(answers):.3f}",
            )  # fmt: skip


def title(table: Callable[[int], object]) -> str:
    """Return what a table shows, from its docstring."""
    return (table.__doc__ or "").splitlines()[0].removeprefix("Yield ")


def main(parts: Sequence[str], studies: int) -> None:
    """Print a table a part."""
    tables = {
        "components": components,
        "equal": equal,
        "unequal": unequal,
        "means": means,
        "scores": scores,
    }
    for part in parts or tables:
        print(f"\n{part}: {title(tables[part])}")
        for row in tables[part](studies):
            cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
            print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main([word for word in sys.argv[1:] if not word.isdigit()], numbers[0] if numbers else 150)
