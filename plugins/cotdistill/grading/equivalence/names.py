r"""What the left side of an equation names: x, AB, f(x), P(A|B), \frac{dy}{dx}.

Two equations with one value say the same only if their names are of the same thing: f'(x) is not
f(x), a_3 not a_4, P(A) not P(B). A name in words may be of anything, and marks that one side
leaves out (S for S_n, N for N(n)) do not count.
"""

from __future__ import annotations

import re
from fractions import Fraction

from cotdistill.grading.equivalence.statements import FIGURES, same_figure
from cotdistill.grading.equivalence.tree import Node, symbols, walk
from cotdistill.grading.equivalence.words import are_opposites

_FUNCTION_NAMES = (
    "abs max min det sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan gcd lcm factorial"
)
_FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
_DECORATED = re.compile(r"(\\[a-z]+)\{(.+)\}")
_LINES = ("\\overline", "\\overarc", "\\overleftrightarrow", "\\vec", "\\hat")
_DIFFERENTIALS = (Node("sym", name="d"), Node("sym", name="\\partial"))
_SYMBOL = re.compile(r"(\\?[A-Za-z]+)(?:_(.+?))?((?:'|\*|\\prime)*)")
_VARIABLES = frozenset("xyztuvwnmksrjlθ") | {"theta", "phi"}


def is_name(node: Node) -> bool:
    r"""Whether a side of an equation only names what the other gives: x, AB, f(x), (p,q).

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> [is_name(parse(text) or Node("num")) for text in ("x_1", "f(x)", "(p,q)", "2x", "x+y")]
    [True, True, True, False, False]
    """
    if node.head in ("sym", "text") or is_call(node) or _derivative(node):
        return True
    if node.head in ("mul", "tuple", "div", "ratio"):
        return all(is_name(part) for part in node.args)
    if node.head == "fn":
        return node.name in _FUNCTIONS and all(is_name(part) for part in node.args)
    return node.head == "pow" and _is_function_power(node)


def is_call(node: Node) -> bool:
    """Whether a node is a function with its argument: f(x)."""
    return node.head == "mul" and node.name == "call"


def _is_function_power(node: Node) -> bool:
    return node.args[0].head == "sym" and node.args[0].name[:1] in "fghFGHA"


def unlike_names(one: Node, two: Node) -> bool:
    r"""Whether two names are of different things: x and y, AB and CD, f(x) and g(x), f and f'.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> def unlike(a: str, b: str) -> bool:
    ...     return unlike_names(parse(a) or Node("num"), parse(b) or Node("num"))
    >>> unlike("f'(x)", "f(x)"), unlike("a_3", "a_4"), unlike("S_n", "S"), unlike("AB", "BA")
    (True, True, False, False)
    """
    if one == two:
        return False
    derivatives = _derivative(one), _derivative(two)
    if any(derivatives):
        return not all(derivatives) or derivatives[0] != derivatives[1]
    heads = {one.head, two.head}
    if "text" in heads:
        return heads == {"text"} and are_opposites(one.name, two.name)
    if any(side.head == "sym" and side.name.startswith(FIGURES) for side in (one, two)):
        return not same_figure(*(_without_measure(side) for side in (one, two)))
    if is_call(one) and is_call(two):
        return unlike_names(one.args[0], two.args[0]) or _unlike_arguments(one.args[1], two.args[1])
    if is_call(one) or is_call(two):
        call, other = (one, two) if is_call(one) else (two, one)
        return _unlike_to_call(call, other)
    if heads == {"sym"}:
        return _unlike_symbols(one.name, two.name)
    if one.head == two.head and len(one.args) == len(two.args) and one.name == two.name:
        if one.head == "mul":
            return _letters(one) != _letters(two)
        return any(map(unlike_names, one.args, two.args))
    if heads == {"mul", "sym"}:  # \overline{AB} and AB
        line, product = (one, two) if one.head == "sym" else (two, one)
        shape = _DECORATED.fullmatch(line.name)
        return shape is None or shape[1] not in _LINES or sorted(shape[2]) != _letters(product)
    if "num" in heads or "dec" in heads or "pow" in heads:
        return True
    return {*symbols(one)} != {*symbols(two)} or heads != {"div", "ratio"}


