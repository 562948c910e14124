"""Equations and assignments: which part is the name, which the value, and when two say the same."""

from __future__ import annotations

from collections.abc import Callable

from cotdistill.grading.equivalence.numeric import Work, proportional
from cotdistill.grading.equivalence.tree import Node, negative, symbols, walk

Same = Callable[[Node, Node], bool | None]
_NAMED_FUNCTIONS = ("abs", "max", "min", "det")


def is_name(node: Node) -> bool:
    r"""Whether a side of an equation only names what the other gives: x, AB, f(x), (p,q).

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> [is_name(parse(text) or Node("num")) for text in ("x_1", "f(x)", "(p,q)", "2x", "x+y")]
    [True, True, True, False, False]
    """
    if node.head in ("sym", "text"):
        return True
    if node.name == "call" and node.head == "mul":
        return True
    if node.head in ("mul", "tuple", "div", "ratio"):
        return all(is_name(part) for part in node.args)
    if node.head == "fn":
        return node.name in _NAMED_FUNCTIONS and all(is_name(part) for part in node.args)
    if node.head == "pow":
        return node.args[0].head == "sym" and node.args[0].name[:1] in "fgh"
    return False


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

    Policy: `x = 5` and `y = 5` differ; a function may name its argument anew (f(x) and f(n));
    sides may be moved, and multiplied by a constant; a chain of equations is compared as written.
    """
    (name, value), (other_name, other_value) = split(a), split(b)
    if name and other_name and value and other_value:
        said = _same_assignment(name, value, other_name, other_value, same)
        if said is not False or not (symbols(value) or symbols(other_value)):
            return said
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
    """Give the number that an answer such as `a + b = 7` ends in.

    Only where the left side has no numbers of its own: `2x + z = 1` is an equation, not 1.
    """
    if chain.name != "=" or len(chain.args) != 2 or symbols(chain.args[1]):
        return None
    left, value = chain.args
    plain = all(part.number in (None, 2, 3) for part in walk(left)) and left.head == "add"
    plain = plain and not any(part.number is not None for part in left.args)
    return value if plain and value.number != 0 else None


def _unlike(name: Node, other: Node) -> bool:
    """Whether two names are of different things: x and y, AB and CD, f(x) and g(x).

    A name in words, a function for a variable (f(x) = ..., y = ...), and a name with more or fewer
    marks than the other (S, S_n; N, N(n)) may be of the same thing.
    """
    if name == other or "text" in (name.head, other.head):
        return False
    calls = [part.name == "call" and part.head == "mul" for part in (name, other)]
    if calls[0] != calls[1]:
        return False
    one, two = (symbols(part.args[0] if calls[0] else part) for part in (name, other))
    letters = [{symbol.strip("\\")[:1].lower() for symbol in names} for names in (one, two)]
    marked = len(one) == len(two) == 1 and (one[0] in two[0] or two[0] in one[0])
    return not marked and (letters[0] != letters[1] or (one != two and len(one) > 1))


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
    if _unlike(name, other_name):
        return False
    said = same(value, other)
    if said is not True and name.name == other_name.name == "call":
        mine, theirs = name.args[1], other_name.args[1]
        if mine.head == theirs.head == "sym" and mine != theirs and mine.name not in symbols(other):
            said = same(renamed(value, mine.name, theirs.name), other)
    return said


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
