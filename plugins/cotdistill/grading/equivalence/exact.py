"""Exact rational values of trees, computed within a bound on their bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from cotdistill.grading.equivalence.tree import MOST_BITS, Node

_LARGEST_FACTORIAL = 700  # 700! has about 5,600 bits
_LARGEST_POWER = 4000


def exact(node: Node, at: Mapping[str, Fraction] | None = None) -> Fraction | None:
    r"""Give the rational value of a tree, or None where it has none or would pass a bound.

    `at` gives values to symbols.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> def value(text: str) -> Fraction | None:
    ...     node = parse(text)
    ...     return None if node is None else exact(node)
    >>> value("2^{10}-1/2"), value(r"\sqrt{16}"), value(r"\sqrt{2}"), value("9^{9^{9}}")
    (Fraction(2047, 2), Fraction(4, 1), None, None)
    """
    head = node.head
    if head in ("num", "dec"):
        return node.number
    if head == "sym":
        return None if at is None else at.get(node.name)
    if head not in ("add", "mul", "div", "pow", "root", "fn"):
        return None
    parts = []
    for part in node.args:
        value = exact(part, at)
        if value is None:
            return None
        parts.append(value)
    try:
        value = _value(node, parts)
    except (ZeroDivisionError, ValueError, OverflowError):
        return None
    return value if value is not None and _bits(value) <= MOST_BITS else None


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _value(node: Node, parts: list[Fraction]) -> Fraction | None:
    if node.head == "add":
        return _bounded_sum(parts)
    if node.head == "mul":
        if sum(map(_bits, parts)) > 2 * MOST_BITS:
            return None
        return math.prod(parts, start=Fraction(1))
    if node.head == "div":
        return parts[0] / parts[1]
    if node.head == "pow":
        return _power(parts[0], parts[1])
    if node.head == "root":
        return _power(parts[0], 1 / parts[1])
    return _function(node.name, parts)


def _bounded_sum(parts: list[Fraction]) -> Fraction | None:
    total = Fraction(0)
    for part in parts:
        total += part
        if _bits(total) > MOST_BITS:
            return None
    return total


def _power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if base == 0 and exponent == 0:
        return None
    whole, degree = exponent.numerator, exponent.denominator
    if abs(whole) > _LARGEST_POWER or degree > 64 or _bits(base) * abs(whole) > MOST_BITS:
        return None
    if degree == 1:
        return base**whole
    if base < 0:
        if degree % 2 == 0:
            return None
        inner = _root(-base, degree)
        return None if inner is None or whole not in (1, -1) else -(inner**whole)
    inner = _root(base, degree)
    return None if inner is None else inner**whole


def _root(base: Fraction, degree: int) -> Fraction | None:
    top, bottom = _whole_root(base.numerator, degree), _whole_root(base.denominator, degree)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _whole_root(value: int, degree: int) -> int | None:
    if degree == 2:
        guess = math.isqrt(value)
        return guess if guess * guess == value else None
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < value:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == value else None


def _function(name: str, parts: list[Fraction]) -> Fraction | None:
    whole = all(part.denominator == 1 for part in parts)
    numbers = [part.numerator for part in parts]
    if name == "abs" and len(parts) == 1:
        return abs(parts[0])
    if name in ("floor", "ceil") and len(parts) == 1:
        return Fraction(math.floor(parts[0]) if name == "floor" else math.ceil(parts[0]))
    if name in ("max", "min") and parts:
        return max(parts) if name == "max" else min(parts)
    if name == "mod" and len(parts) == 2:
        return parts[0] % parts[1]
    if not whole:
        return None
    if name == "factorial" and 0 <= numbers[0] <= _LARGEST_FACTORIAL:
        return Fraction(math.factorial(numbers[0]))
    if name == "double factorial" and -1 <= numbers[0] <= _LARGEST_FACTORIAL:
        return Fraction(math.prod(range(numbers[0], 0, -2)))
    if name == "binomial" and numbers[1] >= 0 and 0 <= numbers[0] <= _LARGEST_POWER:
        return Fraction(math.comb(*numbers))
    if name in ("gcd", "lcm") and numbers:
        return Fraction(math.gcd(*numbers) if name == "gcd" else math.lcm(*numbers))
    return None
