"""The parser's innermost part: brackets, matrices, and the LaTeX commands that take groups."""

from __future__ import annotations

from collections.abc import Callable

from cotdistill.reason.equal_lex import Token
from cotdistill.reason.equal_tree import MOST_DEPTH, Node, TooBigError, UnreadableError, number

_ACCENTS = ("\\overline", "\\bar", "\\hat", "\\vec", "\\tilde", "\\dot", "\\widehat",
            "\\overrightarrow", "\\overarc", "\\widetilde", "\\mathring")  # fmt: skip
_IMAGINARY = Node("const", name="i")
_BIG = {"\\sum": "sum", "\\prod": "prod", "\\int": "int", "\\lim": "lim"}


class Brackets:
    """Walks over the tokens, and reads what stands between two of them."""

    def __init__(self, signs: list[Token]) -> None:
        self.signs = signs
        self.at = 0
        self.depth = 0
        self.bars = 0
        self.inside_set = False

    sequence: Callable[[], Node]
    sum: Callable[[], Node]
    term: Callable[[], Node]
    argument: Callable[..., Node]
    members: Callable[[], tuple[list[Node], list[str]]]

    @property
    def look(self) -> Token:
        """The token that comes next."""
        return self.signs[self.at]

    def ahead(self, steps: int) -> Token:
        """The token some steps on; the last one where there are fewer."""
        return self.signs[min(self.at + steps, len(self.signs) - 1)]

    def take(self) -> Token:
        """Take the next token; the end is never passed."""
        sign = self.signs[self.at]
        if sign.sort != "end":
            self.at += 1
        return sign

    def deeper(self) -> None:
        """Count one level of nesting, and refuse too many."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise TooBigError("nested too deep")

    def flat(self) -> str:
        """Take a group or one sign as plain text, as subscripts are."""
        if self.look.text != "{":
            return self.take().text
        level, found = 0, []
        while self.look.sort != "end":
            sign = self.take()
            level += {"{": 1, "}": -1}.get(sign.text, 0)
            if sign.sort != "skip" and sign.text not in "{}":
                found.append(sign.text)
            if level == 0:
                break
        return "".join(found)

    def bracket(self) -> Node:
        """Read what stands between two brackets: a group, tuple, interval, set, |x|, floor."""
        self.deeper()
        opened = self.take().text
        outside = self.bars, self.inside_set
        self.bars, self.inside_set = int(opened in ("|", "||")), opened == "\\{"
        members, between = self.members()
        if self.inside_set and (self.look.sort == "bar" or self.look.text == ":") and members:
            self.take()  # { x | condition } is its condition
            self.inside_set = False
            node = self.sequence()
            if self.take().text != "\\}":
                raise UnreadableError("a set that never closes")
            members, between, opened, closed = [node], [], "{", Token("close", "}", False)
        elif self.look.sort == "op" and self.look.text in ("over", "choose") and len(members) == 1:
            how = self.take().text
            members = [
                Node("div", (members[0], self.sum()))
                if how == "over"
                else Node("fn", (members[0], self.sum()), "binomial")
            ]
            closed = self.take()
        else:
            closed = self.take()
        self.bars, self.inside_set = outside
        self.depth -= 1
        if closed.sort not in ("close", "bar"):
            raise UnreadableError("a bracket that never closes")
        return _bracketed(opened, closed.text, members, between)

    def command(self) -> Node:
        """Read what a LaTeX command builds."""
        name = self.take().text
        self.deeper()
        try:
            if name == "\\frac":
                return self.fraction()
            if name == "\\binom":
                return Node(
                    "fn", (self.argument(whole=False), self.argument(whole=False)), "binomial"
                )
            if name == "\\sqrt":
                index = self.bracket() if self.look.text == "[" else number(2)
                return Node("root", (self.argument(whole=True), index))
            if name in _BIG:
                return self.big(_BIG[name])
            if name in _ACCENTS:
                return Node("sym", name=f"{name}{{{self.flat()}}}")
            if name in ("\\emptyset", "\\varnothing"):
                return Node("set")
            if name in ("\\ldots", "\\dots", "\\cdots", "\\vdots", "\\ddots"):
                raise UnreadableError("dots")
            return Node("sym", name=name)
        finally:
            self.depth -= 1

    def fraction(self) -> Node:
        r"""Read the two groups of `\frac`; `\frac{d}{dx}` is the derivative of what follows."""
        top, bottom = self.argument(whole=False), self.argument(whole=False)
        letter = Node("sym", name="d")
        if top == letter and bottom.head == "mul" and bottom.args[0] == letter:
            return Node("big", (self.term(), bottom.args[1]), "derivative")
        return Node("div", (top, bottom))

    def big(self, name: str) -> Node:
        """Read a sum, product, integral or limit: its bounds, then the term it works on."""
        low: Node | None = None
        high: Node | None = None
        for _ in range(2):
            if self.look.text == "_" and self.look.sort == "op":
                self.take()
                low = self.group()
            elif self.look.text == "^" and self.look.sort == "op":
                self.take()
                high = self.group()
        body = self.term()
        if low is not None and low.head == "chain" and low.args[0] == _IMAGINARY:
            body, low = (_counted(part) for part in (body, low))
        bounds = tuple(part for part in (low, high) if part is not None)
        return Node("big", (body, *bounds), name)

    def group(self) -> Node:
        """Read a braced group that may hold a relation, or one sign."""
        return self.bracket() if self.look.text == "{" else self.argument(whole=True)

    def matrix(self) -> Node:
        """Read the rows of a matrix; other environments are no mathematics here."""
        self.deeper()
        name = self.take().text
        if not (name.endswith("matrix") or name == "array"):
            raise UnreadableError(f"an environment {name!r}")
        rows: list[list[Node]] = [[]]
        while self.look.sort != "env":
            if self.look.sort == "row":
                self.take()
                rows.append([])
            elif self.look.sort == "cell":
                self.take()
            elif self.look.sort == "end" or len(rows) > 60 or len(rows[-1]) > 60:
                raise UnreadableError("a matrix that never ends")
            else:
                rows[-1].append(self.sum())
        self.take()
        self.depth -= 1
        rows = [row for row in rows if row]
        if not rows or len({len(row) for row in rows}) != 1:
            raise UnreadableError("a ragged matrix")
        return Node(
            "matrix", tuple(Node("row", tuple(row)) for row in rows), "v" if name[0] == "v" else ""
        )


def _counted(node: Node) -> Node:
    """Read i as the index of a sum, not as the imaginary unit."""
    if node == _IMAGINARY:
        return Node("sym", name="i")
    return Node(node.head, tuple(map(_counted, node.args)), node.name, node.number)


def _bracketed(opened: str, closed: str, members: list[Node], between: list[str]) -> Node:
    if opened in ("|", "||") or closed in ("|", "||"):
        if len(members) != 1 or opened != closed:
            raise UnreadableError("bars that do not match")
        return Node("fn", tuple(members), "abs")
    if opened in ("floor", "ceil"):
        if len(members) != 1 or opened != closed:
            raise UnreadableError("half a floor")
        return Node("fn", tuple(members), opened)
    if opened == "\\{" and closed == "\\}":
        return Node("set", tuple(members))
    if opened == "{" and closed == "}":
        if not members:
            raise UnreadableError("an empty group")
        return members[0] if len(members) == 1 else Node("list", tuple(members), "{")
    if opened not in ("(", "[") or closed not in (")", "]") or not members:
        raise UnreadableError("brackets that do not match")
    if len(members) == 1 and not between and opened + closed in ("()", "[]"):
        return members[0]
    return Node("tuple", tuple(members), opened + closed)
