"""Compares two trees: peels units, signs and names off, recurses into what holds members."""

from __future__ import annotations

from cotdistill.grading.equivalence.containers import (
    HOLDERS,
    labels,
    members,
    same_members,
    spelt_out,
    worked_out,
)
from cotdistill.grading.equivalence.equations import (
    assigned,
    quantity,
    same_equation,
    same_inequality,
    split,
    unlike_unknowns,
)
from cotdistill.grading.equivalence.names import unlike_names
from cotdistill.grading.equivalence.normalize import as_words
from cotdistill.grading.equivalence.number import number_words
from cotdistill.grading.equivalence.sets import is_real_set, same_sets
from cotdistill.grading.equivalence.statements import (
    FIGURES,
    alternatives_clash,
    dressed,
    is_formula,
    same_figure,
    same_formula,
    same_statement,
    undressed,
)
from cotdistill.grading.equivalence.symbolic import SymbolicBudget
from cotdistill.grading.equivalence.tree import Node, TooBigError, number, symbols, walk
from cotdistill.grading.equivalence.units import measure, worth
from cotdistill.grading.equivalence.values import State, same_value

_SET_LIKE = ("union", "inter", "minus", "tuple", "set", "list", "chain", "const")
_RELATIONS_OF_VALUES = {"=", "~", "<", "<=", ">", ">=", "!=", "in"}
_MOST_DIGITS = 200
_MOST_QUESTIONS = 2500  # comparisons of parts for one pair


