"""Numbers as they are written: the fast reading of plain ones, rounding policy, number words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from cotdistill.grading.equivalence.tree import MOST_DIGITS, Node

_PLAIN = re.compile(
    r"([-+]?)\s?(?:(\d{1,3}(?:,\d{3})+|\d+)?(\.\d*)?|(\d{1,3}(?: \d{3})+))(?:[eE]([-+]?\d{1,3}))?"
)
_SURE_DIGITS = 5  # of an answer that stands for a value with more of them: 3.1416 for pi
_GOLD_DIGITS = 3  # of a gold that stands for such a value, with two decimals or more: 1.42
_NOISE = Fraction(1, 10**9)

_ONE_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ONES = {word: value for value, word in enumerate(_ONE_WORDS.split())}
_TENS = {word: 10 * value for value, word in enumerate(_TEN_WORDS.split(), 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_PART_WORDS = (
    "half halves third thirds fourth fourths quarter quarters fifth fifths sixth sixths seventh "
    "sevenths eighth eighths ninth ninths tenth tenths eleventh elevenths twelfth twelfths "
    "fifteenth fifteenths sixteenth sixteenths twentieth twentieths hundredth hundredths "
    "thousandth thousandths"
)
_PART_SIZES = (2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 20, 100, 1000)
PARTS = dict(zip(_PART_WORDS.split(), (n for n in _PART_SIZES for _ in (0, 1)), strict=True))
_SHARES = {"half": Fraction(1, 2), "one half": Fraction(1, 2), "quarter": Fraction(1, 4),
           "one third": Fraction(1, 3), "two thirds": Fraction(2, 3),
           "three quarters": Fraction(3, 4),
           "one quarter": Fraction(1, 4), "one fourth": Fraction(1, 4),
           "three fourths": Fraction(3, 4),
           "dozen": Fraction(12), "a dozen": Fraction(12), "none": Fraction(0)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """A written number: its value, its decimals, and its significant digits."""

    value: Fraction
    places: int
    digits: int


@lru_cache(maxsize=8192)
def plain(text: str) -> Written | None:
    """Read a tidied text that is nothing but one number; None for anything else.

    >>> plain("1,234.50")
    Written(value=Fraction(2469, 2), places=2, digits=6)
    >>> plain("1,23"), plain("1 2"), plain("."), plain("033")
    (None, None, None, Written(value=Fraction(33, 1), places=0, digits=2))
    """
    match = _PLAIN.fullmatch(text) if len(text) <= MOST_DIGITS else None
    if match is None:
        return None
    sign, whole, part, spaced, power = match.groups()
    whole = (whole or spaced or "").replace(",", "").replace(" ", "")
    part = (part or "").removeprefix(".")
    if not whole and not part:
        return None
    raised = int(power or 0)
    value = Fraction(int(whole + part or "0"), 10 ** len(part)) * Fraction(10) ** raised
    return Written(
        -value if sign == "-" else value, len(part) - raised, len((whole + part).lstrip("0"))
    )


def written(node: Node) -> Written | None:
    """See the written form of a number in a tree; None where it is no decimal.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> written(parse("-0.50") or Node("text"))
    Written(value=Fraction(-1, 2), places=2, digits=2)
    """
    if node.head != "dec" or node.number is None:
        return None
    form = plain(node.name)
    return None if form is None else Written(node.number, form.places, form.digits)


def rounded(coarse: Written, value: Fraction, *, gold: bool) -> bool:
    """Whether a written decimal is the rounding of a value, with digits enough to stand for it.

    Policy: five significant digits, or three with two decimals where the gold is the coarse one.
    Whole numbers stand for nothing but themselves.

    >>> rounded(Written(Fraction("3.1416"), 4, 5), Fraction("3.14159"), gold=False)
    True
    >>> rounded(Written(Fraction("33.3"), 1, 3), Fraction(100, 3), gold=True)
    False
    """
    enough = coarse.digits >= _SURE_DIGITS or (
        gold and coarse.digits >= _GOLD_DIGITS and coarse.places >= 2
    )
    if coarse.places < 1 or not enough:
        return False
    unit = Fraction(1, 10**coarse.places)
    gap = abs(coarse.value - value)
    return gap <= unit / 2 or (coarse.digits >= 8 and gap < unit)


def agree(a: Written, b: Written, *, a_exact: bool = False, b_exact: bool = False) -> bool:
    """Whether two written numbers are the same within the policy on rounding; `b` is the gold.

    >>> agree(plain("0.30000000000000004"), plain("0.3")), agree(plain("18.2"), plain("18"))
    (True, False)
    """
    if a.value == b.value:
        return True
    gap, size = abs(a.value - b.value), max(abs(a.value), abs(b.value))
    digits = max(a.digits * (not a_exact), b.digits * (not b_exact))
    if digits >= 10 and max(a.places, b.places) >= 6 and gap <= size * _NOISE:
        return True
    if not b_exact and (a_exact or a.places > b.places):
        return rounded(b, a.value, gold=True)
    if not a_exact and (b_exact or b.places > a.places):
        return rounded(a, b.value, gold=False)
    return False


def number_words(text: str) -> Fraction | None:
    """Read a number written in words.

    >>> number_words("twenty-five"), number_words("one hundred and two"), number_words("often")
    (Fraction(25, 1), Fraction(102, 1), None)
    >>> number_words("five eighths"), number_words("two and a half"), number_words("minus one")
    (Fraction(5, 8), Fraction(5, 2), Fraction(-1, 1))
    """
    flat = text.lower().strip(" .")
    if flat in _SHARES:
        return _SHARES[flat]
    words = flat.replace("-", " ").split()
    if words[:1] in (["minus"], ["negative"]):
        value = number_words(" ".join(words[1:])) if len(words) > 1 else None
        return None if value is None else -value
    shared = _with_share(words)
    if shared is not None:
        return shared
    total, part, known = 0, 0, False
    for word in words[:12]:
        if word in _ONES or word in _TENS:
            part += _ONES.get(word, 0) + _TENS.get(word, 0)
        elif word == "hundred" and known:
            part *= 100
        elif word in _SCALES and known:
            total, part = total + part * _SCALES[word], 0
        elif word == "and" and known:
            continue
        else:
            return None
        known = True
    return Fraction(total + part) if known and len(words) <= 12 else None


def _with_share(words: list[str]) -> Fraction | None:
    """Read `five eighths` and `two and a half`."""
    name = words[-1] if 2 <= len(words) <= 12 else ""
    if name not in PARTS:
        return None
    before = words[:-1]
    if "and" in before:
        place = len(before) - 1 - before[::-1].index("and")
        whole, top = number_words(" ".join(before[:place])), before[place + 1 :]
    else:
        whole, top = Fraction(0), before
    above = Fraction(1) if top in ([], ["a"], ["an"]) else number_words(" ".join(top))
    if whole is None or above is None or not (name.endswith("s") or above == 1):
        return None
    return whole + above / PARTS[name]
