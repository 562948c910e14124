"""Whether two students differ, or only seem to: paired tests, many comparisons, what can be seen.

Both students answered the same questions, so everything here works on pairs; a test of two
separate shares throws that away. Intervals are in `interval`.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Literal

import numpy as np

from cotdistill.errors import DataError, Fault
from cotdistill.tables import counted

_MOST_COUNTED = 1000  # discordant questions: whole numbers of more bits take too long
_EXACT_CELLS = 50_000_000
_DRAWS = 20_000
_GROUPS_AT_ONCE = 64
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PairedTest:
    """What a paired test says of two students on the same questions.

    Units: `wins` counts the questions on which the second student scores higher; `spread` is the
    standard deviation over questions of the difference.
    """

    test: Literal["McNemar", "permutation"]
    p: float
    wins: int
    ties: int
    losses: int
    spread: float

    @property
    def visible(self) -> float:
        """The smallest difference, a fraction, that these questions could have shown.

        At the 5 % level (McNemar), or four times in five (permutation).
        """
        count = self.wins + self.ties + self.losses
        if self.test == "permutation":
            return min(detectable(count, self.spread), 1.0)
        shown = least_significant(count, self.wins + self.losses) or fewest_flips() / count
        return min(shown, 1.0)


def paired(differences: Sequence[float]) -> PairedTest:
    """Choose the paired test that the differences allow, and run it.

    McNemar's exact test where every question is right or wrong, the sign-flip permutation test
    where scores lie between.

    Shapes: differences [questions], second student minus first.

    Raises:
        DataError: there are no differences.

    >>> found = paired([1.0] * 9 + [-1.0] + [0.0] * 30)
    >>> found.test, found.p, found.wins, found.losses, found.visible
    ('McNemar', 0.021484375, 9, 1, 0.2)
    >>> paired([0.25, 0.5, 0.0]).test
    'permutation'
    """
    if not differences:
        raise DataError(Fault("pairs", "no questions", "at least one"))
    count = len(differences)
    wins = sum(value > 0 for value in differences)
    losses = sum(value < 0 for value in differences)
    ties = count - wins - losses
    spread = statistics.stdev(differences) if count > 1 else math.inf
    if all(value in (-1, 0, 1) for value in differences):
        return PairedTest("McNemar", mcnemar(losses, wins), wins, ties, losses, spread)
    p = paired_permutation(differences)
    return PairedTest("permutation", p, wins, ties, losses, spread)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that two students are equally often right alone.

    Only questions that one got right and the other wrong say anything; under "no difference" each
    such question falls to either side like a fair coin.

    Units: counts of questions in, a probability out. No discordant question gives 1.
    Source: McNemar 1947; exact binomial form, Fay 2010, doi:10.1093/biostatistics/kxp050.

    Raises:
        DataError: a count is negative.

    >>> mcnemar(9, 1)
    0.021484375
    """
    if min(only_first, only_second) < 0:
        raise DataError(Fault("pairs", f"{only_first} and {only_second}", "counts of questions"))
    discordant = only_first + only_second
    fewer = min(only_first, only_second)
    if discordant > _MOST_COUNTED:
        return _mcnemar_of_many(discordant, fewer)
    tail = term = 1
    for times in range(1, fewer + 1):  # integers: 0.5 ** n would underflow
        term = term * (discordant - times + 1) // times
        tail += term
    return min(1.0, 2 * tail / (1 << discordant))


def _mcnemar_of_many(discordant: int, fewer: int) -> float:
    """Return the same probability to 12 digits: the last terms of the sum are all that counts.

    >>> exact = 2 * sum(math.comb(2000, k) for k in range(951)) / (1 << 2000)
    >>> math.isclose(_mcnemar_of_many(2000, 950), exact, rel_tol=1e-12)
    True
    """
    share = total = 1.0  # of the largest term, which is the last
    for times in range(fewer, 0, -1):
        share *= times / (discordant - times + 1)
        total += share
        if share < 1e-17 * total:
            break
    return min(1.0, 2 * total * (math.comb(discordant, fewer) / (1 << discordant)))


