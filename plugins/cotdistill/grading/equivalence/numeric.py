"""Compares expressions by their values at fixed points, in as many digits as they need.

Nothing here is random: the same two trees are always evaluated at the same points. A clear
difference at one point says "different"; agreement at three points or more, to 30 digits behind
the decimal point at least, says "equal". Points where a side has no real value are left out, and
so are those where it is so large that a summand of 1 would be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from cotdistill.grading.equivalence.evaluate import Evaluator, UndefinedError, context
from cotdistill.grading.equivalence.tree import Node, TooBigError, symbols, walk

_GOLDEN = Fraction(618033988749894848204586834365638, 10**33)
_STEPPED = frozenset(
    ("floor", "ceil", "factorial", "double factorial", "binomial", "mod", "gcd", "lcm")
)
MOST_WORK = 12_000  # weighted steps for one pair; about 0.2 s at the very worst
_FIRST_DIGITS = 50
_MORE_DIGITS = 60  # at each further try, for a value that may be 0
_ZERO_DIGITS = 150
_LARGEST_PEAK = 10**40  # up to which a value lost in the noise of that many digits is 0
_MOST_DIGITS = 800  # for large values, whose last whole digit counts too
_SURE_DIGITS = 30  # left after cancellation, that must agree
_ENOUGH = 3  # agreeing points that make two expressions equal
_COUNTED = frozenset("nmkijNM")  # symbols that stand for whole numbers next to a floor
_STEPS = 27  # whole numbers below this are all tried where a floor or the like may hide a step
_PLENTY_STEPPED = 16
_PLENTY = 4  # agreeing points after which no more are tried


class Work:
    """Counts down the steps that one comparison may take, and keeps its arithmetic contexts."""

    def __init__(self) -> None:
        self.left = MOST_WORK
        self.contexts: dict[int, Any] = {}

    def context(self, digits: int) -> Any:
        """Give this comparison's own context of so many digits."""
        if digits not in self.contexts:
            self.contexts[digits] = context(digits)
        return self.contexts[digits]

    def spend(self, steps: int) -> None:
        """Take steps off the budget; TooBigError when it is used up."""
        self.left -= steps
        if self.left < 0:
            raise TooBigError("too much work")


def identical(a: Node, b: Node, work: Work | None = None) -> bool | None:
    r"""Whether two expressions have the same values; None where too few points say anything.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> def same(a: str, b: str) -> bool | None:
    ...     return identical(parse(a) or Node("text"), parse(b) or Node("text"))
    >>> same(r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}"), same("(x+1)^2", "x^2+2x-1")
    (True, False)
    >>> same(r"\sqrt{x^2}", "x")
    False
    """
    return _at_points(a, b, _difference, work or Work())


def proportional(a: Node, b: Node, work: Work, *, positive: bool) -> bool | None:
    """Whether one expression is a constant times the other, a `positive` one if required."""
    first: list[Any] = []

    def steady(
        one: Node, two: Node, at: dict[str, Fraction], real: bool, work: Work
    ) -> bool | None:
        digits = 50
        top, bottom = (_value(side, at, digits, real, work) for side in (one, two))
        small = work.context(digits).mpf(10) ** -35
        if abs(top[0]) < small * top[1] and abs(bottom[0]) < small * bottom[1]:
            return None
        if abs(bottom[0]) < small * bottom[1] or abs(top[0]) < small * top[1]:
            return False
        ratio = top[0] / bottom[0]
        if not first:
            if ratio.imag or (positive and ratio.real < 0):
                return False
            first.append(ratio)
            return True
        return bool(abs(ratio - first[0]) < small * abs(first[0]))

    return _at_points(a, b, steady, work)


def decimal_value(node: Node, work: Work) -> Any | None:
    """Give a constant's real value as a multi-precision number; None where it has none."""
    try:
        value = Evaluator(work.context(_FIRST_DIGITS), {}, real=True, spend=work.spend).value(node)
    except (UndefinedError, TooBigError):
        return None
    return value if not getattr(value, "imag", 0) else None