def _derivative(node: Node) -> tuple[str, int] | None:
    r"""Read \frac{dy}{dx}, y', f''(x) or \dot{x} as a letter and an order; None for others.

    The variable of \frac{dy}{dt} is part of the letter, and left out where it is x.
    """
    if node.head == "div":
        top, bottom = (_differential(side) for side in node.args)
        if top and bottom and top[1] == bottom[1] and top[2:] != bottom[2:]:
            variable = "" if bottom[2] == "x" else f"/{bottom[2]}"
            return top[2] + variable, top[1]
        return None
    symbol = node.args[0] if is_call(node) else node
    if symbol.head != "sym":
        return None
    accent, primes = _marks(symbol.name)
    order = len(primes) + {"\\dot": 1, "\\ddot": 2}.get(accent, 0)
    if not order or "*" in primes:
        return None
    variable = "/t" if accent else ""
    if is_call(node):
        argument = node.args[1]
        variable = "" if is_variable(argument) else repr(argument)
    return _base(symbol.name) + variable, order


def _differential(node: Node) -> tuple[str, int, str] | None:
    """Read dy, d^2y or dx^2: the letter of the differential, the order, the variable."""
    if node.head != "mul" or len(node.args) != 2 or node.args[1].head not in ("sym", "pow"):
        return None
    sign, letter, order = *node.args, Fraction(1)
    for part in (sign, letter):
        if part.head == "pow" and part.args[1].number is not None:
            order = part.args[1].number
    sign, letter = (part.args[0] if part.head == "pow" else part for part in (sign, letter))
    if sign not in _DIFFERENTIALS or letter.head != "sym" or order.denominator > 1:
        return None
    return sign.name, int(order), letter.name


def _letters(node: Node) -> list[str]:
    return sorted(part.name for part in walk(node) if part.head in ("sym", "const"))


def _without_measure(node: Node) -> Node:
    r"""Take the m off m\angle ABC."""
    if node.head == "mul" and len(node.args) == 2 and node.args[0] == Node("sym", name="m"):
        return node.args[1]
    return node


def _unlike_arguments(one: Node, two: Node) -> bool:
    """Whether two arguments differ by more than the letter of a variable."""
    if _ordered(one) == _ordered(two):
        return False
    return not (is_variable(one) and is_variable(two))


def is_variable(node: Node) -> bool:
    """Whether a node is a letter that may be renamed: the argument of f(x), the index of a_n."""
    return node.head == "sym" and node.name in _VARIABLES


def _ordered(node: Node) -> Node:
    """Sort what may come in any order."""
    args = [_ordered(part) for part in node.args]
    if node.head in ("inter", "union", "add") or (node.head == "mul" and node.name != "call"):
        args.sort(key=repr)
    return Node(node.head, tuple(args), node.name, node.number)


def _unlike_to_call(call: Node, other: Node) -> bool:
    """Whether f(x) and y, or N(n) and N, are of different things."""
    if other.head != "sym" or (not call.args[1].args and call.args[1].head != "sym"):
        return not (other.head == "sym" and _marks(other.name) == _marks(call.args[0].name)
                    and _base(other.name) == _base(call.args[0].name))  # fmt: skip
    function = call.args[0]
    if function.head != "sym":
        return True
    return _marks(other.name) != _marks(function.name)


def _base(name: str) -> str:
    shape = _DECORATED.fullmatch(name)
    inner = shape[2] if shape else name
    read = _SYMBOL.fullmatch(inner)
    return (read[1] if read else inner).lower()


def _marks(name: str) -> tuple[str, str]:
    r"""Return the accent and the primes of a name; an arrow or a line over letters is neither."""
    shape = _DECORATED.fullmatch(name)
    accent, inner = (shape[1], shape[2]) if shape else ("", name)
    if accent == "\\vec" or (accent in _LINES and len(inner) > 1 and inner.isupper()):
        accent = ""
    read = _SYMBOL.fullmatch(inner)
    return accent, (read[3].replace("\\prime", "'") if read else "")


def index_of(name: str) -> str:
    """Return the subscript of a name.

    >>> index_of("a_{n}"), index_of("x_1"), index_of("x")
    ('n', '1', '')
    """
    read = _SYMBOL.fullmatch(name)
    return (read[2] or "").strip("{}()") if read else ""


def _unlike_symbols(one: str, two: str) -> bool:
    if _base(one) != _base(two) or _marks(one) != _marks(two):
        return True
    indices = index_of(one), index_of(two)
    if not all(indices) or indices[0] == indices[1]:
        return False
    return not all(index in _VARIABLES for index in indices)
