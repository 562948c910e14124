"""Equations and assignments: which part is the name, which the value, and when two say the same."""

from __future__ import annotations

from collections.abc import Callable

from cotdistill.grading.equivalence.names import (
    index_of,
    is_call,
    is_name,
    is_variable,
    unlike_names,
)
from cotdistill.grading.equivalence.numeric import Work, proportional
from cotdistill.grading.equivalence.tree import Node, negative, number, symbols

Same = Callable[[Node, Node], bool | None]


def split(chain: Node) -> tuple[Node | None, Node | None]:
    r"""Split `name = ... = value` into its name and its value; None for what it has not.

    The last exact part is the value (`k = 1/3 \approx 0.33` has 1/3); what is only an
    approximation counts where nothing else is there.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> name, value = split(parse("x = 1 + 2 = 3") or Node("num"))
    >>> name == Node("sym", name="x"), value and value.number
    (True, Fraction(3, 1))
    """
    signs = ["=", *chain.name.split()]
    if not set(signs) <= {"=", "~"}:
        return None, None
    exact_parts = signs.index("~") if "~" in signs else len(signs)
    names = [part for part in chain.args if is_name(part)]
    firm = [part for part in chain.args[:exact_parts] if not is_name(part)]
    loose = [part for part in chain.args[exact_parts:] if not is_name(part)]
    name = names[0] if names else None
    values = firm or loose or names[1:]
    if not values:
        return name, None
    if name is None and any(symbols(part) for part in chain.args):
        return None, None
    return name, values[-1]


def same_equation(a: Node, b: Node, same: Same, work: Work) -> bool | None:
    """Whether two equations say the same.

    Policy: equations with names of different things differ (see `names`); a function may name its
    argument anew (f(x) and f(n)); a quotient or ratio may be turned round with its value; sides
    may be moved, and multiplied by a constant; a chain of equations is compared as written.
    """
    one, two = assigned(a), assigned(b)
    if one.head == two.head == "list":
        return same(one, two)
    (name, value), (other_name, other_value) = split(a), split(b)
    if name and other_name and value and other_value:
        equal = _same_assignment(name, value, other_name, other_value, same)
        moved = symbols(value) or symbols(other_value)  # y = 2x is x = y/2
        if equal is not False or not moved or is_call(name) or is_call(other_name):
            return equal
    if a.name == b.name == "=":
        return _scaled(a, b, work, positive=False)
    if a.name == b.name:
        parts = [same(one, two) for one, two in zip(a.args, b.args, strict=True)]
        return True if all(parts) else False if False in parts else None
    return None


def same_inequality(a: Node, b: Node, work: Work) -> bool | None:
    """Whether two inequalities in any unknowns are the same up to moved sides and scale."""
    one, two = _upward(a), _upward(b)
    if one is None or two is None:
        return None
    if one.name != two.name:
        return False
    return _scaled(one, two, work, positive=one.name != "!=")


def quantity(chain: Node) -> Node | None:
    r"""Give the number that an answer such as `a + b = 7` or `m + n = 4 + 3 = 7` ends in.

    Only where the left side has no numbers of its own: `2x + z = 1` is an equation, not 1. A chain
    that works a number out has it at its end.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> ends = [quantity(parse(text) or Node("num")) for text in ("a+b=7", "2x+z=1", "2a+b=3+4=7")]
    >>> [end.number if end else None for end in ends]
    [Fraction(7, 1), None, Fraction(7, 1)]
    """
    relations = chain.name.split()
    if not set(relations) <= {"=", "~"} or "=" not in relations:
        return None
    exact_parts = chain.args[: relations.index("~") + 1] if "~" in relations else chain.args
    left, value = exact_parts[0], exact_parts[-1]
    if len(exact_parts) < 2 or symbols(value) or value.number == 0:
        return None
    if len(exact_parts) > 2 and not symbols(exact_parts[-2]):
        return value
    return value if left.head in ("add", "fn", "div", "mul", "root") and _plain(left) else None