def _value(
    node: Node, at: dict[str, Fraction], digits: int, real: bool, work: Work
) -> tuple[Any, Any]:
    """Evaluate; give the value and the largest size seen on the way to it."""
    weight = max(1, digits // 100)  # long numbers cost more
    evaluator = Evaluator(
        work.context(digits), at, real=real, spend=lambda steps: work.spend(weight * steps)
    )
    value = evaluator.value(node)
    return value, max(evaluator.peak, abs(value))


def _difference(a: Node, b: Node, at: dict[str, Fraction], real: bool, work: Work) -> bool | None:
    digits, earlier = _FIRST_DIGITS, None
    while True:
        (one, peak_one), (two, peak_two) = (_value(side, at, digits, real, work) for side in (a, b))
        ctx = work.context(digits)
        gap, peak = abs(one - two), max(peak_one, peak_two)
        if peak == 0:
            return True
        noise = peak * ctx.mpf(10) ** (8 - digits)
        if gap > noise or (earlier and abs(gap - earlier) * 100 < gap):
            return False  # a gap that more digits leave as it is
        size = max(abs(one), abs(two))
        if size > noise:
            # of large values the last whole digit counts too: 10^45 + 1 is not 10^45
            needed = _SURE_DIGITS + int(ctx.log10(peak / min(size, 1)))
            if digits >= needed:
                return True
            if needed > _MOST_DIGITS:
                return None
            digits = max(needed + 8, digits + 8)
        elif digits >= _ZERO_DIGITS:
            return True if peak < _LARGEST_PEAK else None
        else:
            digits = min(_ZERO_DIGITS, digits + _MORE_DIGITS)
        earlier = gap


_Test = Callable[[Node, Node, dict[str, Fraction], bool, Work], bool | None]


def _at_points(a: Node, b: Node, test: _Test, work: Work) -> bool | None:
    """Ask a test at the points, real ones first; the complex ones only where none is real."""
    names = tuple(sorted({*symbols(a), *symbols(b)}))
    parts = [*walk(a), *walk(b)]
    complex_said = any(part.head == "const" and part.name == "i" for part in parts)
    stepped = any(part.name in _STEPPED or part.head == "big" for part in parts)
    try:
        for real in (False,) if complex_said else (True, False):
            agreed = 0
            for at in _points(names, stepped):
                try:
                    agrees = test(a, b, at, real, work)
                except UndefinedError:
                    continue
                if agrees is False:
                    return False
                agreed += agrees is True
                if agreed >= (_PLENTY if not stepped else _PLENTY_STEPPED):
                    return True
            if agreed >= (_ENOUGH if names else 1):
                return True
    except TooBigError:
        return None
    return None


def _points(names: tuple[str, ...], stepped: bool) -> list[dict[str, Fraction]]:
    if not names:
        return [{}]
    whole = [
        {name: Fraction(start + step * rank) for rank, name in enumerate(names)}
        for start, step in ((7, 4), (11, 3), (23, -2), (30, -5), (6, 1), (2, 1), (3, 2), (17, -3))
    ]
    if stepped:
        steps = [
            {name: Fraction(start + step * rank) for rank, name in enumerate(names)}
            for start in range(1, _STEPS)
            for step in (0, 2)[: len(names)]
        ]
        counted = all(name[0] in _COUNTED for name in names)
        return ([] if counted else _spread(names, 3)) + whole + steps
    return _spread(names, 6) + whole


def _spread(names: tuple[str, ...], most: int) -> list[dict[str, Fraction]]:
    points = []
    for turn in range(most):
        at = {}
        for rank, name in enumerate(names):
            share = ((rank + 1) * (2 * turn + 3) * _GOLDEN + Fraction(turn, 7)) % 1
            value = Fraction(1, 4) + (2 + 3 * (turn == 2)) * share
            minus = turn == 3 or (turn == 4 and rank % 2 == 0) or (turn == 5 and rank % 2 == 1)
            at[name] = -value if minus else value
        points.append(at)
    return points
