r"""Compares statements that are no equations: inclusions, arrows, similar figures, logic."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from cotdistill.grading.equivalence.tree import Node, TooBigError, symbols, walk

Same = Callable[[Node, Node], bool | None]
_TURNED = {
    "subset": "supset", "subseteq": "supseteq", "implies": "implied", "to": "from", "in": "ni",
    "notin": "notni", "notsubset": "notsupset",
}  # fmt: skip
_TURNED |= {back: relation for relation, back in _TURNED.items()}
_SYMMETRIC = ("iff", "sim", "cong", "parallel", "perp", "propto", "!=", "=", "~")
_FIGURES = ("sim", "cong")
CONNECTIVES = ("implies", "implied", "iff", "to", "from")
_MOST_LETTERS = 8  # of a formula whose truth table is written out
FIGURES = ("\\angle", "\\triangle")


def same_statement(a: Node, b: Node, same: Same) -> bool | None:
    r"""Whether two chains of relations say the same: A ⊂ B is B ⊃ A, and not B ⊂ A.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> def same(a: str, b: str) -> bool | None:
    ...     trees = parse(a) or Node("text"), parse(b) or Node("text")
    ...     return same_statement(*trees, lambda one, two: one == two)
    >>> same(r"A \subset B", r"B \supset A"), same(r"A \subset B", r"B \subset A")
    (True, False)
    """
    if is_formula(a) and is_formula(b):
        return same_formula(a, b)
    if a.name == b.name and a.name in _FIGURES and (equal := _same_figures(a, b)) is not None:
        return equal
    found = False if a.name != b.name else _each(a.args, b.args, same)
    turned = [_turned(name) for name in reversed(b.name.split())]
    if found is True or a.name.split() != turned:
        return found
    return _each(a.args, b.args[::-1], same)


def _turned(relation: str) -> str:
    return relation if relation in _SYMMETRIC else _TURNED.get(relation, "")


def _each(one: tuple[Node, ...], two: tuple[Node, ...], same: Same) -> bool | None:
    if len(one) != len(two):
        return False
    found = [same(left, right) for left, right in zip(one, two, strict=True)]
    return False if False in found else None if None in found else True


def _same_figures(a: Node, b: Node) -> bool | None:
    """Whether two similarities match the same corners; None where a side is no figure."""
    sides = [corners(side) for side in (*a.args, *b.args)]
    if len(sides) != 4 or any(len(side) < 3 for side in sides):
        return None
    one, two, three, four = sides
    if len(one) != len(two) or len(three) != len(four):
        return False
    matched = set(zip(one, two, strict=True))
    return matched in (set(zip(three, four, strict=True)), set(zip(four, three, strict=True)))


def corners(node: Node) -> tuple[str, ...]:
    r"""Return the letters of a figure, in order: A, B, C of \angle ABC, or of a bare ABC.

    >>> corners(Node("mul", (Node("sym", name="A"), Node("sym", name="B"))))
    ('A', 'B')
    """
    if node.head == "sym":
        names = node.name.split(" ")
        return tuple(names[1:]) if names[0] in FIGURES else (node.name,)
    if node.head == "mul" and node.name != "call":
        letters = [corners(part) for part in node.args]
        return sum(letters, ()) if all(letters) else ()
    return ()


def same_figure(a: Node, b: Node) -> bool:
    r"""Whether two names are of one angle or triangle; one of them may leave its sign out.

    >>> letters = ("A B C", "C B A", "A C B")
    >>> one, two, three = (Node("sym", name=rf"\angle {name}") for name in letters)
    >>> same_figure(one, two), same_figure(one, three)
    (True, False)
    """
    signs = {side.name.split(" ")[0] for side in (a, b) if side.name.startswith(FIGURES)}
    one, two = corners(a), corners(b)
    if len(signs) != 1 or not one or not two:
        return False
    if signs == {"\\triangle"}:
        return sorted(one) == sorted(two)
    return two in (one, one[::-1])


def is_formula(node: Node) -> bool:
    """Whether a node is a formula of logic: letters joined by and, or, not, implies."""
    if node.head == "sym":
        return len(node.name) == 1
    if node.head == "chain" and not set(node.name.split()) <= set(CONNECTIVES):
        return False
    return node.head in ("logic", "chain") and all(map(is_formula, node.args))


def same_formula(a: Node, b: Node) -> bool:
    r"""Whether two formulas have the same truth table.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> formulas = (parse(text) or Node("text") for text in (r"p \to q", r"\neg p \lor q"))
    >>> same_formula(*formulas)
    True
    """
    letters = sorted({*symbols(a), *symbols(b)})
    if len(letters) > _MOST_LETTERS:
        raise TooBigError("too many letters")
    rows = (dict(zip(letters, row, strict=True)) for row in product((0, 1), repeat=len(letters)))
    return all(_truth(a, row) == _truth(b, row) for row in rows)


def _truth(node: Node, row: dict[str, int]) -> bool:
    if node.head == "sym":
        return bool(row[node.name])
    parts = [_truth(part, row) for part in node.args]
    if node.head == "logic":
        return {"and": all(parts), "or": any(parts), "not": not parts[0]}[node.name]
    links = zip(parts, node.name.split(), parts[1:], strict=False)
    return all(
        left == right if link == "iff" else right or not left
        if link in ("implies", "to") else left or not right
        for left, link, right in links
    )  # fmt: skip


def alternatives_clash(a: Node, b: Node) -> bool:
    """Whether one list joins by "and" what the other joins by "or", and that changes the meaning.

    Roots are joined by either: x = 1 or x = 2. Statements about different things, and names, are
    not: a = 1 or b = 2.
    """
    if {a.name, b.name} != {"and", "or"}:
        return False
    members = (*a.args, *b.args)
    if all(member.head in ("sym", "text") for member in members):
        return True
    named = [member.args[0] for member in members if member.head == "chain"]
    return len(named) == len(members) and len(set(named)) > 1


def dressed(node: Node) -> bool:
    """Whether a tree marks vectors as such: by an arrow or in bold type."""
    return any(part.head == "sym" and part.name.startswith("\\vec") for part in walk(node))


def undressed(node: Node) -> Node:
    """Take the arrows off vectors, for an answer that is compared with one without them."""
    if node.head == "sym" and node.name.startswith("\\vec{"):
        letters = node.name[5:-1]
        names = [Node("sym", name=letter) for letter in letters]
        if letters == "i":
            return Node("const", name="i")
        return (
            names[0]
            if len(names) == 1
            else Node("mul", (names[0], names[1]))
            if len(names) == 2
            else node
        )
    args = tuple(map(undressed, node.args))
    return Node(node.head, args, node.name, node.number)
