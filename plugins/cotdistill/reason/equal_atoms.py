"""The inner half of the parser: factors, powers, functions, written and mixed numbers."""

from __future__ import annotations

from fractions import Fraction

from cotdistill.reason.equal_brackets import Brackets
from cotdistill.reason.equal_lex import Token
from cotdistill.reason.equal_tree import Node, TooBigError, UnreadableError, number

_STARTS = ("begin", "num", "sym", "const", "fn", "cmd", "open", "skip")
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot",
            "sinh": "arcsinh", "cosh": "arccosh", "tanh": "arctanh"}  # fmt: skip
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
            "acosh": "arccosh", "atanh": "arctanh", "arsinh": "arcsinh", "arcosh": "arccosh",
            "artanh": "arctanh"}  # fmt: skip
_CONSTANTS = {"i": "i", "e": "e"}
_MOST_FACTORS = 120  # each is a level of the tree
_CALLED = frozenset("fghFGHPQNSTVAMDLR")


class Atoms(Brackets):
    """What binds tighter than + and *; the looser half is `equal_parse.Parser`."""

    def term(self) -> Node:
        """Read factors, joined by signs or by standing beside each other."""
        node = self.factor()
        for _ in range(_MOST_FACTORS):
            look = self.look
            if look.sort == "op" and look.text in ("*", "/", "mod"):
                self.take()
                node = _joined(look.text, node, self.minus_factor())
            elif look.sort == "cmd" and look.text in ("\\pmod", "\\circ", "\\degree"):
                self.take()
                node = (
                    Node("unit", (node,), "mod " + self.flat())
                    if look.text == "\\pmod"
                    else Node("degree", (node,))
                )
            elif look.sort == "num" and node.head not in ("num", "dec"):
                node = Node("mul", (node, self.factor()))
            elif self.starts_factor(look):
                node = self.beside(node)
            else:
                return node
        raise TooBigError("too long a product")

    def starts_factor(self, look: Token) -> bool:
        """Whether the token can begin a factor that multiplies the one before."""
        if (
            look.sort == "fn"
            and look.text in ("sec", "min")
            and self.ahead(1).sort in ("end", "sep", "close", "word")
        ):
            return False  # 5 sec, 5 min
        return (look.sort in _STARTS and look.sort != "num") or (
            look.sort == "bar" and not self.bars and not self.inside_set
        )

    def beside(self, node: Node) -> Node:
        """Multiply by the factor beside; f(x) keeps a mark, two tuples side by side are a list."""
        if node.head in ("tuple", "set") and self.look.sort == "open":
            raise UnreadableError("two brackets side by side")
        called = node.head == "sym" and node.name[:1] in _CALLED and self.look.text == "("
        other = self.factor()
        return Node("mul", (node, other), "call" if called or other.head == "tuple" else "")

    def minus_factor(self) -> Node:
        """Read a factor that may carry its own sign, as in 3 * -4."""
        if self.look.sort == "op" and self.look.text in ("-", "+"):
            minus = self.take().text == "-"
            other = self.factor()
            return Node("mul", (number(-1), other)) if minus else other
        return self.factor()

    def factor(self) -> Node:
        """Read an atom with what is written after it: powers, !, %, degrees."""
        node = self.atom()
        for _ in range(30):
            look = self.look
            if look.sort == "op" and look.text == "^":
                self.take()
                node = self.power(node)
            elif look.sort == "op" and look.text == "!":
                self.take()
                if self.look.text == "!":
                    raise UnreadableError("a double factorial")
                node = Node("fn", (node,), "factorial")
            elif look.sort == "op" and look.text == "%":
                self.take()
                node = Node("percent", (node,))
            elif look.sort == "op" and look.text == "_" and node.head == "num":
                self.take()
                digits, base = node.name, self.flat().strip("()")
                node = Node("base", name=f"{digits}_{base}")
            elif look.sort == "cmd" and look.text in ("\\degree",):
                self.take()
                node = Node("degree", (node,))
            elif look.text == "'" and node.head == "mul":
                raise UnreadableError("a prime after a product")
            else:
                return node
        raise TooBigError("too many signs after one factor")

    def power(self, base: Node) -> Node:
        """Read what stands after ^: a degree sign, a prime, or an exponent."""
        start = self.at
        if self.look.sort == "cmd" and self.look.text in ("\\circ", "\\degree"):
            self.take()
            return self.degrees(base)
        if self.look.text == "{":
            inside = self.flat()
            if inside in ("\\circ", "o", "\\degree") and base.head != "sym":
                return self.degrees(base)
            if inside in ("\\prime", "\\prime\\prime", "'", "*") and base.head == "sym":
                return Node("sym", name=base.name + inside)
            self.at = start
        if self.look.sort == "op" and self.look.text in ("*", "'") and base.head == "sym":
            return Node("sym", name=base.name + self.take().text)
        self.deeper()
        exponent = self.argument(whole=True)
        if self.look.text == "^":
            self.take()
            exponent = self.power(exponent)
        self.depth -= 1
        return Node("pow", (base, exponent))

    def degrees(self, base: Node) -> Node:
        """Close a degree sign, with the C or F of a temperature if there is one."""
        if self.look.sort == "sym" and self.look.text in ("C", "F"):
            self.take()
        return Node("degree", (base,))

    def argument(self, *, whole: bool) -> Node:
        r"""Read what a command takes: a group, or one sign; `\frac12` takes one digit at a time."""
        minus = self.look.sort == "op" and self.look.text == "-"
        if minus or self.look.text == "+":
            self.take()
        look = self.look
        if look.sort == "num" and not whole and len(look.text) > 1:
            self.signs[self.at] = Token("num", look.text[1:], False)
            node = number(int(look.text[0])) if look.text[0].isdigit() else self.atom()
        elif look.sort == "sym" and look.text not in _CONSTANTS and not whole:
            self.take()
            node = Node("sym", name=look.text)
        else:
            node = self.atom()
        return Node("mul", (number(-1), node)) if minus else node

    def atom(self) -> Node:
        """Read a number, a name, a function, a command or a bracket."""
        while self.look.sort == "skip" and self.look.text != "\\mathbb":
            self.take()
        look = self.look
        if look.sort == "num":
            return self.written()
        if look.sort == "sym":
            return self.symbol()
        if look.sort == "const":
            return Node("const", name=self.take().text)
        if look.sort == "fn":
            return self.function()
        if look.sort == "open" or (look.sort == "bar" and not self.bars):
            return self.bracket()
        if look.sort == "begin":
            return self.matrix()
        if look.sort == "skip":
            self.take()
            letter = self.flat()
            return Node("const", name="reals" if letter == "R" else f"numbers {letter}")
        if look.sort == "cmd":
            return self.command()
        raise UnreadableError(f"unexpected {look.text!r}")

    def written(self) -> Node:
        """Read a written number: whole, decimal, repeating, or mixed (1 1/2)."""
        text = self.take().text
        raised = text.lower().partition("e")[2].lstrip("+-0")
        if len(raised) > 3 or (len(raised) == 3 and raised > "400"):
            raise TooBigError("too big an exponent")
        try:
            value = Fraction(text)
        except (ValueError, OverflowError) as wrong:
            raise UnreadableError("not a number") from wrong
        if "." in text and self.look.text in ("\\overline", "\\bar", "\\dot"):
            return self.repeating(text)
        if "." in text or "e" in text.lower():
            return Node("dec", name=text, number=value)
        return self.mixed(value) or Node("num", name=text, number=value)

    def repeating(self, text: str) -> Node:
        """Read the overlined digits of a repeating decimal."""
        self.take()
        digits = self.flat()
        if not digits.isdigit() or len(digits) > 50:
            raise UnreadableError("not repeating digits")
        places = len(text.partition(".")[2])
        tail = Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)
        return number(Fraction(text if text[-1] != "." else text[:-1]) + tail)

    def mixed(self, whole: Fraction) -> Node | None:
        r"""Read the fraction part of `1\frac{1}{2}` or `1 1/2`, if one follows."""
        start, kept = self.at, list(self.signs)
        if self.look.text == "\\frac":
            self.take()
            top, bottom = self.argument(whole=False), self.argument(whole=False)
        elif (
            self.look.sort == "num"
            and self.look.spaced
            and self.ahead(1).text == "/"
            and self.ahead(2).sort == "num"
        ):
            first, _, last = self.take(), self.take(), self.take()
            if not (first.text.isdigit() and last.text.isdigit()):
                raise UnreadableError("two numbers side by side")
            top, bottom = (number(int(part.text)) for part in (first, last))
        else:
            return None
        over, under = top.number, bottom.number
        if top.head == bottom.head == "num" and over is not None and under is not None:
            share = over / under if under else Fraction(1)
            if 0 <= share < 1:
                return number(whole + share)
        self.at, self.signs = start, kept
        return None

    def symbol(self) -> Node:
        """Read a name with its subscript and primes; i and e are the constants."""
        name = self.take().text
        if self.look.text == "_" and self.look.sort == "op":
            self.take()
            name += "_" + self.flat()
        while self.look.text == "'" and self.look.sort == "op":
            name += self.take().text
        if name in _CONSTANTS:
            return Node("const", name=name)
        return Node("sym", name=name)

    def function(self) -> Node:
        r"""Read `\sin^2 x`, `\log_2 8`, `max(a, b)`: a function, its marks, its argument."""
        self.deeper()
        name = self.take().text
        name = _RENAMED.get(name, name)
        base: Node | None = None
        exponent: Node | None = None
        for _ in range(2):
            if self.look.text == "_" and self.look.sort == "op":
                self.take()
                base = self.argument(whole=True)
            elif self.look.text == "^" and self.look.sort == "op":
                self.take()
                exponent = self.argument(whole=True)
        if (
            exponent is not None
            and exponent == Node("mul", (number(-1), Node("num", name="1", number=Fraction(1))))
        ) or _is_minus_one(exponent):
            name, exponent = _INVERSE.get(name, name), None
        inside = self.applied()
        args = inside.args if inside.head in ("tuple", "list") else (inside,)
        if name == "lg":
            name, base = "log", number(10)
        node = Node("fn", args if base is None else (*args, base), name)
        self.depth -= 1
        return node if exponent is None else Node("pow", (node, exponent))

    def applied(self) -> Node:
        """Read the argument of a function: a bracket, or the product that follows."""
        if self.look.sort == "open":
            return self.bracket()
        if self.look.text == "-":
            self.take()
            return Node("mul", (number(-1), self.applied()))
        node = self.factor()
        while self.look.sort in ("sym", "const", "num") or self.look.text in ("\\frac", "\\sqrt"):
            node = Node("mul", (node, self.factor()))
        return node


def _joined(sign: str, left: Node, right: Node) -> Node:
    if sign == "/":
        return Node("div", (left, right))
    return Node("fn", (left, right), "mod") if sign == "mod" else Node("mul", (left, right))


def _is_minus_one(node: Node | None) -> bool:
    if node is None:
        return False
    if node.head == "mul" and len(node.args) == 2:
        return node.args[0].number == -1 and node.args[1].number == 1
    return node.number == -1
