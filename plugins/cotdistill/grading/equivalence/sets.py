"""Sets of real numbers - intervals, inequalities, unions - brought to one form and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from cotdistill.grading.equivalence.exact import exact
from cotdistill.grading.equivalence.numeric import Work, decimal_value
from cotdistill.grading.equivalence.tree import Node, negative, number, symbols, walk

Same = Callable[[Node, Node], bool | None]
_INFINITE = Node("const", name="inf")
_BELOW = Node("mul", (number(-1), _INFINITE))
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}
_MOST_PIECES = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """One interval: its ends, whether they belong to it, and its ends as floats to sort by."""

    low: Node
    high: Node
    low_in: bool
    high_in: bool
    start: float
    stop: float


def is_real_set(node: Node) -> bool:
    """Whether a node can only be meant as a set of reals (a pair in round brackets may be a point).

    >>> from cotdistill.grading.equivalence.parser import parse
    >>> [is_real_set(parse(text) or Node("text")) for text in ("(1,2]", "x<2", "(1,2)", "x=2")]
    [True, True, False, False]
    """
    if node.head in ("union", "inter", "minus"):
        return True
    if node.head == "const":
        return node.name == "reals"
    if node.head == "chain":
        return any(sign in ("<", "<=", ">", ">=", "!=") for sign in node.name.split()) or (
            node.name == "in" and is_real_set(node.args[1])
        )
    if node.head == "tuple" and len(node.args) == 2:
        return node.name in ("(]", "[)") or any(_end_sign(end) for end in node.args)
    return False


def pieces(node: Node, work: Work) -> list[Piece] | None:
    """Bring a set of reals to sorted intervals that do not touch, or None."""
    found = _pieces(node, work)
    if found is None or len(found) > _MOST_PIECES:
        return None
    merged: list[Piece] = []
    for piece in sorted(found, key=lambda piece: (piece.start, not piece.low_in)):
        last = merged[-1] if merged else None
        if last and (
            piece.start < last.stop or (piece.start == last.stop and (piece.low_in or last.high_in))
        ):
            if (piece.stop, piece.high_in) > (last.stop, last.high_in):
                merged[-1] = replace(last, high=piece.high, high_in=piece.high_in, stop=piece.stop)
        else:
            merged.append(piece)
    return merged


def same_sets(a: Node, b: Node, same: Same, work: Work) -> bool | None:
    """Whether two sets of reals are the same, comparing the ends by `same`."""
    one, two = pieces(a, work), pieces(b, work)
    if one is None or two is None:
        return None
    if len(one) != len(two):
        return False
    unsure = False
    for left, right in zip(one, two, strict=True):
        if (left.low_in, left.high_in) != (right.low_in, right.high_in):
            return False
        for ends in ((left.low, right.low), (left.high, right.high)):
            equal = same(*ends)
            if equal is False:
                return False
            unsure |= equal is None
    return None if unsure else True


def _end_sign(node: Node) -> int:
    """Give +1 or -1 for an infinite end, 0 for any other."""
    if not any(part.head == "const" and part.name == "inf" for part in walk(node)):
        return 0
    return -1 if node.head == "mul" and node.args[0].number == -1 else 1


def _at(node: Node, work: Work) -> float | None:
    sign = _end_sign(node)
    if sign:
        return sign * float("inf")
    value = decimal_value(node, work)
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None


def _piece(low: Node, high: Node, low_in: bool, high_in: bool, work: Work) -> list[Piece] | None:
    start, stop = _at(low, work), _at(high, work)
    if start is None or stop is None:
        return None
    low_in, high_in = low_in and abs(start) != float("inf"), high_in and abs(stop) != float("inf")
    if start > stop or (start == stop and not (low_in and high_in)):
        return []
    return [Piece(low, high, low_in, high_in, start, stop)]


def _pieces(node: Node, work: Work) -> list[Piece] | None:
    if node.head == "const" and node.name == "reals":
        return _piece(_BELOW, _INFINITE, False, False, work)
    if node.head == "tuple" and len(node.args) == 2:
        low, high = node.args
        closed = node.name[0] == "[", node.name[1] == "]"
        start, stop = _at(low, work), _at(high, work)
        if start is not None and stop is not None and start > stop:
            return [Piece(low, high, *closed, start, stop)]  # a point (5, 2), no interval
        return _piece(low, high, *closed, work)
    if node.head == "list" and all(is_real_set(part) for part in node.args):
        both = _pieces(Node("inter", node.args), work)  # x > 2, x < 5
        return both or _pieces(Node("union", node.args), work)
    if node.head in ("set", "list"):
        return _joined([_piece(part, part, True, True, work) for part in node.args])
    if node.head == "union":
        return _joined([_pieces(part, work) for part in node.args])
    if node.head in ("inter", "minus"):
        parts = [_pieces(part, work) for part in node.args]
        if any(part is None for part in parts):
            return None
        whole = parts[0] or []
        for part in parts[1:]:
            cut = part or []
            whole = _common(whole, _complement(cut) if node.head == "minus" else cut)
        return whole
    if node.head == "chain":
        return _chain(node, work)
    return None


def _joined(parts: list[list[Piece] | None]) -> list[Piece] | None:
    found: list[Piece] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return found


def _common(one: list[Piece], two: list[Piece]) -> list[Piece]:
    found = []
    for left in one:
        for right in two:
            low = max(left, right, key=lambda piece: (piece.start, not piece.low_in))
            high = min(left, right, key=lambda piece: (piece.stop, piece.high_in))
            if low.start < high.stop or (low.start == high.stop and low.low_in and high.high_in):
                found.append(
                    Piece(low.low, high.high, low.low_in, high.high_in, low.start, high.stop)
                )
    return found[:_MOST_PIECES]


def _complement(cut: list[Piece]) -> list[Piece]:
    found, low, low_in, start = [], _BELOW, False, float("-inf")
    for piece in sorted(cut, key=lambda piece: piece.start):
        if start < piece.start or (start == piece.start and low_in and not piece.low_in):
            found.append(Piece(low, piece.low, low_in, not piece.low_in, start, piece.start))
        low, low_in, start = piece.high, not piece.high_in, piece.stop
    if start < float("inf"):
        found.append(Piece(low, _INFINITE, low_in, False, start, float("inf")))
    return found


def _chain(node: Node, work: Work) -> list[Piece] | None:
    signs, parts = node.name.split(), node.args
    if signs == ["in"]:
        return _pieces(parts[1], work)
    if len(signs) == 2 and (set(signs) <= {"<", "<="} or set(signs) <= {">", ">="}):
        if symbols(parts[0]) or symbols(parts[2]) or not _unknown(parts[1]):
            return None
        low, high = (parts[0], parts[2]) if signs[0][0] == "<" else (parts[2], parts[0])
        ins = [sign.endswith("=") for sign in signs]
        first, last = ins if signs[0][0] == "<" else ins[::-1]
        return _piece(low, high, first, last, work)
    if len(signs) != 1 or signs[0] not in _FLIPPED:
        return None
    if (both := _without_absolute(parts[0], signs[0], parts[1])) is not None:
        return _pieces(both, work)
    solved = _solved(parts[0], signs[0], parts[1])
    if solved is None:
        return None
    sign, end = solved
    if sign == "=":
        return _piece(end, end, True, True, work)
    if sign == "!=":
        return _joined(
            [_piece(_BELOW, end, False, False, work), _piece(end, _INFINITE, False, False, work)]
        )
    closed = sign.endswith("=")
    if sign[0] == "<":
        return _piece(_BELOW, end, False, closed, work)
    return _piece(end, _INFINITE, closed, False, work)


def _without_absolute(left: Node, sign: str, right: Node) -> Node | None:
    """Write |x| < 2 as -2 < x and x < 2, and |x| > 2 as x < -2 or x > 2."""
    if right.head == "fn" and right.name == "abs":
        left, sign, right = right, _FLIPPED[sign], left
    if left.head != "fn" or left.name != "abs" or symbols(right) or sign[0] not in "<>":
        return None
    inner = left.args[0]
    ends = (
        Node("chain", (inner, right), sign),
        Node("chain", (inner, negative(right)), _FLIPPED[sign]),
    )
    return Node("inter" if sign[0] == "<" else "union", ends)


def _unknown(node: Node) -> bool:
    """Whether a node is a name: a symbol, or a function of symbols such as f(x)."""
    return node.head == "sym" or (node.head == "mul" and all(_unknown(part) for part in node.args))


def _solved(left: Node, sign: str, right: Node) -> tuple[str, Node] | None:
    """Write a relation in one unknown as `unknown sign end`."""
    if _unknown(left) and not symbols(right):
        return sign, right
    if _unknown(right) and not symbols(left):
        return _FLIPPED[sign], left
    names = symbols(Node("add", (left, right)))
    if len(names) != 1:
        return None
    gap = Node("add", (left, negative(right)))
    values = [exact(gap, {names[0]: Fraction(at)}) for at in (0, 1, 2, 7)]
    zero, one, two, seven = values
    if zero is None or one is None or two is None or seven is None:
        return None
    slope = one - zero
    if slope == 0 or two - one != slope or seven - zero != 7 * slope:
        return None
    return (sign if slope > 0 else _FLIPPED[sign]), number(-zero / slope)
