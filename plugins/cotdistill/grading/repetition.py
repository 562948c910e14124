"""Does a text go round in circles? The commonest way in which a small model never answers.

Two symptoms, either is enough. The text ends with one piece repeated over and over; or some
stretch of it is so repetitive that it shrinks to a seventh, even if the text later changes.
Written solutions shrink to a fifth at most: of the golds of MATH-500 and OlympiadBench over 1,500
characters none goes beyond 5.5; of 30 real AIME responses with endless thoughts 26 go beyond 7.
"""

from __future__ import annotations

import zlib

_PROBE = 24  # characters at the very end whose earlier occurrences propose a period
_PROPOSALS = 8  # how many of those are tried: a unit may hold its own ending more than once
_STRETCH = 4000  # characters; a shorter rest than this is not looked at for the second sign
_SHRINKS_TO = 7


def loops(text: str, *, copies: int = 4, shortest: int = 120) -> bool:
    r"""Whether a text repeats itself without an end, the last copy possibly cut short.

    Units: the copies together are at least `shortest` characters, so that "ha ha ha" is no loop.

    >>> loops("So x = 2. " + "Wait, let me check again. " * 9)
    True
    >>> loops("2 + 2 = 4, 4 + 4 = 8, 8 + 8 = 16, so the answer is 16.")
    False
    """
    if _ends_in_copies(text.rstrip(), copies, shortest):
        return True
    stretches = range(0, len(text) - _STRETCH + 1, _STRETCH)
    return bool(stretches) and any(_shrinks(text[at : at + _STRETCH]) for at in stretches)


def _shrinks(stretch: str) -> bool:
    data = stretch.encode("utf-8", "surrogatepass")
    return len(data) > _SHRINKS_TO * len(zlib.compress(data, 6))


def _ends_in_copies(text: str, copies: int, shortest: int) -> bool:
    start = len(text) - _PROBE
    if start < 0:
        return False
    ending, found = text[start:], start
    for _ in range(_PROPOSALS):
        found = text.rfind(ending, 0, found + _PROBE - 1)
        if found < 0:
            return False
        period = start - found
        copied = max(period * copies, shortest)
        if copied > len(text):
            return False
        if text[-copied:-period] == text[period - copied :]:
            return True
    return False
