"""Does a text end going round in circles? The commonest way in which a small model fails.

Only exact repetition counts: a long list or a search case by case is not a loop.
"""

from __future__ import annotations

_PROBE = 24  # characters at the very end whose earlier occurrences propose a period
_PROPOSALS = 8  # how many of those are tried: a unit may hold its own ending more than once


def loops(text: str, *, copies: int = 4, shortest: int = 120) -> bool:
    r"""Whether a text ends with one piece said over and over, the last copy possibly cut short.

    Units: the copies together are at least `shortest` characters, so that "ha ha ha" is no loop.

    >>> loops("So x = 2. " + "Wait, let me check again. " * 9)
    True
    >>> loops("2 + 2 = 4, 4 + 4 = 8, 8 + 8 = 16, so the answer is 16.")
    False
    """
    text = text.rstrip()
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
