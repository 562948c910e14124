"""The tree that an answer is read into, and the bounds that hold before anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

MOST_CHARACTERS = 3000  # a longer answer is compared as a string only
MOST_DIGITS = 1000  # of one written number; Python itself refuses 4,301
MOST_DEPTH = 40  # of nested brackets, powers and fractions
MOST_TOKENS = 1200
MOST_MEMBERS = 300  # of a list, set, tuple or matrix
MOST_BITS = 8000  # of an exact value: 2^(2^13) is not written out
MOST_SIGNS = 4  # plus-minus signs spelt out: at most 16 values


class UnreadableError(ValueError):
    """The text is not mathematics that the parser knows; it is then compared as text."""


class TooBigError(ArithmeticError):
    """A value or a tree would pass one of the bounds."""


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an answer.

    head     what it is: num, dec, sym, const, add, mul, div, pow, root, fn, big, pm, mp, percent,
             degree, unit, residue, base, ratio, tuple, set, list, matrix, row, union, inter,
             minus, chain, logic, compose, cross, given, text
    args     its parts
    name     of a symbol, function, unit or text; the brackets of a tuple; the digits of a decimal;
             the relations of a chain, separated by spaces
    number   the exact value of a num or dec
    """

    head: str
    args: tuple[Node, ...] = ()
    name: str = ""
    number: Fraction | None = None


def number(value: Fraction | int) -> Node:
    """Write an exact value as a node.

    >>> number(3).number
    Fraction(3, 1)
    """
    return Node("num", number=Fraction(value))


def walk(node: Node) -> list[Node]:
    """List a node and everything below it, parents first.

    >>> [part.head for part in walk(Node("add", (number(1), Node("sym", name="x"))))]
    ['add', 'num', 'sym']
    """
    found = [node]
    for part in found:
        found.extend(part.args)
    return found


def symbols(node: Node) -> tuple[str, ...]:
    """List the names of the free symbols of a node in alphabetical order, each once.

    >>> symbols(Node("add", (Node("sym", name="x"), Node("sym", name="a"))))
    ('a', 'x')
    """
    return tuple(sorted({part.name for part in walk(node) if part.head == "sym"}))


def negative(node: Node) -> Node:
    """Write minus a node, keeping a written number a written number.

    >>> negative(number(3)).number
    Fraction(-3, 1)
    """
    if node.head in ("num", "dec") and node.number is not None:
        return Node(node.head, name=node.name, number=-node.number)
    if node.head in ("percent", "degree", "unit", "residue"):
        return Node(node.head, (negative(node.args[0]), *node.args[1:]), node.name)
    return Node("mul", (number(-1), node))