def paired_permutation(differences: Sequence[float], *, seed: int = 0) -> float:
    """Return the two-sided p-value that the mean difference of paired scores is zero.

    Under "no difference" the two students' labels could be swapped on any question, so each
    difference keeps its size and takes either sign. Scores of k answers lie on a grid, on which
    the distribution of all 2^n sign patterns is computed exactly; other values are drawn
    (`seed`), and the p-value then counts the pattern that was seen as one draw more.

    Shapes: differences [questions], second student minus first.
    Source: Fisher 1935, sec. 21; Phipson and Smyth 2010, doi:10.2202/1544-6115.1585.

    Raises:
        DataError: there are no differences.

    >>> paired_permutation([1, 1, 1, 1, 1, -1, 0, 0]) == mcnemar(5, 1)
    True
    """
    if not differences:
        raise DataError(Fault("pairs", "no questions", "at least one"))
    sizes = [abs(value) for value in differences if value]
    if not sizes:
        return 1.0
    steps = _on_a_grid(differences)
    if steps is not None and sum(map(abs, steps)) * len(sizes) <= _EXACT_CELLS:
        return _exact_sign_flips([step for step in steps if step])
    return _drawn_sign_flips(np.array(sizes), abs(math.fsum(differences)), seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the chance of any false finding stays under the level.

    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that the share of false findings stays under the level.

    Source: Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    >>> benjamini_hochberg([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda place: p_values[place], reverse=True)
    adjusted = [1.0] * count
    lowest = 1.0
    for rank, place in enumerate(order):
        lowest = min(lowest, p_values[place] * count / (count - rank))
        adjusted[place] = lowest
    return adjusted


def fewest_flips(level: float = 0.05) -> int:
    """Return how many questions must flip, all the same way, before McNemar's test sees it.

    >>> fewest_flips()
    6
    """
    flips = 1
    while mcnemar(flips, 0) >= level:
        flips += 1
    return flips


def least_significant(questions: int, discordant: int, level: float = 0.05) -> float | None:
    """Return the smallest difference in score that these flips could have shown, or None.

    Units: `discordant` counts the questions on which the students differ; out comes a fraction of
        all questions.

    >>> least_significant(40, 12)
    0.2
    >>> least_significant(40, 4) is None
    True
    """
    surpluses = range(discordant % 2, discordant + 1, 2)  # the larger, the smaller p
    place = bisect.bisect_left(
        surpluses,
        True,
        key=lambda surplus: (
            mcnemar((discordant + surplus) // 2, (discordant - surplus) // 2) < level
        ),
    )
    return surpluses[place] / questions if place < len(surpluses) else None


def detectable(
    questions: int, spread: float, *, power: float = 0.8, level: float = 0.05, tests: int = 1
) -> float:
    """Return the smallest true difference that a paired comparison finds with a given power.

    Units: `spread` is the standard deviation over questions of the difference in score; for one
        answer a question it is at most the square root of the share of questions that differ.
        `tests` shares the level among so many comparisons.
    Source: the two-sided z formula, Miller 2024, arXiv:2411.00640, sec. 5.

    Raises:
        DataError: there are no questions.

    >>> round(detectable(40, 0.5), 3)
    0.221
    """
    if questions < 1:
        raise DataError(Fault("plan", f"{counted(questions, 'question')}", "at least one"))
    z = _NORMAL.inv_cdf(1 - level / tests / 2) + _NORMAL.inv_cdf(power)
    return z * spread / math.sqrt(questions)


def kappa(
    both: int | Fraction,
    only_first: int | Fraction,
    only_second: int | Fraction,
    neither: int | Fraction,
) -> float | None:
    """Return Cohen's kappa of two judges' yes/no verdicts, None where chance explains all.

    Units: counts, or counts weighed up from a sample.

    Source: Cohen 1960, doi:10.1177/001316446002000104.

    >>> kappa(20, 5, 10, 15)
    0.4
    """
    count = both + only_first + only_second + neither
    if not count:
        return None
    agreed = Fraction(both + neither) / count
    first, second = Fraction(both + only_first) / count, Fraction(both + only_second) / count
    chance = first * second + (1 - first) * (1 - second)
    return float((agreed - chance) / (1 - chance)) if chance != 1 else None


def _on_a_grid(differences: Sequence[float]) -> list[int] | None:
    """Return the differences as whole steps of one size, or None where there is no such size."""
    parts: dict[float, Fraction] = {}
    for value in dict.fromkeys(differences):
        parts[value] = part = Fraction(value).limit_denominator(4096)
        if abs(float(part) - value) > 1e-9:
            return None
    step = math.lcm(*(part.denominator for part in parts.values()))
    if step > 1_000_000:
        return None
    steps = {value: int(part * step) for value, part in parts.items()}
    return [steps[value] for value in differences]


def _exact_sign_flips(steps: list[int]) -> float:
    """Add one question at a time to the distribution of the sum over all sign patterns."""
    seen = abs(sum(steps))
    reach = sum(map(abs, steps))
    chances = np.zeros(2 * reach + 1)
    chances[reach] = 1.0
    for step in map(abs, steps):
        moved = np.zeros_like(chances)
        moved[step:] += chances[: len(chances) - step]
        moved[: len(chances) - step] += chances[step:]
        chances = moved / 2
    sums = np.abs(np.arange(-reach, reach + 1))
    return min(1.0, float(chances[sums >= seen].sum()))


def _drawn_sign_flips(sizes: np.ndarray, seen: float, seed: int) -> float:
    """Count drawn sign patterns whose sum is as far from zero as the one that was seen.

    Eight differences have 256 sign patterns: their sums are looked up by one random byte.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    groups = np.zeros((math.ceil(len(sizes) / 8), 8))
    groups.flat[: len(sizes)] = sizes
    signs = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1.0
    sums = np.zeros(_DRAWS)
    for start in range(0, len(groups), _GROUPS_AT_ONCE):
        tables = groups[start : start + _GROUPS_AT_ONCE] @ signs.T
        drawn = generator.integers(0, 256, size=(len(tables), _DRAWS), dtype=np.uint8)
        for table, patterns in zip(tables, drawn, strict=True):
            sums += table.take(patterns, mode="clip")
    reached = int((np.abs(sums) >= seen * (1 - 1e-12)).sum())
    return (reached + 1) / (_DRAWS + 1)