class Comparison:
    """One comparison of an answer with a gold: the trees go in, the tier it took comes out."""

    def __init__(
        self, tolerance: float | None = None, symbolic: SymbolicBudget | None = None
    ) -> None:
        self.state = State(tolerance, symbolic or SymbolicBudget())
        self.questions = 0

    def same(self, a: Node, b: Node) -> bool | None:
        r"""Whether an answer's tree means the same as the gold's; None where nothing can tell.

        >>> from cotdistill.grading.equivalence.parser import parse
        >>> a, b = parse(r"\{2, 1\}"), parse("1, 2")
        >>> Comparison().same(a or Node("text"), b or Node("text"))
        True
        """
        try:
            if dressed(a) != dressed(b):
                a, b = undressed(a), undressed(b)
            return self._same(a, b)
        except TooBigError:
            return None

    def _same(self, a: Node, b: Node) -> bool | None:
        self.questions += 1
        if self.questions > _MOST_QUESTIONS:
            raise TooBigError("too many parts")
        if a == b:
            return True
        if (
            a.head == "matrix"
            or b.head == "matrix"
            or a.head in ("add", "mul")
            or b.head in ("add", "mul")
        ):
            a, b = worked_out(a), worked_out(b)
        for peel in (
            self._signs,
            self._residues,
            self._words,
            self._units,
            self._relations,
            self._sets,
            self._holders,
            self._marks,
            self._names,
        ):
            verdict = peel(a, b)
            if not isinstance(verdict, _NotMine):
                return verdict
        return same_value(a, b, self.state)

    def _signs(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Plus-minus signs make a list of two."""
        if not any(_has_signs(side) and side.head not in ("list", "set") for side in (a, b)):
            return _NOT_MINE
        if "chain" in (a.head, b.head):
            return _NOT_MINE
        self.state.used("structure")
        one, two = (
            side if side.head in HOLDERS else Node("list", tuple(spelt_out(side)))
            for side in (a, b)
        )
        return self._members(one, two)

    def _words(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Words meet words; a number word is its number."""
        if "text" not in (a.head, b.head) or "chain" in (a.head, b.head):
            return _NOT_MINE
        if a.head == b.head:
            return as_words(a.name) == as_words(b.name)
        one, two = (_number_said(side) for side in (a, b))
        return False if one is None or two is None else self._same(one, two)

    def _residues(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Residue classes of one modulus; one side may leave the modulus out."""
        if "chain" in (a.head, b.head) or "residue" not in (a.head, b.head):
            return _NOT_MINE
        self.state.used("structure")
        if any(side.head in HOLDERS for side in (a, b)):
            return _NOT_MINE
        if a.head == b.head and self._same(a.args[1], b.args[1]) is not True:
            return False
        modulus = (a if a.head == "residue" else b).args[1]
        one, two = (side.args[0] if side.head == "residue" else side for side in (a, b))
        plain = self._same(one, two)
        if plain is True:
            return True
        reduced = (Node("fn", (side, modulus), "mod") for side in (one, two))
        return self._same(*reduced)

    def _units(self, a: Node, b: Node) -> bool | None | _NotMine:
        """A unit on one side only is let go; two known ones are written in one another."""
        if "chain" in (a.head, b.head) or "unit" not in (a.head, b.head):
            return _NOT_MINE
        if a.head != b.head:
            sign, other = (a, b) if a.head == "unit" else (b, a)
            if other.head == "degree" and measure(sign.name).numerator == (("radian", 1),):
                return self._turned_value(sign.args[0], other, sign is a)
            bare = self._turned(sign.args[0], other, sign is a)
            times = measure(sign.name).scale  # 1.5 million is 1500000, and 1.5 in millions
            if bare or times == 1:
                return bare
            whole = Node("mul", (number(times), sign.args[0]))
            return self._turned(whole, other, sign is a)
        factor = worth(a.name, b.name)
        if factor is None:
            return False
        inside = a.args[0] if factor == 1 else Node("mul", (number(factor), a.args[0]))
        return self._same(inside, b.args[0])

    def _relations(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Equations with equations; an assignment's value with what has no name."""
        if a.head != "chain" and b.head != "chain":
            return _NOT_MINE
        self.state.used("structure")
        if a.head == b.head:
            if _is_statement(a) or _is_statement(b):
                return same_statement(a, b, self._same)
            if a.name == b.name == "in" and unlike_names(a.args[0], b.args[0]):
                return False
            if _is_equation(a) and _is_equation(b):
                return same_equation(a, b, self._same, self.state.work)
            if is_real_set(a) and is_real_set(b):
                if unlike_unknowns(a, b):
                    return False
                equal = same_sets(a, b, self._same, self.state.work)
                return same_inequality(a, b, self.state.work) if equal is None else equal
        chain, other = (a, b) if a.head == "chain" else (b, a)
        if other.head == "list" and all(part.head == "chain" for part in other.args):
            chain = assigned(chain)
            if chain.head == "list":
                return self._turned(chain, other, a.head == "chain")
        if chain.name == "in" and not is_real_set(other):
            return self._turned(chain.args[1], other, chain is a)
        if chain.name == "to" and not symbols(chain.args[-1]):
            return self._turned(chain.args[-1], other, chain is a)
        if is_formula(a) and is_formula(b):
            return same_formula(a, b)
        if _is_statement(chain):
            return False
        if not _is_equation(chain):
            return _NOT_MINE
        _, value = split(chain)
        if value is None and chain is a:
            value = quantity(chain)
        return False if value is None else self._turned(value, other, chain is a)

    def _turned(self, mine: Node, other: Node, mine_is_answer: bool) -> bool | None:
        return self._same(mine, other) if mine_is_answer else self._same(other, mine)

    def _turned_value(self, mine: Node, other: Node, mine_is_answer: bool) -> bool | None:
        return same_value(*((mine, other) if mine_is_answer else (other, mine)), self.state)

    def _sets(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Intervals, inequalities and unions."""
        if not is_real_set(a) and not is_real_set(b):
            return _NOT_MINE
        self.state.used("structure")
        if a.head == b.head == "const":
            return False
        if any(side.head not in _SET_LIKE for side in (a, b)):
            return False
        equal = same_sets(a, b, self._same, self.state.work)
        if equal is not None:
            return equal
        if a.head == b.head == "tuple" and a.name != b.name:
            return False
        if a.head != b.head or a.name != b.name or len(a.args) != len(b.args):
            return None
        if a.head in ("union", "inter"):
            return same_members(Node("list", a.args), Node("list", b.args), self._same)
        parts = [self._same(one, two) for one, two in zip(a.args, b.args, strict=True)]
        return True if all(parts) else False if False in parts else None

    def _holders(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Lists, sets, tuples, matrices; a single member counts as itself, but not a 1-tuple."""
        if a.head not in HOLDERS and b.head not in HOLDERS:
            return _NOT_MINE
        self.state.used("structure")
        if a.head in HOLDERS and b.head in HOLDERS:
            return self._members(a, b)
        holder, other = (a, b) if a.head in HOLDERS else (b, a)
        inside = members(holder) if holder.head in ("list", "set") else []
        if len(inside) == 1:
            return self._turned(inside[0], other, holder is a)
        return False

    def _members(self, a: Node, b: Node) -> bool | None:
        if a.head == b.head == "list":
            if alternatives_clash(a, b):
                return False
            mine, theirs = labels(a), labels(b)
            if len(mine) > 1 and mine.keys() == theirs.keys():  # 2 boys, 3 girls
                parts = [self._same(mine[label], theirs[label]) for label in mine]
                return all(parts) if None not in parts else False if False in parts else None
        return same_members(a, b, self._same)

    def _names(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Angles, triangles, formulas of logic, and products without values."""
        if "logic" in (a.head, b.head):
            return is_formula(a) and is_formula(b) and same_formula(a, b)
        if any(side.head == "sym" and side.name.startswith(FIGURES) for side in (a, b)):
            return same_figure(a, b)
        if a.head == b.head and a.head in ("compose", "cross"):
            parts = [self._same(one, two) for one, two in zip(a.args, b.args, strict=True)]
            return a.name == b.name and all(parts)
        return _NOT_MINE

    def _marks(self, a: Node, b: Node) -> bool | None | _NotMine:
        """Percent, degrees, ratios and bases."""
        heads = {a.head, b.head}
        if "percent" in heads:
            return self._percent(a, b)
        if "degree" in heads:
            return self._degree(a, b)
        if "base" in heads:
            one, two = (_digits_and_base(side) for side in (a, b))
            if not one or not two:
                return False
            if one[1] != two[1] and "" not in (one[1], two[1]):
                return _value_in_base(*one) == _value_in_base(*two) is not None
            return one[0] == two[0]
        if heads == {"ratio"} and len(a.args) == len(b.args):
            firsts = a.args[0], b.args[0]
            crossed = [
                self._same(Node("mul", (one, firsts[1])), Node("mul", (two, firsts[0])))
                for one, two in zip(a.args[1:], b.args[1:], strict=True)
            ]
            return True if all(crossed) else False if False in crossed else None
        return _NOT_MINE

    def _percent(self, a: Node, b: Node) -> bool | None:
        """10% is 10% and 0.1, and 10 with the sign left out; never 10 = 0.1 without a sign."""
        if a.head == b.head:
            return self._same(a.args[0], b.args[0])
        sign, other = (a, b) if a.head == "percent" else (b, a)
        bare = self._turned(sign.args[0], other, sign is a)
        share = Node("div", (sign.args[0], number(100)))
        return bare or self._turned(share, other, sign is a)

    def _degree(self, a: Node, b: Node) -> bool | None:
        """A degree sign may be left out; an angle in radians is one that says pi."""
        if a.head == b.head:
            return self._same(a.args[0], b.args[0])
        sign, other = (a, b) if a.head == "degree" else (b, a)
        if any(part.head == "const" and part.name == "pi" for part in walk(other)):
            return same_value(a, b, self.state)
        return self._turned(sign.args[0], other, sign is a)


class _NotMine:
    """What a step says of a pair that it does not decide."""


_NOT_MINE = _NotMine()


def _has_signs(node: Node) -> bool:
    return any(part.head in ("pm", "mp") for part in walk(node))


def _is_equation(node: Node) -> bool:
    return node.head == "chain" and set(node.name.split()) <= {"=", "~"}


def _is_statement(node: Node) -> bool:
    relations = set(node.name.split())
    return bool(relations) and not relations & _RELATIONS_OF_VALUES


def _number_said(node: Node) -> Node | None:
    if node.head != "text":
        return node
    value = number_words(node.name)
    return None if value is None else number(value)


def _value_in_base(digits: str, base: str) -> int | None:
    """Return what digits are worth in a base, None where they cannot be of that base.

    >>> _value_in_base("110", "2"), _value_in_base("19", "8")
    (6, None)
    """
    try:
        return int(digits, int(base)) if len(digits) <= _MOST_DIGITS else None
    except ValueError:
        return None


def _digits_and_base(node: Node) -> tuple[str, str] | None:
    if node.head == "base":
        digits, _, base = node.name.partition("_")
        number = number_words(base)
        return digits.lstrip("0"), str(number) if number is not None else base
    return (node.name.lstrip("0"), "") if node.head == "num" and node.name else None
