"""Compares two single values: exactly, then by the policy on rounding, then at many points."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from cotdistill.grading.equivalence.exact import exact
from cotdistill.grading.equivalence.number import Written, agree, written
from cotdistill.grading.equivalence.numeric import Work, decimal_value, identical
from cotdistill.grading.equivalence.symbolic import SymbolicBudget, proven
from cotdistill.grading.equivalence.tree import Node, symbols

_TIERS = ("text", "exact", "rounding", "structure", "numeric", "symbolic")


@dataclass
class State:
    """One comparison under way: its tolerance, the work it may do, the last tier it needed."""

    tolerance: float | None = None
    symbolic: SymbolicBudget = field(default_factory=SymbolicBudget)
    tier: str = "text"
    work: Work = field(default_factory=Work)

    def used(self, tier: str) -> None:
        """Remember the costliest tier that was used."""
        if _TIERS.index(tier) > _TIERS.index(self.tier):
            self.tier = tier


def same_value(a: Node, b: Node, state: State) -> bool | None:
    """Whether two expressions have one value; `b` is the gold. None where nothing can tell.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> def same(a: str, b: str) -> bool | None:
    ...     return same_value(parse(a) or Node("text"), parse(b) or Node("text"), State())
    >>> same("0.0833333333", "1/12"), same("33.3", "100/3"), same("2^{1009}", "2^{1010}")
    (True, False, False)
    """
    one, two = exact(a), exact(b)
    state.used("exact")
    if one is not None and two is not None:
        return one == two or _near(one, two, state) or _round(a, b, one, two, state)
    if _endless(a) or _endless(b):
        return a == b
    if not symbols(a) and not symbols(b) and _constants_agree(a, b, state):
        return True
    state.used("numeric")
    equal = identical(a, b, state.work)
    if equal is None and state.work.left > 0:
        state.used("symbolic")
        equal = proven(a, b, state.symbolic)
    return equal


def _endless(node: Node) -> bool:
    """Whether a value is infinite, or a set of numbers; the bounds of a sum may well be."""
    if node.head == "const":
        return node.name not in ("pi", "e", "i")
    return node.head != "big" and any(map(_endless, node.args))


def _near(one: Fraction, two: Fraction, state: State) -> bool:
    if not state.tolerance:
        return False
    state.used("rounding")
    return abs(one - two) <= (abs(two) if two else 1) * Fraction(state.tolerance)


def _round(a: Node, b: Node, one: Fraction, two: Fraction, state: State) -> bool:
    """Apply the rounding policy where at least one side is a written decimal."""
    left, right = written(a), written(b)
    if left is None and right is None:
        return False
    state.used("rounding")
    if (left is None and one.denominator == 1) or (right is None and two.denominator == 1):
        return False  # whole numbers are no rounding
    shown = left or Written(one, 0, 0), right or Written(two, 0, 0)
    return agree(*shown, a_exact=left is None, b_exact=right is None)


def _constants_agree(a: Node, b: Node, state: State) -> bool:
    """Whether a decimal stands for an irrational value, or two values are within the tolerance."""
    left, right = written(a), written(b)
    if left is None and right is None and not state.tolerance:
        return False
    one, two = (decimal_value(side, state.work) for side in (a, b))
    if one is None or two is None or max(abs(one), abs(two)) > 10**60:
        return False
    exact_one, exact_two = (Fraction(int(side * 10**40), 10**40) for side in (one, two))
    return _near(exact_one, exact_two, state) or _round(a, b, exact_one, exact_two, state)
