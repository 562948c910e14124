"""Whether the arithmetic that a rationale writes out is true: `step_soundness`.

Looked at: equations between plain numbers with at least one sign of arithmetic ("3 boxes * 4 = 12
eggs", chains `a = b = c`) and GSM8K's `<<3*4=12>>`, which then stands for the equation around it.

Policy. Rounding: the side that is one number may be rounded to the digits it shows, by half a unit
of the last digit, or by a whole one after a division (cut off or rounded up). Percent: 20% may
mean 0.2 or 20. Running on: in "3 + 4 = 7 + 2 = 9" each result counts for its own step. Units are
stepped over; an equation with letters for numbers, with units that differ by a conversion (cents
and dollars), or whose beginning cannot be told from the prose, is not counted at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from cotdistill.grading.arithmetic.equations import SCALES, Side, left_of, right_of
from cotdistill.grading.arithmetic.tokens import Token, tokens_of, value_of

_CONVERTED = frozenset({
    "cent", "cents", "dollar", "dollars", "second", "seconds", "minute", "minutes", "hour",
    "hours", "day", "days", "week", "weeks", "month", "months", "year", "years", "inch", "inches",
    "foot", "feet", "yard", "yards", "mile", "miles", "mm", "cm", "m", "km", "meter", "meters",
    "metre", "metres", "g", "kg", "gram", "grams", "kilogram", "kilograms", "ounce", "ounces",
    "pound", "pounds", "oz", "lb", "lbs", "ml", "l", "liter", "liters", "cup", "cups", "pint",
    "pints", "quart", "quarts", "gallon", "gallons", "teaspoon", "teaspoons", "tablespoon",
    "tablespoons", "dimes", "nickels", "pennies",
})  # fmt: skip


_MOST_CHARACTERS = 100_000


@dataclass(frozen=True, slots=True)
class Soundness:
    """How many checkable equations a rationale states, and where the false ones are."""

    stated: int
    false: int
    false_spans: tuple[tuple[int, int], ...]


def step_soundness(text: str) -> Soundness:
    """Count the equations a rationale states that can be checked, and those that are false.

    Only the first 100,000 characters are read: about a second of the most hostile text.

    >>> step_soundness("3 boxes * 4 = 12 eggs, 20% of 50 = 10 and 10/3 = 3.33.")
    Soundness(stated=3, false=0, false_spans=())
    >>> text = "He has 17 - 33 = 1 left. <<2*3=6>>6"
    >>> found = step_soundness(text)
    >>> found.stated, found.false, [text[slice(*span)] for span in found.false_spans]
    (2, 1, ['17 - 33 = 1'])
    """
    tokens = _with_of(tokens_of(text[:_MOST_CHARACTERS]))
    calculated = _calculator_spans(tokens)
    stated = 0
    false: list[tuple[int, int]] = []
    for at, token in enumerate(tokens):
        if token.sort != "equals":
            continue
        if at + 1 < len(tokens) and tokens[at + 1].text == "<<" and not _inside(calculated, at):
            continue  # the annotation that follows says it exactly
        left = left_of(tokens, at)
        right = right_of(tokens, at)
        if left is None or right is None or not _is_claim(left, right):
            continue
        verdict = _holds(left, right)
        if verdict is None or (not verdict and _converts(tokens, at, left, right)):
            continue
        stated += 1
        if not verdict:
            false.append((left.tokens[0].start, right.tokens[-1].end))
    return Soundness(stated, len(false), tuple(false))


def _is_claim(left: Side, right: Side) -> bool:
    """Whether a sign of arithmetic is there; "5 friends = 250 / 5" only names a quantity."""
    return left.has_sign or (right.has_sign and not left.has_unit)


def _with_of(tokens: list[Token]) -> list[Token]:
    """Read "20% of 50" and "1/2 of 50" as products."""
    for at in range(1, len(tokens) - 1):
        token, before = tokens[at], tokens[at - 1]
        if token.text != "of" or tokens[at + 1].sort != "number" or before.sort != "number":
            continue
        is_fraction = (at >= 3 and tokens[at - 2].text == "/") or "frac" in before.text
        if before.percent or is_fraction:
            tokens[at] = Token("sign", "*", token.start, token.end)
    return tokens


def _calculator_spans(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    opened = -1
    for at, token in enumerate(tokens):
        if token.text == "<<":
            opened = at
        elif token.text == ">>" and opened >= 0:
            spans.append((opened, at))
            opened = -1
    return spans


def _inside(spans: list[tuple[int, int]], at: int) -> bool:
    return any(begin < at < stop for begin, stop in spans)


def _holds(left: Side, right: Side) -> bool | None:
    """Whether the sides agree under a reading that the policy allows; None when unreadable."""
    readable = False
    for is_part in (True, False):
        one = value_of(left.tokens, percent_is_part=is_part)
        if one is None:
            continue
        for side in dict.fromkeys((right.tokens, right.first)):
            for other_is_part in (True, False):
                two = value_of(side, percent_is_part=other_is_part)
                if two is None:
                    continue
                readable = True
                if _agree(one, two, left.tokens, side):
                    return True
                if left.may_be_negative and _agree(_negated(left, is_part), two, left.tokens, side):
                    return True
    if left.divides_twice or right.divides_twice:
        return None
    return False if readable else None


def _negated(side: Side, is_part: bool) -> Fraction | None:
    minus = Token("sign", "-", side.tokens[0].start, side.tokens[0].start)
    return value_of((minus, *side.tokens), percent_is_part=is_part)


def _agree(
    one: Fraction | None, two: Fraction, left: tuple[Token, ...], right: tuple[Token, ...]
) -> bool:
    if one is None:
        return False
    if one == two:
        return True
    if one.denominator == two.denominator == 1:
        return False  # rounding never makes one whole number into another
    if abs(one - two) <= abs(one) / 10**9:
        return True
    slack = Fraction(0)
    for side, other in ((left, right), (right, left)):
        numbers = [token for token in side if token.sort == "number"]
        if len(numbers) != 1:
            continue
        shown = numbers[0].decimals + (2 if numbers[0].percent and abs(two) < 1 else 0)
        divides = any(token.text == "/" for token in other)
        slack = max(slack, Fraction(2 if divides else 1, 2) / 10**shown)
    return abs(one - two) <= slack if slack < 1 else abs(one - two) < slack


def _converts(tokens: Sequence[Token], equals: int, left: Side, right: Side) -> bool:
    begin, stop = left.tokens[0].start, right.tokens[-1].end
    before: set[str] = set()
    after: set[str] = set()
    at = equals - 1
    while at >= 0 and tokens[at].start >= begin:
        before |= _measures(tokens[at])
        at -= 1
    at = equals + 1
    while at < len(tokens) and (tokens[at].start < stop or tokens[at].sort == "word"):
        after |= _measures(tokens[at])
        at += 1
        if tokens[at - 1].start >= stop and at > equals + 8:
            break
    return bool(before and after and before != after) or "scale" in after


def _measures(token: Token) -> set[str]:
    if token.sort == "number" and token.text[:1] in "$€£₹":
        return {"dollar"}
    if token.sort == "word" and token.text.lower() in SCALES:
        return {"scale"}
    words = (
        token.text.removeprefix("\\text{").rstrip("}").lower().split()
        if token.sort == "word"
        else []
    )
    return {word.rstrip("s") for word in words if word in _CONVERTED}
