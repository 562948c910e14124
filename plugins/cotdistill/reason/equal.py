"""Whether two answers mean the same: `equivalent`, and the order in which its tiers are asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Kind = Literal["auto", "number", "expression", "letter", "boolean", "date", "text"]

_NUMBER = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:/\d+)?")
_DRESS = re.compile(r"\\(?:left|right|displaystyle|[,!;: ])|[$\s]|\\text\{([^{}]*)\}|\.$")


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What was decided about two answers, and which tier decided it.

    `equal` is None where no tier could tell.
    """

    equal: bool | None
    tier: str


def equivalent(
    a: str,
    b: str,
    *,
    kind: Kind = "auto",
    options: Mapping[str, str] | None = None,
    tolerance: float | None = None,
) -> Equivalence:
    """Decide whether the answer `a` means the same as the gold answer `b`.

    >>> equivalent("1,000", "1000")
    Equivalence(equal=True, tier='number')
    """
    del kind, options
    left, right = (_DRESS.sub(r"\1", side.strip()).lower() for side in (a, b))
    if not left or not right:
        return Equivalence(False, "empty")
    if left == right:
        return Equivalence(True, "text")
    one, two = _rational(left), _rational(right)
    if one is None or two is None:
        return Equivalence(False, "text")
    slack = abs(two) * Fraction(tolerance) if tolerance else 0
    return Equivalence(abs(one - two) <= slack, "number")


def _rational(text: str) -> Fraction | None:
    if not _NUMBER.fullmatch(text) or len(text) > 1000:
        return None
    try:
        top, _, bottom = text.replace(",", "").partition("/")
        return Fraction(top) / Fraction(bottom or "1")
    except (ValueError, ZeroDivisionError):
        return None
