"""How often the interval of one model's score covers the truth, and what the paired tests find.

    python benchmarks/intervals.py [ROUNDS]

Two tables. Coverage near 95 % is right, under it the interval is too narrow; false findings near or
under 5 % are right. Run variance is not in here: `run_variance.py` has it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from cotdistill.stats.confidence import cluster_interval, score_interval
from cotdistill.stats.crossed_test import compare_arms
from cotdistill.stats.distributions import t_quantile
from cotdistill.stats.run_variance import Stratum

REFERENCE = {0.05: (87, 88, 91), 0.15: (92, 93, 95), 0.4: (95, 95, 97), 0.7: (94, 94, 96),
             0.9: (92, 92, 94)}  # fmt: skip
"""Coverage in percent by an independent simulation: t, bootstrap, effective sample size."""


def pairs(rounds: int) -> Iterator[Sequence[object]]:
    """Yield two equal models on questions of unequal difficulty, Beta(1.5, 1.5)."""
    yield ("questions", "answers", "score covered %", "difference covered %", "false findings %")
    generator = np.random.default_rng(0)
    for questions in (30, 40, 500):
        for answers in (1, 4, 16):
            score = difference = found = 0
            for _ in range(rounds):
                chance = generator.beta(1.5, 1.5, size=questions)
                one, two = (generator.binomial(answers, chance) / answers for _ in range(2))
                interval = score_interval(one.tolist(), answers=answers)
                compared = compare_arms([one[None]], [two[None]], Stratum({}))
                score += interval.low <= 0.5 <= interval.high
                difference += compared.difference.low <= 0 <= compared.difference.high
                found += compared.p is not None and compared.p < 0.05
            yield (questions, answers, *(100 * n / rounds for n in (score, difference, found)))


def small_benchmarks(rounds: int) -> Iterator[Sequence[object]]:
    """Yield scores on 30 and 40 questions of 16 and 64 answers; logit-normal, question sd 2.5."""
    yield (
        "score", "covered %: t", "reference", "bootstrap", "reference", "exact, effective size",
        "reference", "mean width in points: bootstrap", "exact",
    )  # fmt: skip
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    for target, (by_t, by_bootstrap, by_exact) in REFERENCE.items():
        low, high = -15.0, 15.0
        while high - low > 1e-9:
            middle = (low + high) / 2
            below = weights @ (1 / (1 + np.exp(-(middle + 2.5 * nodes)))) < target
            low, high = (middle, high) if below else (low, middle)
        generator = np.random.default_rng(int(1000 * target))
        covered, widths, count = np.zeros(3), np.zeros(3), 0
        for questions in (30, 40):
            for answers in (16, 64):
                for seed in range(max(rounds // 4, 10)):
                    chance = 1 / (1 + np.exp(-(middle + 2.5 * generator.normal(size=questions))))
                    values = generator.binomial(answers, chance) / answers
                    half = values.std(ddof=1) / np.sqrt(questions)
                    half *= t_quantile(0.975, questions - 1)
                    resampled = cluster_interval(values.tolist(), seed=seed, draws=2000)
                    exact = score_interval(values.tolist(), answers=answers)
                    bounds = np.array(
                        [
                            (values.mean() - half, values.mean() + half),
                            (resampled.low, resampled.high),
                            (exact.low, exact.high),
                        ]
                    )
                    covered += (bounds[:, 0] <= target) & (target <= bounds[:, 1])
                    widths += bounds[:, 1] - bounds[:, 0]
                    count += 1
        percents, points = 100 * covered / count, 100 * widths / count
        yield (
            f"{target:g}", percents[0], by_t, percents[1], by_bootstrap, percents[2], by_exact,
            points[1], points[2],
        )  # fmt: skip


def main(rounds: int) -> None:
    """Print both tables."""
    for table in (pairs, small_benchmarks):
        print("\n" + (table.__doc__ or "").splitlines()[0].removeprefix("Yield "))
        for row in table(rounds):
            cells = [f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row]
            print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
