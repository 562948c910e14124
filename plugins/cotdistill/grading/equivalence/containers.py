"""Lists, sets, tuples and matrices: who may meet whom, in which order, and matrix arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product

from cotdistill.grading.equivalence.exact import exact
from cotdistill.grading.equivalence.tree import (
    MOST_SIGNS,
    Node,
    TooBigError,
    negative,
    number,
    walk,
)
from cotdistill.grading.equivalence.units import measure

Same = Callable[[Node, Node], bool | None]
HOLDERS = ("list", "set", "tuple", "matrix")
_MOST_NODES = 400  # of one cell of a product
_MOST_CELLS = 144  # of a matrix that is worked out


def spelt_out(node: Node) -> list[Node]:
    r"""Write each plus-minus sign both ways, a minus-plus following the first plus-minus.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> [part.number for part in spelt_out(parse(r"\pm 3") or Node("text"))]
    [Fraction(3, 1), Fraction(-3, 1)]
    """
    signs = sum(part.head == "pm" for part in walk(node))
    if signs == 0:
        if not any(part.head == "mp" for part in walk(node)):
            return [node]
        signs = 1
    if signs > MOST_SIGNS:
        raise TooBigError("too many plus-minus signs")
    return [_signed(node, list(chosen), chosen[0]) for chosen in product((1, -1), repeat=signs)]


def _signed(node: Node, chosen: list[int], first: int) -> Node:
    if node.head in ("pm", "mp"):
        sign = chosen.pop(0) if node.head == "pm" else -first
        inside = _signed(node.args[0], chosen, first)
        return inside if sign > 0 else negative(inside)
    if not node.args:
        return node
    args = tuple(_signed(part, chosen, first) for part in node.args)
    return Node(node.head, args, node.name, node.number)


def members(node: Node) -> list[Node]:
    """List the members of a list or set, with lists inside it and plus-minus signs opened."""
    found: list[Node] = []
    for part in node.args:
        if part.head == "list":
            found += members(part)
        else:
            found += spelt_out(part)
    return found


def same_members(a: Node, b: Node, same: Same) -> bool | None:
    """Whether two holders hold the same.

    Policy: sets and bare lists are compared in any order, a set without repeats; tuples, square
    brackets and matrices in their order; a bare list and a tuple in their order; a tuple is no
    set; a column or row matrix may be written as a tuple.
    """
    kinds = {a.head, b.head}
    if kinds == {"set", "tuple"}:
        return False
    if kinds == {"matrix"}:
        return _same_matrix(a, b, same)
    if "matrix" in kinds:
        nested = _nested(a if b.head == "matrix" else b)
        if nested is not None:
            pair = (nested, b) if b.head == "matrix" else (a, nested)
            return _same_matrix(*pair, same)
        flat = [_flattened(side) for side in (a, b)]
        if flat[0] is None or flat[1] is None or "set" in kinds:
            return False
        return in_order(flat[0], flat[1], same)
    if kinds == {"tuple"} and len(a.args) == 2 and len(b.args) == 2 and a.name != b.name:
        return False  # an interval with other ends
    if "tuple" in kinds:
        one, two = (list(side.args) if side.head == "tuple" else members(side) for side in (a, b))
        return in_order(one, two, same)
    one, two = members(a), members(b)
    if "set" in kinds:
        one, two = _once(one, same), _once(two, same)
    return in_any_order(one, two, same)


def labels(node: Node) -> dict[str, Node]:
    """Return the members of a list by what each is labelled with; nothing where one has no label.

    >>> boys = Node("unit", (number(2),), "boys")
    >>> [*labels(Node("list", (boys, Node("chain", (Node("text", name="girls"), number(3)), "="))))]
    ['boys', 'girls']
    """
    found: dict[str, Node] = {}
    for member in node.args:
        label = ""
        if member.head == "unit":
            label = measure(member.name).words
        elif member.head == "chain" and member.args[0].head == "text":
            label = member.args[0].name
        if not label or label in found:
            return {}
        found[label] = member
    return found


def in_order(one: list[Node], two: list[Node], same: Same) -> bool | None:
    """Whether two rows of members are the same one by one."""
    if len(one) != len(two):
        return False
    unsure = False
    for left, right in zip(one, two, strict=True):
        equal = same(left, right)
        if equal is False:
            return False
        unsure |= equal is None
    return None if unsure else True


def in_any_order(one: list[Node], two: list[Node], same: Same) -> bool | None:
    """Whether the members can be paired off."""
    if len(one) != len(two):
        return False
    waiting = Counter(two)
    rest, unsure = [], False
    for member in one:
        if waiting[member] > 0:
            waiting[member] -= 1
        else:
            rest.append(member)
    left = list(waiting.elements())
    for member in rest:
        for at, other in enumerate(left):
            equal = same(member, other)
            unsure |= equal is None
            if equal:
                del left[at]
                break
        else:
            return None if unsure else False
    return True


def _once(row: list[Node], same: Same) -> list[Node]:
    kept: list[Node] = []
    for member in row[:60]:
        if not any(same(member, other) for other in kept):
            kept.append(member)
    return kept + row[60:]


def _flattened(node: Node) -> list[Node] | None:
    if node.head != "matrix":
        return list(node.args)
    if len(node.args) == 1:
        return list(node.args[0].args)
    return (
        [row.args[0] for row in node.args] if all(len(row.args) == 1 for row in node.args) else None
    )


def _nested(node: Node) -> Node | None:
    """Write [[1, 2], [3, 4]] as a matrix."""
    if node.head != "tuple" or any(part.head != "tuple" for part in node.args):
        return None
    return Node("matrix", tuple(Node("row", part.args) for part in node.args))


def _same_matrix(a: Node, b: Node, same: Same) -> bool | None:
    if len(a.args) != len(b.args):
        return False
    rows = zip(a.args, b.args, strict=True)
    found = [in_order(list(one.args), list(two.args), same) for one, two in rows]
    return False if False in found else None if None in found else True


def worked_out(node: Node) -> Node:
    r"""Work out sums, multiples, products and transposes of matrices; leave anything else.

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> twice = worked_out(parse(r"2\begin{pmatrix}1 & 2\end{pmatrix}") or Node("text"))
    >>> twice.head, twice.args[0].args[1].head
    ('matrix', 'mul')
    """
    if node.head == "matrix" and node.name == "v":
        return _determinant(node)
    if node.head not in ("add", "mul", "div", "pow") or not any(
        part.head == "matrix" for part in walk(node)
    ):
        return node
    parts = [worked_out(part) for part in node.args]
    if sum(_cells(part) for part in parts) > _MOST_CELLS:
        return node
    if node.head == "add" and all(part.head == "matrix" for part in parts):
        if len({(len(part.args), len(part.args[0].args)) for part in parts}) != 1:
            return node
        return _matrix([
            [Node("add", cells) for cells in zip(*(row.args for row in rows), strict=True)]
            for rows in zip(*(part.args for part in parts), strict=True)
        ])  # fmt: skip
    if node.head == "mul" and len(parts) == 2:
        return _times(parts[0], parts[1], node)
    if node.head == "div" and parts[0].head == "matrix" and parts[1].head != "matrix":
        return _each(parts[0], lambda cell: Node("div", (cell, parts[1])))
    if node.head == "pow" and parts[0].head == "matrix" and parts[1] == Node("sym", name="T"):
        return _matrix(
            [list(column) for column in zip(*(row.args for row in parts[0].args), strict=True)]
        )
    return node


def _determinant(node: Node) -> Node:
    """Work out a determinant of exact numbers; leave any other."""
    rows = [[exact(cell) for cell in row.args] for row in node.args]
    if len(rows) > 8 or any(len(row) != len(rows) for row in rows):
        return node
    kept = [[cell for cell in row if cell is not None] for row in rows]
    if any(len(row) != len(rows) for row in kept):
        return node
    value = Fraction(1)
    while kept:
        pivot = next((row for row in kept if row[0]), None)
        if pivot is None:
            return number(0)
        value *= pivot[0] * (-1) ** kept.index(pivot)
        kept.remove(pivot)
        kept = [
            [cell - row[0] / pivot[0] * top for cell, top in zip(row[1:], pivot[1:], strict=True)]
            for row in kept
        ]
    return number(value)


def _cells(node: Node) -> int:
    return sum(len(row.args) for row in node.args) if node.head == "matrix" else 0


def _matrix(rows: list[list[Node]]) -> Node:
    return Node("matrix", tuple(Node("row", tuple(row)) for row in rows))


def _each(matrix: Node, change: Callable[[Node], Node]) -> Node:
    return _matrix([[change(cell) for cell in row.args] for row in matrix.args])


def _times(left: Node, right: Node, whole: Node) -> Node:
    if left.head != "matrix" and right.head != "matrix":
        return whole
    if left.head != "matrix":
        return _each(right, lambda cell: Node("mul", (left, cell)))
    if right.head != "matrix":
        return _each(left, lambda cell: Node("mul", (cell, right)))
    if len(left.args[0].args) != len(right.args):
        return whole
    columns = list(zip(*(row.args for row in right.args), strict=True))
    return _matrix([[_dotted(row.args, column) for column in columns] for row in left.args])


def _dotted(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
    cell = Node("add", tuple(Node("mul", pair) for pair in zip(row, column, strict=True)))
    value = exact(cell)
    if value is not None:
        return number(value)
    if len(walk(cell)) > _MOST_NODES:
        raise TooBigError("too big a matrix product")
    return cell
