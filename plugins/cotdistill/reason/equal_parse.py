r"""Reads an answer, LaTeX or plain, into a tree: one small grammar, bounded, that never runs text.

answer   = operand {relation operand} {separator answer}
operand  = [words] set [unit words]
set      = sum {cup|cap|setminus sum}
sum      = [sign] term {sign term}
term     = factor {[*|/|mod] factor}        the operators of `factor` are in equal_atoms
"""

from __future__ import annotations

from functools import lru_cache

from cotdistill.reason.equal_atoms import Atoms
from cotdistill.reason.equal_lex import tokens
from cotdistill.reason.equal_tree import (
    MOST_MEMBERS,
    Node,
    TooBigError,
    UnreadableError,
    negative,
)

_FILLER_WORDS = (
    "the answer final about approximately approx exactly only just roughly nearly around almost "
    "so thus therefore hence a an of total value point points pair pairs solution solutions i e "
    "to be we get have both either number numbers equation interval set all x matrix vector "
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_STOPS = ("sep", "rel", "close", "end", "cell", "row", "env", "bar")


@lru_cache(maxsize=8192)
def parse(text: str, *, thousands: bool = True) -> Node | None:
    r"""Read a tidied answer into a tree; None where it is not mathematics the grammar knows.

    >>> parse("2x+3").head, parse("(1, 2]").name, parse("1 2")
    ('add', '(]', None)
    >>> parse(r"1\frac{1}{2}").number
    Fraction(3, 2)
    """
    try:
        return Parser(tokens(text, thousands=thousands)).answer()
    except (UnreadableError, TooBigError):
        return None


class Parser(Atoms):
    """Recursive descent over the tokens of one answer; made afresh for each text."""

    def answer(self) -> Node:
        """Read the whole text, or say that it is unreadable."""
        node = self.sequence()
        if self.look.sort != "end":
            raise UnreadableError(f"left over: {self.look.text!r}")
        return node

    def sequence(self) -> Node:
        """Read members up to a closing sign, with what stands between them."""
        members, between = self.members()
        if not members:
            raise UnreadableError("nothing there")
        if len(members) == 1:
            return members[0]
        if "or" in between and all(_bounds(member) for member in members):
            return Node("union", tuple(members))
        if set(between) <= {"and", ","} and "and" in between and all(map(_bounds, members)):
            return Node("inter", tuple(members))
        return _regrouped(members, between)

    def members(self) -> tuple[list[Node], list[str]]:
        """Read members and their separators, until a sign that is neither."""
        members: list[Node] = []
        between: list[str] = []
        while self.look.sort not in ("close", "end", "cell", "row", "env"):
            if self.look.sort == "sep":
                sign = self.take().text
                if not members:
                    raise UnreadableError("a separator with nothing before it")
                if len(between) < len(members):
                    between.append(sign)
                elif sign != ",":
                    between[-1] = sign
                continue
            if len(between) < len(members):
                if self.look.sort == "open" and members[-1].head in ("tuple", "set"):
                    between.append(",")
                else:
                    break
            members.append(self.relation())
            if len(members) > MOST_MEMBERS:
                raise TooBigError("too many members")
        return members, between

    def relation(self) -> Node:
        """Read operands joined by =, <, in ..., one or more."""
        if self.look.sort == "rel" and self.look.text in ("=", "~"):
            self.take()
        parts, signs = [self.operand()], []
        while self.look.sort == "rel":
            signs.append(self.take().text)
            parts.append(self.operand())
            if len(parts) > MOST_MEMBERS:
                raise TooBigError("too long a chain")
        return parts[0] if not signs else Node("chain", tuple(parts), " ".join(signs))

    def operand(self) -> Node:
        """Read one side of a relation: words, or mathematics with its unit."""
        before = self.words()
        if self.look.sort in _STOPS and self.look.sort != "bar":
            if not before:
                raise UnreadableError("nothing there")
            return Node("text", name=" ".join(before))
        money = [word for word in before if word in _MONEY]
        if not all(word in _FILLERS or word in _MONEY for word in before):
            raise UnreadableError("words before mathematics")
        node = self.sets()
        unit = [*money, *self.unit()]
        return _with_unit(node, " ".join(unit)) if unit else node

    def words(self) -> list[str]:
        """Take the words that stand here."""
        found = []
        while self.look.sort == "word":
            found.append(self.take().text)
        return found

    def unit(self) -> list[str]:
        """Take the words after a number, with their powers and slashes: `m/s^2`."""
        found: list[str] = []
        while self.look.sort in ("word", "fn") or (
            found and self.look.text in ("^", "/", "*", "-")
        ):
            sign = self.take().text
            if sign in ("^", "/", "*", "-"):
                if self.look.text == "{":
                    found[-1] += sign + self.flat()
                elif self.look.sort in ("num", "word", "sym", "fn"):
                    found[-1] += sign + self.take().text
                elif self.look.text == "-":
                    self.take()
                    found[-1] += sign + "-" + self.take().text
                else:
                    raise UnreadableError("a unit broken off")
            else:
                found.append(sign)
        return found

    def sets(self) -> Node:
        """Read unions, intersections and differences, left to right."""
        node = self.ratio()
        while self.look.text in ("cup", "cap", "minus") and self.look.sort == "op":
            head = {"cup": "union", "cap": "inter", "minus": "minus"}[self.take().text]
            other = self.ratio()
            if head == node.head == "union":
                node = Node(head, (*node.args, other))
            else:
                node = Node(head, (node, other))
        return node

    def ratio(self) -> Node:
        """Read `a : b : c`, or a plain sum."""
        node = self.sum()
        if self.look.text != ":" or self.inside_set:
            return node
        parts = [node]
        while self.look.text == ":":
            self.take()
            parts.append(self.sum())
        return Node("ratio", tuple(parts))

    def sum(self) -> Node:
        """Read terms joined by + and -."""
        parts = [self.signed()]
        while self.look.sort == "op" and self.look.text in ("+", "-", "pm", "mp"):
            parts.append(self.signed())
            if len(parts) > MOST_MEMBERS:
                raise TooBigError("too long a sum")
        return parts[0] if len(parts) == 1 else Node("add", tuple(parts))

    def signed(self) -> Node:
        """Read a term with the signs before it."""
        minus, head = False, ""
        for _ in range(8):
            if self.look.sort != "op" or self.look.text not in ("+", "-", "pm", "mp"):
                break
            sign = self.take().text
            if sign in ("pm", "mp"):
                head = sign
            else:
                minus ^= sign == "-"
        node = self.term()
        if minus:
            node = negative(node)
        return Node(head, (node,)) if head else node


_MONEY = {"dollar": "dollar", "euro": "euro", "pound": "pound", "yuan": "yuan", "rupee": "rupee",
          "rs": "rupee", "usd": "dollar", "rmb": "yuan"}  # fmt: skip


def _bounds(node: Node) -> bool:
    return (node.head == "chain" and any(sign in node.name for sign in "<>")) or (
        node.head == "chain" and node.name == "in"
    )


def _regrouped(members: list[Node], between: list[str]) -> Node:
    """Make `p=5, q=2; p=7, q=2` a list of pairs; any other row of members a plain list."""
    groups: list[list[Node]] = [[members[0]]]
    for sign, member in zip(between, members[1:], strict=False):
        if sign == ",":
            groups[-1].append(member)
        else:
            groups.append([member])
    sizes = {len(group) for group in groups}
    assigned = all(member.head == "chain" and member.name == "=" for member in members)
    if len(groups) > 1 and len(sizes) == 1 and sizes != {1} and (assigned or ";" in between):
        return Node("list", tuple(Node("tuple", tuple(group), "()") for group in groups))
    ordered = "," if set(between) <= {","} else "and"
    return Node("list", tuple(members), ordered)


def _with_unit(node: Node, phrase: str) -> Node:
    if phrase.startswith(("degree", "deg ")) or phrase == "deg":
        return Node("degree", (node,))
    if phrase.startswith(("percent", "per cent")):
        return Node("percent", (node,))
    return Node("unit", (node,), " ".join(dict.fromkeys(phrase.split())))
