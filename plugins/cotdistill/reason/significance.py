"""Whether two students differ, or only seem to: paired tests, many comparisons, what can be seen.

Both students answered the same questions, so everything here works on pairs; a test of two
separate shares throws that away. Intervals are in `interval`.
"""

from __future__ import annotations

import math

from cotdistill.errors import DataError, Fault


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value that two students are equally often right alone.

    Only questions that one got right and the other wrong say anything; under "no difference" each
    such question falls to either side like a fair coin.

    Units: counts of questions in, a probability out. No discordant question gives 1.
    Source: McNemar 1947; exact binomial form, Fay 2010.

    Raises:
        DataError: a count is negative.

    >>> mcnemar(9, 1)
    0.021484375
    """
    if min(only_first, only_second) < 0:
        raise DataError(Fault("pairs", f"{only_first} and {only_second}", "counts of questions"))
    discordant = only_first + only_second
    fewer = min(only_first, only_second)
    tail = sum(math.comb(discordant, times) for times in range(fewer + 1))
    # Python's integers divide exactly whatever their size, where 0.5 ** n would underflow
    return min(1.0, 2 * tail / (1 << discordant))
