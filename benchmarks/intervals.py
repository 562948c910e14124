"""How often an interval holds the truth and a test finds what is not there, by simulation.

    python benchmarks/intervals.py [ROUNDS]

Questions differ in difficulty (Beta(1.5, 1.5)); two students are equally good. Read: coverage near
0.95 is right, under it too narrow; false findings near or under 0.05 are right.
"""

from __future__ import annotations

import sys

import numpy as np

from cotdistill.stats.confidence import cluster_interval, wilson
from cotdistill.stats.significance import mcnemar, paired_permutation


def main(rounds: int) -> None:
    """Print a row for every number of questions and of answers a question."""
    generator = np.random.default_rng(0)
    heads = ("questions", "answers", "score held", "difference held", "false findings")
    print("  ".join(f"{head:>15}" for head in heads))
    for questions in (30, 40, 500):
        for answers in (1, 4, 16):
            score = difference = found = 0
            for seed in range(rounds):
                chance = generator.beta(1.5, 1.5, size=questions)
                one, two = (generator.binomial(answers, chance) / answers for _ in range(2))
                gaps = (two - one).tolist()
                if answers == 1:
                    held = wilson(int(one.sum()), questions)
                    p = mcnemar(int((one > two).sum()), int((two > one).sum()))
                else:
                    held = cluster_interval(one.tolist(), seed=seed, draws=2000)
                    p = paired_permutation(gaps)
                apart = cluster_interval(gaps, seed=seed, draws=2000)
                score += held.low <= 0.5 <= held.high
                difference += apart.low <= 0 <= apart.high
                found += p < 0.05
            shares = [f"{count / rounds:.3f}" for count in (score, difference, found)]
            print("  ".join(f"{cell:>15}" for cell in (str(questions), str(answers), *shares)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
