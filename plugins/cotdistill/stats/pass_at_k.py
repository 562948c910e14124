"""What several samples of one question say together: avg@k, pass@k, and maj@k over classes.

A vote is cast for a class of equal answers, not for a string: `1/2`, `0.5` and `50%` are
one candidate. Who decides that two answers are equal is passed in, so nothing here knows a grader.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence


def share_correct(correct: Sequence[bool]) -> float:
    """Return avg@k: the share of samples that are right.

    Raises:
        ValueError: there is no sample.

    >>> share_correct([True, False, True, True])
    0.75
    """
    if not correct:
        raise ValueError("avg@k needs at least one sample")
    return sum(correct) / len(correct)


def pass_at(correct: Sequence[bool], k: int) -> float:
    """Return the unbiased pass@k: the chance that k samples drawn from these hold a right one.

    Source: Chen et al. 2021, arXiv:2107.03374, equation 1, as a product so that nothing overflows.

    Raises:
        ValueError: k is not between 1 and the number of samples.

    >>> pass_at([True, False, False, False], 1), pass_at([True, False, False, False], 2)
    (0.25, 0.5)
    """
    samples, right = len(correct), sum(correct)
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs between 1 and {samples} samples drawn")
    all_wrong = 1.0
    for drawn in range(k):
        all_wrong *= max(samples - right - drawn, 0) / (samples - drawn)
    return 1.0 - all_wrong


def classes_of(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> list[int | None]:
    """Number the classes of equal answers in the order in which they first appear.

    An answer is compared with the first member of each class, and only once for each spelling.
    A sample without an answer (None) belongs to no class.

    >>> classes_of(["1/2", None, "3", "0.5", "1/2"], lambda a, b: {a, b} == {"1/2", "0.5"})
    [0, None, 1, 0, 0]
    """
    firsts: list[str] = []
    known: dict[str, int] = {}
    for answer in answers:
        if answer is None or answer in known:
            continue
        found = next((n for n, first in enumerate(firsts) if same(answer, first)), len(firsts))
        if found == len(firsts):
            firsts.append(answer)
        known[answer] = found
    return [None if answer is None else known[answer] for answer in answers]


def winner(classes: Sequence[int | None]) -> int | None:
    """Return the class with the most votes, or None where nobody voted.

    Ties: the class that was sampled first wins, so nothing depends on hash order.

    >>> winner([0, 1, 1, None]), winner([0, 1]), winner([None])
    (1, 0, None)
    """
    votes = Counter(found for found in classes if found is not None)
    return max(votes, key=lambda found: (votes[found], -found)) if votes else None


def majority_correct(classes: Sequence[int | None], correct: Sequence[bool], k: int) -> bool:
    """Return maj@k: whether the class that wins among the first k samples is a right one.

    A class is right if its first member was graded right.

    Raises:
        ValueError: k is not between 1 and the number of samples, or the lengths differ.

    >>> majority_correct([0, 1, 1, 2], [True, False, False, False], k=4)
    False
    >>> majority_correct([0, 1, 1, 2], [True, False, False, False], k=2)
    True
    """
    if len(classes) != len(correct) or not 1 <= k <= len(classes):
        raise ValueError(f"maj@{k} needs k within {len(classes)} classes of {len(correct)} samples")
    won = winner(classes[:k])
    return won is not None and correct[classes.index(won)]


def steps_up_to(samples: int) -> list[int]:
    """Return the k for which pass@k and maj@k are reported: the powers of two, and all samples.

    >>> steps_up_to(1), steps_up_to(4), steps_up_to(10)
    ([1], [1, 2, 4], [1, 2, 4, 8, 10])
    """
    powers = [1 << exponent for exponent in range(samples.bit_length()) if 1 << exponent < samples]
    return [*powers, samples]
