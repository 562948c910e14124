"""Ranges: `5–7`, `10-12 days`, `between 3 and 4`. A range is not the difference of its ends."""

from __future__ import annotations

import re
from fractions import Fraction

from cotdistill.grading.equivalence.number import plain
from cotdistill.grading.equivalence.units import worth

_NUMBER = r"(?:\\?[$€£]\s?)?(\d[\d,]*(?:\.\d+)?)\s?\\?%?"
_TEXT = r"(?:\\(?:text|mathrm)\s?\{\s?|\}|[\s$~*])*"
_RANGE = re.compile(
    rf"{_TEXT}(?:(?:from|between){_TEXT})?{_NUMBER}{_TEXT}(?:[-–—−]|to|through|and){_TEXT}{_NUMBER}"
    rf"{_TEXT}([A-Za-z /]*){_TEXT}\.?",
    re.IGNORECASE,
)
_INTERVAL = re.compile(rf"{_TEXT}[\[(]{_TEXT}{_NUMBER}\s?,\s?{_NUMBER}{_TEXT}[\])]{_TEXT}\.?")
_AND = re.compile(r"\band\b", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|between)\b", re.IGNORECASE)

Range = tuple[Fraction, Fraction, str]


def read_range(text: str) -> Range | None:
    """Read the ends and the unit of a range of positive numbers.

    >>> read_range("5–7"), read_range("10 to 12 days"), read_range("7-5"), read_range("1 and 2")
    ((Fraction(5, 1), Fraction(7, 1), ''), (Fraction(10, 1), Fraction(12, 1), 'days'), None, None)
    """
    found = _RANGE.fullmatch(text) if len(text) < 200 else None
    if found is None or (_AND.search(text) and not _FROM.search(text)):
        return None
    low, high = plain(found[1]), plain(found[2])
    if low is None or high is None or low.value >= high.value:
        return None
    return low.value, high.value, found[3].strip()


def same_range(answer: str, gold: Range) -> bool | None:
    """Whether an answer is the range of a gold; None where it is no range and no single number.

    >>> same_range("5 to 7", read_range("5–7")), same_range("-2", read_range("5–7"))
    (True, False)
    """
    low, high, unit = gold
    mine = read_range(answer)
    if mine is None:
        interval = _INTERVAL.fullmatch(answer) if len(answer) < 200 else None
        if interval is None:
            return False if plain(answer.strip("$ .")) else None
        ends = plain(interval[1]), plain(interval[2])
        return [end.value for end in ends if end] == [low, high]
    if not mine[2] or not unit:
        return mine[:2] == (low, high)
    factor = worth(mine[2], unit)
    return factor is not None and (mine[0] * factor, mine[1] * factor) == (low, high)
