"""Texts whose equations are all plain and true, many at once, so that few texts have to be parsed.

A plain equation is complete in itself and in whole numbers: `3 + 4 - 2 = 5`, `$3 * 4 = $12`. Nearly
all equations of worked solutions are; `step_soundness` parses the texts that have another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
I64 = NDArray[np.int64]

_MOST_DIGITS = 9
_MOST_DIGITS_OF_RESULT = 12
_MOST_OPERANDS = 5
_POWERS_OF_TEN = 10 ** np.arange(_MOST_DIGITS_OF_RESULT, dtype=np.int64)


def _table(characters: str) -> Mask:
    table = np.zeros(256, dtype=bool)
    table[list(characters.encode("latin-1"))] = True
    return table


_DIGIT = _table("0123456789")
_OPERATOR = _table("+-*/x×÷")
_SPACE_OR_BRACKET = _table(" \t\n\r\x0b\x0c(")
_CONTINUES_BEFORE = _table("/%)+*×÷=-")  # before the space: the equation began further left
_CONTINUES = _table("%/?")  # right after the result; "?" may be a character that Latin-1 lacks
_POINT = _table(".,:")
_CONTINUES_AFTER = _table("-+*/x×÷=(^")  # after the result and perhaps a space


@dataclass(frozen=True)
class _Numbers:
    """The runs of digits of a text: where each starts and ends, and its value if it is short."""

    starts: I64
    ends: I64
    values: I64

    @classmethod
    def of(cls, data: NDArray[np.uint8]) -> _Numbers:
        is_digit = (data - np.uint8(48)) < 10
        edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
        starts, ends = edges[::2], edges[1::2]  # data begins and ends with a line end
        if not len(starts):
            return cls(starts, ends, starts)
        places = np.flatnonzero(is_digit)
        exponents = np.repeat(ends, ends - starts) - 1 - places
        digits = (data[places] - 48) * _POWERS_OF_TEN[np.minimum(exponents, 11)]
        first = np.concatenate([[0], np.cumsum(ends - starts)[:-1]])
        return cls(starts, ends, np.add.reduceat(digits, first))

    def ending_at(self, end: I64) -> I64:
        """Return the number of the run that ends before each place; any run where none does."""
        return np.minimum(np.searchsorted(self.ends, end), len(self.ends) - 1)

    def starting_at(self, start: I64) -> I64:
        """Return the number of the run that starts at each place; any run where none does."""
        return np.minimum(np.searchsorted(self.starts, start), len(self.starts) - 1)


def plainly_true(texts: Sequence[str]) -> Mask:
    """Mark the texts in which every equation, if there is any, is plain and holds.

    Shapes: result [texts]. A text that is not marked may still be sound.

    >>> plainly_true(["3 + 4 = 7, so 7 - 2 = 5.", "3 + 4 = 8", "x = 7", "none"]).tolist()
    [True, False, False, True]
    """
    parts = [text.encode("latin-1", "replace") for text in texts]
    data = np.frombuffer(b"\n\n" + b"\n\n".join(parts) + b"\n\n\n", dtype=np.uint8)
    equals = np.flatnonzero(data == ord("="))
    marked = np.ones(len(texts), dtype=bool)
    if len(equals):
        numbers = _Numbers.of(data)
        holds = np.zeros(len(equals), dtype=bool)
        if len(numbers.starts):
            result, plain = _results(data, numbers, equals)
            holds = plain & _holds(data, numbers, equals, result)
        ends = np.cumsum([len(part) + 2 for part in parts])
        marked[np.searchsorted(ends, equals[~holds], side="right")] = False
    return marked


def _results(data: NDArray[np.uint8], numbers: _Numbers, equals: I64) -> tuple[I64, Mask]:
    """Return the number after each equals sign, and where it is one and ends the equation."""
    start = equals + 1
    start = start + (data[start] == ord(" "))
    start = start + (data[start] == ord("$"))
    run = numbers.starting_at(start)
    end = numbers.ends[run]
    follows = data[end]
    after = data[end + (follows == ord(" "))]
    plain = _DIGIT[data[start]] & (end - start <= _MOST_DIGITS_OF_RESULT)
    plain &= ~_CONTINUES[follows] & ~_CONTINUES_AFTER[after]
    plain &= ~(_POINT[follows] & _DIGIT[data[end + 1]])
    return numbers.values[run], plain


def _holds(data: NDArray[np.uint8], numbers: _Numbers, equals: I64, result: I64) -> Mask:
    """Mark the equals signs whose left side is plain and has the value of the result.

    The left side is read from its end: in `10 - 4 + 2 = 8` first 2 with its `+`, which is added to
    the sum of what was read, then 4 with its `-`, then 10, before which the equation begins.
    """
    holds = np.zeros(len(equals), dtype=bool)
    at = np.arange(len(equals))  # the equations that are still read
    end = equals - (data[equals - 1] == ord(" "))
    run = numbers.ending_at(end)
    added = np.zeros(len(equals), dtype=np.int64)
    for _ in range(_MOST_OPERANDS - 1):
        keep = (numbers.ends[run] == end) & (end - numbers.starts[run] <= _MOST_DIGITS)
        at, end, run, added = at[keep], end[keep], run[keep], added[keep]
        second = numbers.values[run]
        before = numbers.starts[run] - 1
        before = before - (data[before] == ord("$"))
        place = before - (data[before] == ord(" "))
        operator = data[place]
        end = place - (data[place - 1] == ord(" "))
        run = numbers.ending_at(end)
        keep = _OPERATOR[operator] & (numbers.ends[run] == end)
        keep &= end - numbers.starts[run] <= _MOST_DIGITS
        at, end, run, added = at[keep], end[keep], run[keep], added[keep]
        second, operator = second[keep], operator[keep]
        begins = _equation_begins(data, numbers.starts[run])
        total = _total(numbers.values[run], operator, second) + added
        holds[at[begins]] = (total == result[at])[begins]
        more = ~begins & ((operator == ord("+")) | (operator == ord("-")))
        signed = np.where(operator == ord("-"), -second, second)
        at, end, run, added = at[more], end[more], run[more], (added + signed)[more]
        if not len(at):
            break
    return holds


def _equation_begins(data: NDArray[np.uint8], start: I64) -> Mask:
    """Mark the numbers before which there is a space or a bracket, and no operator."""
    before = start - 1
    before = before - (data[before] == ord("$"))
    return np.asarray(_SPACE_OR_BRACKET[data[before]] & ~_CONTINUES_BEFORE[data[before - 1]])


def _total(first: I64, operator: NDArray[np.uint8], second: I64) -> I64:
    """Return first and second joined by the operator; no real sum if a division leaves a rest."""
    divides = (operator == ord("/")) | (operator == ord("÷"))
    divisor = np.where(divides & (second != 0), second, 1)
    quotient = np.where((second != 0) & (first % divisor == 0), first // divisor, -(1 << 60))
    total = np.where(divides, quotient, first * second)
    total = np.where(operator == ord("+"), first + second, total)
    return np.where(operator == ord("-"), first - second, total)