def _plain(node: Node) -> bool:
    """Whether an expression has no numbers but exponents, roots and signs."""
    if node.head in ("num", "dec"):
        return node.number == -1
    if node.head in ("pow", "root"):
        return _plain(node.args[0])
    return all(map(_plain, node.args))


def unlike_unknowns(a: Node, b: Node) -> bool:
    """Whether two inequalities or memberships are about different plain unknowns: x > 2, y > 2."""
    found = []
    for chain in (a, b):
        plain = [part for part in chain.args if part.head == "sym"]
        found.append(plain[0].name if len(plain) == 1 == len(symbols(chain)) else "")
    return bool(found[0] and found[1]) and found[0] != found[1]


def assigned(chain: Node) -> Node:
    """Write (x, y) = (1, 2) as x = 1, y = 2; leave any other chain as it is."""
    if chain.name != "=" or len(chain.args) != 2:
        return chain
    names, values = chain.args
    if names.head != "tuple" or values.head != "tuple" or len(names.args) != len(values.args):
        return chain
    pairs = zip(names.args, values.args, strict=True)
    return Node("list", tuple(Node("chain", pair, "=") for pair in pairs), ",")


def _same_assignment(
    name: Node, value: Node, other_name: Node, other: Node, same: Same
) -> bool | None:
    turned = _turned_round(name, value, other_name)
    if turned is None:
        return False
    letters = _renamed_letters(name, other_name)
    if letters is None:
        return same(turned, other)
    mine, theirs = letters
    if theirs in symbols(turned) or mine in symbols(other):
        return False if mine in symbols(turned) else same(turned, other)
    return same(renamed(turned, mine, theirs), other)


def _turned_round(name: Node, value: Node, other: Node) -> Node | None:
    """Return the value of the other name: y : x = 3 : 2 for x : y = 2 : 3; None for another one."""
    if not unlike_names(name, other):
        return value
    one, two = (_ratio(side) for side in (name, other))
    if len(one) < 2 or len(one) != len(two):
        return None
    places = [next((at for at, part in enumerate(one) if not unlike_names(part, member)), -1)
              for member in two]  # fmt: skip
    if sorted(places) != list(range(len(one))):
        return None
    values = _ratio(value)
    if len(values) == len(one):
        return Node("ratio", tuple(values[at] for at in places))
    return Node("div", (number(1), value)) if len(one) == 2 else None


def _ratio(node: Node) -> tuple[Node, ...]:
    return node.args if node.head in ("ratio", "div") else ()


def _renamed_letters(name: Node, other: Node) -> tuple[str, str] | None:
    """Return the letters by which two names differ: the arguments of f(x) and f(t), or indices."""
    if is_call(name) and is_call(other):
        mine, theirs = name.args[1], other.args[1]
        differ = is_variable(mine) and is_variable(theirs) and mine != theirs
        return (mine.name, theirs.name) if differ else None
    if name.head == other.head == "sym":
        indices = index_of(name.name), index_of(other.name)
        if all(indices) and indices[0] != indices[1]:
            return indices
    return None


def renamed(node: Node, old: str, new: str) -> Node:
    """Write one symbol for another."""
    if node.head == "sym" and node.name == old:
        return Node("sym", name=new)
    args = tuple(renamed(part, old, new) for part in node.args)
    return Node(node.head, args, node.name, node.number)


def _upward(chain: Node) -> Node | None:
    """Write an inequality with its greater side first."""
    if len(chain.args) != 2:
        return None
    if chain.name in ("<", "<="):
        return Node("chain", (chain.args[1], chain.args[0]), chain.name.replace("<", ">"))
    return chain if chain.name in (">", ">=", "!=") else None


def _scaled(a: Node, b: Node, work: Work, *, positive: bool) -> bool | None:
    if len(a.args) != 2 or len(b.args) != 2:
        return None
    one, two = (Node("add", (side.args[0], negative(side.args[1]))) for side in (a, b))
    if symbols(one) != symbols(two):
        return False
    if not symbols(one):
        return None
    return proportional(one, two, work, positive=positive)
