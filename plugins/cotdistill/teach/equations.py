"""Whether the equations of a symbolic rationale hold, as far as they can be worked out."""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

_LONGEST = 200
"""Characters of a side, and lines of a text, that are looked at."""
_LABEL = re.compile(r"\s*(?:[-*•]\s|\d+[.)]\s)?\s*(?:[A-Za-z][A-Za-z ]*\d*\s*:\s)?")
_SEGMENT = re.compile(r";|,\s+(?=[A-Za-z]\w*\s*=)")
_REMARK = re.compile(r"(?<=[\w)])\s+\([^()=]*\)\s*$|#.*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_WITH_UNIT = re.compile(r"([-+]?\d+(?:\.\d+)?)\s+([A-Za-z][A-Za-z ]*)\.?")
_ALIKE = str.maketrans(
    {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "$": " ", "[": "(", "]": ")"}
)
_OPERATORS: Mapping[type, Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_ROUNDED = Fraction(1, 100)


class _UnknownError(Exception):
    """A side is no arithmetic of numbers and names that have a value."""


def wrong_equation(text: str) -> str:
    r"""Return the first equation that does not hold, or an empty text.

    `a = b = c` holds if all sides that can be worked out are equal; a name by itself on the left
    gets the value. A side with words or with names without a value is passed over, and so is one
    in another unit. Where a side is a decimal number or a fraction, one percent is allowed for
    rounding.

    >>> wrong_equation("t = 3\nb = 4\nn = t + b = 9")
    'n = t + b = 9'
    """
    known: dict[str, Fraction] = {}
    for chain in _chains(text):
        values = []
        unit = ""
        for place, side in enumerate(chain):
            side = _THOUSANDS.sub("", side.translate(_ALIKE)).strip()
            if counted := _WITH_UNIT.fullmatch(side):
                if not place or unit not in ("", counted[2]):
                    continue  # as in 3 feet = 36 inches
                side, unit = counted[1], counted[2]
            try:
                values.append(_value(side, known))
            except (_UnknownError, ZeroDivisionError):
                continue
        name = chain[0] if chain[0].isidentifier() else ""
        if name and len(values) > (name in known):
            values = values[(name in known) :]  # it may get another value
            known[name] = values[-1]
        if any(not _equal(values[0], value) for value in values[1:]):
            return " = ".join(chain)
    return ""


def _chains(text: str) -> Iterator[list[str]]:
    for line in text.splitlines()[:_LONGEST]:
        for segment in _SEGMENT.split(_LABEL.sub("", line, count=1)):
            if "=" not in segment or any(mark in segment for mark in ("==", "<", ">", "!=", "≈")):
                continue
            sides = [_REMARK.sub("", side).strip().rstrip(".") for side in segment.split("=")]
            if all(sides) and max(map(len, sides)) <= _LONGEST:
                yield sides


def _value(side: str, known: Mapping[str, Fraction]) -> Fraction:
    """Work out one side.

    Raises:
        _UnknownError: it is not arithmetic, or a name has no value.
        ZeroDivisionError: it divides by zero.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(side, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _UnknownError from error
    return _of(tree, known)


def _of(node: ast.expr, known: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return Fraction(number)
        case ast.Constant(value=float() as number) if math.isfinite(number):
            return Fraction(str(number))
        case ast.Name(id=name) if name in known:
            return known[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_of(operand, known)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            found = _OPERATORS[type(sign)](_of(left, known), _of(right, known))
            if max(abs(found.numerator), found.denominator).bit_length() > 512:
                raise _UnknownError
            return found
    raise _UnknownError


def _equal(one: Fraction, other: Fraction) -> bool:
    if one.denominator == other.denominator == 1:
        return one == other
    return abs(one - other) <= _ROUNDED * max(abs(one), abs(other))
