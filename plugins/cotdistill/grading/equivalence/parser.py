"""Reads an answer, LaTeX or plain, into a tree: one small grammar, bounded, that never runs text.

sequence = relation {separator relation}
relation = operand {=|<|in|... operand}
operand  = [words] set [unit]
set      = ratio {cup|cap|setminus ratio}
ratio    = sum {: sum}
sum      = [+|-|pm] term {+|-|pm term}
term     = factor {[*|/|mod] factor}        juxtaposed factors are multiplied
factor   = atom {^ exponent | ! | % | degree | _ base}
atom     = number | name | function argument | bracket | command | matrix

`Parser` has one method for each line, in this order.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from cotdistill.grading.equivalence.lexer import Token, tokens
from cotdistill.grading.equivalence.statements import CONNECTIVES, FIGURES
from cotdistill.grading.equivalence.tree import (
    MOST_DEPTH,
    MOST_MEMBERS,
    Node,
    TooBigError,
    UnreadableError,
    negative,
    number,
    symbols,
)
from cotdistill.grading.equivalence.units import parts_of_one

_ACCENTS = ("\\overline", "\\hat", "\\vec", "\\tilde", "\\dot", "\\ddot", "\\overarc",
            "\\overleftrightarrow", "\\mathring", "\\acute", "\\grave", "\\check",
            "\\breve")  # fmt: skip
_UNDIRECTED = ("\\overline", "\\overarc", "\\overleftrightarrow", "\\hat")
# commands that are names; any other unknown command may be an operator, so it is not read at all
_NAME_COMMANDS = (
    "aleph beth partial nabla imath jmath wp Re Im top bot clubsuit diamondsuit heartsuit "
    "spadesuit square Box blacksquare bigstar dagger prime deg circ complement sharp flat bullet "
    "bigcirc Diamond omicron digamma star infin"
)
_NAMES = frozenset(f"\\{name}" for name in _NAME_COMMANDS.split())
_BOLD = ("\\mathbf", "\\boldsymbol", "\\bm", "\\bf")
_IMAGINARY = Node("const", name="i")
_BIG = {"\\sum": "sum", "\\prod": "prod", "\\int": "int", "\\lim": "lim"}
_STARTS = ("begin", "num", "sym", "const", "fn", "cmd", "open", "skip")
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan", "cot": "arccot",
            "sinh": "arcsinh", "cosh": "arccosh", "tanh": "arctanh"}  # fmt: skip
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
            "acosh": "arccosh", "atanh": "arctanh", "arsinh": "arcsinh", "arcosh": "arccosh",
            "artanh": "arctanh"}  # fmt: skip
_CONSTANTS = {"i": "i", "e": "e"}
_MOST_FACTORS = 120  # each is a level of the tree
_LETTERS_OF_FUNCTIONS = frozenset("yuvwsxrpqzabcTCEWIKU")  # of x, t or n
_CALLED = frozenset("fghFGHPQNSTVAMDLR")
_FILLER_WORDS = (
    "the answer final about approximately approx exactly only just roughly nearly around almost "
    "so thus therefore hence a an of total value point points pair pairs solution solutions i e "
    "to be we get have both either number numbers equation interval set all x matrix vector "
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_STOPS = ("sep", "rel", "close", "end", "cell", "row", "env", "bar")
_MONEY = {"dollar": "dollar", "euro": "euro", "pound": "pound", "yuan": "yuan", "rupee": "rupee",
          "rs": "rupee", "usd": "dollar", "rmb": "yuan"}  # fmt: skip


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


class Parser:
    """A recursive descent over the tokens; what binds loosest comes first."""

    def __init__(self, token_list: list[Token]) -> None:
        self.tokens = token_list
        self.at = 0
        self.depth = 0
        self.bars = 0
        self.inside_set = False
        self.given = False  # the bracket that comes next has a bar that means "given"

    @property
    def look(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    def ahead(self, steps: int) -> Token:
        """The token that many steps ahead; the last one where there are fewer."""
        return self.tokens[min(self.at + steps, len(self.tokens) - 1)]

    def take(self) -> Token:
        """Take the next token; the end is never passed."""
        token = self.tokens[self.at]
        if token.sort != "end":
            self.at += 1
        return token

    def deeper(self) -> None:
        """Count one level of nesting, and refuse too many."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise TooBigError("nested too deep")

    def flat(self) -> str:
        """Take a braced group or one token as plain text, as subscripts are."""
        if self.look.text != "{":
            return self.take().text
        level, found = 0, []
        while self.look.sort != "end":
            token = self.take()
            level += {"{": 1, "}": -1}.get(token.text, 0)
            if token.sort != "skip" and token.text not in "{}":
                found.append(token.text)
            if level == 0:
                break
        return "".join(found)

    def answer(self) -> Node:
        """Read the whole text.

        Raises:
            UnreadableError: something is left over.
        """
        node = self.sequence()
        if self.look.sort != "end":
            raise UnreadableError(f"left over: {self.look.text!r}")
        return node

    def sequence(self) -> Node:
        """Read the members up to a closing bracket, and combine them as their separators say."""
        members, between = self.members()
        if not members:
            raise UnreadableError("nothing to read")
        if len(members) == 1:
            return members[0]
        if set(between) <= {"land", "lor"} and not all(map(_bounds, members)):
            return _formula(members, between)
        between = [{"land": "and", "lor": "or"}.get(sign, sign) for sign in between]
        members = _same_modulus(members)
        if "or" in between and all(_bounds(member) for member in members):
            return Node("union", tuple(members))
        if set(between) <= {"and", ","} and "and" in between and all(map(_bounds, members)):
            return Node("inter", tuple(members))
        return _regrouped(members, between)

    def members(self) -> tuple[list[Node], list[str]]:
        """Read members and their separators, up to a token that is neither."""
        members: list[Node] = []
        between: list[str] = []
        while self.look.sort not in ("close", "end", "cell", "row", "env"):
            if self.look.sort == "sep":
                separator = self.take().text
                if not members:
                    raise UnreadableError("a separator with nothing before it")
                if len(between) < len(members):
                    between.append(separator)
                elif separator != ",":
                    between[-1] = separator
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
        if self.look.sort == "rel" and self.look.text in ("=", "~", "sim", "cong", "implies"):
            self.take()
        parts, relations = [self.operand()], []
        while self.look.sort == "rel":
            relations.append(self.take().text)
            parts.append(self.operand())
            if len(parts) > MOST_MEMBERS:
                raise TooBigError("too long a chain")
        return _chain(parts, relations)

    def operand(self) -> Node:
        """Read one side of a relation: words, or mathematics with its unit."""
        before = self.words()
        if self.look.sort in _STOPS and self.look.sort != "bar":
            if not before:
                raise UnreadableError("nothing to read")
            return Node("text", name=" ".join(before))
        money = [word for word in before if word in _MONEY]
        if not all(word in _FILLERS or word in _MONEY for word in before):
            raise UnreadableError("words before mathematics")
        node = self.sets()
        unit = [*money, *self.unit()]
        if not unit:
            return node
        node = _with_unit(node, " ".join(unit))
        for _ in range(3):
            if (more := self.smaller_unit(node)) is None:
                break
            node = more
        return node

    def smaller_unit(self, node: Node) -> Node | None:
        """Read the inches of `5 feet 6 inches` and add them to the feet; None for anything else."""
        start = self.at
        if self.look.text in ("and", ",") and self.look.sort == "sep":
            self.take()
        if node.head == "unit" and self.look.sort == "num" and self.ahead(1).sort in ("word", "fn"):
            value, unit = self.written(), " ".join(self.unit())
            ratio = parts_of_one(node.name, unit)
            if ratio and value.number is not None and value.number < ratio:
                whole = Node("mul", (number(ratio), node.args[0]))
                return Node("unit", (Node("add", (whole, value)),), unit)
        self.at = start
        return None

    def words(self) -> list[str]:
        """Take the words that come next."""
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
            part = self.take().text
            if part in ("^", "/", "*", "-"):
                if self.look.text == "{":
                    found[-1] += part + self.flat()
                elif self.look.sort in ("num", "word", "sym", "fn"):
                    found[-1] += part + self.take().text
                elif self.look.text == "-":
                    self.take()
                    found[-1] += part + "-" + self.take().text
                else:
                    raise UnreadableError("a unit broken off")
            else:
                found.append(part)
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
        """Read a term with the plus and minus signs before it; or a negated formula."""
        if self.look.text == "not" and self.look.sort == "op":
            self.deeper()
            self.take()
            node = Node("logic", (self.signed(),), "not")
            self.depth -= 1
            return node
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

    def term(self) -> Node:
        """Read factors, joined by operators or juxtaposed."""
        node = self.factor()
        for _ in range(_MOST_FACTORS):
            look = self.look
            if look.sort == "op" and look.text in ("*", "/", "mod"):
                self.take()
                node = _joined(look.text, node, self.minus_factor())
            elif look.text in ("\\pmod", "\\pod") or (
                look.text == "(" and self.ahead(1).text == "mod"
            ):
                node = self.residue(node)
            elif look.text == "\\circ" and _is_function(node) and self.starts_factor(self.ahead(1)):
                self.take()
                node = Node("compose", (node, self.factor()))
            elif look.text in ("\\circ", "\\degree"):
                self.take()
                node = Node("degree", (node,))
            elif look.text in ("\\otimes", "\\oplus"):
                self.take()
                node = Node("compose", (node, self.factor()), look.text)
            elif look.sort == "num" and node.head not in ("num", "dec"):
                node = Node("mul", (node, self.factor()))
            elif self.starts_factor(look):
                node = self.juxtaposed(node)
            else:
                return node
        raise TooBigError("too long a product")

    def residue(self, node: Node) -> Node:
        r"""Read the modulus of a residue class: `\pmod{7}` or `(mod 7)`."""
        bracket = self.take().text == "("
        if not bracket:
            return Node("residue", (node, self.argument(whole=True)))
        self.take()
        modulus = self.sum()
        if self.take().text != ")":
            raise UnreadableError("a modulus that never closes")
        return Node("residue", (node, modulus))

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

    def juxtaposed(self, node: Node) -> Node:
        """Multiply by the next factor; f(x) is marked as a call."""
        if node.head in ("tuple", "set") and self.look.sort == "open":
            raise UnreadableError("two adjacent brackets")
        called = self.look.text == "(" and self.is_called(node)
        composed = node.head == "compose" and not node.name and self.look.text == "("
        other = self.factor()
        if composed:
            return _applied(node, other)
        return Node("mul", (node, other), "call" if called or other.head == "tuple" else "")

    def is_called(self, node: Node) -> bool:
        """Whether a bracket behind a node is its argument: f(x), f^{-1}(2), P(A|B), y(t)."""
        if node.head == "pow" and node.args[0].head == "sym":
            return node.args[0].name[:1] in "fghFGH"
        if node.head != "sym":
            return False
        bars, depth, steps = 0, 0, 0
        for steps in range(40):
            token = self.ahead(steps)
            depth += {"open": 1, "close": -1}.get(token.sort, 0)
            bars += token.sort == "bar" and token.text == "|" and depth == 1
            if depth <= 0:
                break
        self.given = bars == 1
        if self.given or node.name[:1] in _CALLED:
            return True
        argument = self.ahead(1)
        return steps == 2 and node.name in _LETTERS_OF_FUNCTIONS and argument.text in "xtn"

    def minus_factor(self) -> Node:
        """Read a factor that may carry its own sign, as in 3 * -4."""
        if self.look.sort == "op" and self.look.text in ("-", "+"):
            minus = self.take().text == "-"
            other = self.factor()
            return Node("mul", (number(-1), other)) if minus else other
        return self.factor()

    def factor(self) -> Node:
        """Read an atom with its postfix operators: powers, !, %, degrees, a base."""
        node = self.atom()
        for _ in range(30):
            look = self.look
            if look.sort == "op" and look.text == "^":
                self.take()
                node = self.power(node)
            elif look.sort == "op" and look.text == "!":
                self.take()
                node = self.factorial(node)
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
        raise TooBigError("too many postfix operators")

    def factorial(self, node: Node) -> Node:
        """Build n! or n!!; behind a tuple or set the character is an exclamation."""
        name = "factorial"
        if self.look.text == "!" and self.look.sort == "op" and not self.look.spaced:
            self.take()
            name = "double factorial"
        if self.look.text == "!":
            raise UnreadableError("three factorial signs")
        return node if node.head in ("tuple", "set") else Node("fn", (node,), name)

    def power(self, base: Node) -> Node:
        """Read what follows ^: a degree sign, a prime, or an exponent."""
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
        """Build degrees; the C or F of a temperature is skipped."""
        if self.look.sort == "sym" and self.look.text in ("C", "F"):
            self.take()
        return Node("degree", (base,))

    def argument(self, *, whole: bool) -> Node:
        r"""Read the argument of a command: a group or one token; `\frac12` takes single digits."""
        minus = self.look.sort == "op" and self.look.text == "-"
        if minus or self.look.text == "+":
            self.take()
        look = self.look
        if look.sort == "num" and not whole and len(look.text) > 1:
            self.tokens[self.at] = Token("num", look.text[1:], False)
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
            if self.take().text in _BOLD and (letter := self.lone_letter()):
                return Node("sym", name=f"\\vec{{{letter}}}")
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

    def lone_letter(self) -> str:
        """Take a group of one letter, a vector in bold type; nothing where it is another."""
        group = [self.ahead(steps) for steps in range(3)]
        if [token.text for token in group[::2]] == ["{", "}"] and group[1].sort == "sym":
            for _ in group:
                self.take()
            return group[1].text
        return ""

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
        if "." in text and self.look.text in ("\\overline", "\\dot"):
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
        start, kept = self.at, list(self.tokens)
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
                raise UnreadableError("two adjacent numbers")
            top, bottom = (number(int(part.text)) for part in (first, last))
        else:
            return None
        over, under = top.number, bottom.number
        if top.head == bottom.head == "num" and over is not None and under is not None:
            share = over / under if under else Fraction(1)
            if 0 <= share < 1:
                return number(whole + share)
        self.at, self.tokens = start, kept
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
        if self.look.text in ("max", "min") and self.ahead(1).sort == "rel":
            return Node("text", name=self.take().text)
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

    def bracket(self) -> Node:
        """Read a bracket: a group, tuple, interval, set, |x|, floor."""
        self.deeper()
        opened = self.take().text
        outside = self.bars, self.inside_set
        self.bars, self.inside_set = int(opened in ("|", "||")), opened == "\\{"
        given, self.given = self.given, False
        if given:
            self.bars = 1
        members, between = self.members()
        if given and self.look.sort == "bar" and members:
            self.take()
            members, between = [Node("given", (members[0], self.sequence()))], []
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
                letters = self.flat()
                if name in _UNDIRECTED and len(letters) == 2 and letters.isupper():
                    letters = "".join(sorted(letters))  # the segment AB is the segment BA
                return Node("sym", name=f"{name}{{{letters}}}")
            if name in FIGURES:
                return Node("sym", name=f"{name} {self.vertices()}")
            if name in ("\\emptyset", "\\varnothing"):
                return Node("set")
            if name in ("\\ldots", "\\dots", "\\cdots", "\\vdots", "\\ddots"):
                raise UnreadableError("dots")
            if name not in _NAMES:
                raise UnreadableError(f"an unknown command {name}")
            return Node("sym", name=name)
        finally:
            self.depth -= 1

    def vertices(self) -> str:
        r"""Read the letters behind `\angle` or `\triangle`: ABC, or the number of an angle."""
        while self.look.sort == "skip":
            self.take()
        if self.look.text in ("{", "("):
            return " ".join(self.flat().upper())
        if self.look.sort != "sym" or not self.look.text.isupper():
            return self.take().text
        found = []
        while self.look.sort == "sym" and self.look.text.isupper():
            found.append(self.symbol().name)
        return " ".join(found)

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
        """Read a braced group that may contain a relation, or one token."""
        return self.bracket() if self.look.text == "{" else self.argument(whole=True)

    def matrix(self) -> Node:
        """Read the rows of a matrix; other environments are not mathematics here."""
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


def _chain(parts: list[Node], relations: list[str]) -> Node:
    """Build a chain of relations; similar to a number is about that number."""
    if not relations:
        return parts[0]
    if "implies" in relations and not set(relations) <= set(CONNECTIVES):
        start = len(relations) - relations[::-1].index("implies")  # x + 1 = 3 ⇒ x = 2
        return _chain(parts[start:], relations[start:])
    for at, relation in enumerate(relations):
        if relation in ("sim", "cong") and not (symbols(parts[at]) and symbols(parts[at + 1])):
            relations[at] = "~"
    last = parts[-1]
    if relations[-1] == "=" and last.head == "fn" and last.name == "mod" and symbols(parts[0]):
        parts = [*parts[:-1], Node("residue", last.args)]
    return Node("chain", tuple(parts), " ".join(relations))


def _same_modulus(members: list[Node]) -> list[Node]:
    """Give every member of `1, 5 (mod 6)` the modulus that the last one states."""
    last = members[-1].args[-1] if members[-1].head == "chain" else members[-1]
    if last.head != "residue":
        return members
    return [_with_modulus(member, last.args[1]) for member in members]


def _with_modulus(node: Node, modulus: Node) -> Node:
    if node.head == "chain":
        return Node("chain", (*node.args[:-1], _with_modulus(node.args[-1], modulus)), node.name)
    return node if node.head == "residue" else Node("residue", (node, modulus))


def _formula(members: list[Node], between: list[str]) -> Node:
    """Build a formula of logic; "and" binds tighter than "or"."""
    parts: list[list[Node]] = [[members[0]]]
    for sign, member in zip(between, members[1:], strict=False):
        if sign == "land":
            parts[-1].append(member)
        else:
            parts.append([member])
    either = [part[0] if len(part) == 1 else Node("logic", tuple(part), "and") for part in parts]
    return either[0] if len(either) == 1 else Node("logic", tuple(either), "or")


def _is_function(node: Node) -> bool:
    """Whether a node may be a function, so that a circle behind it composes."""
    return node.head in ("sym", "compose") or (node.head == "pow" and _is_function(node.args[0]))


def _applied(node: Node, argument: Node) -> Node:
    """Write (f ∘ g)(x) as f(g(x))."""
    if node.head != "compose":
        return Node("mul", (node, argument), "call")
    return _applied(node.args[0], _applied(node.args[1], argument))


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
    if between and set(between) <= {"land", "lor"}:
        return _formula(members, between)
    return Node("tuple", tuple(members), opened + closed)


def _joined(operator: str, left: Node, right: Node) -> Node:
    if operator == "/":
        return Node("div", (left, right))
    if operator == "*" and _is_vector(left) and _is_vector(right):
        return Node("cross", (left, right))
    return Node("fn", (left, right), "mod") if operator == "mod" else Node("mul", (left, right))


def _is_vector(node: Node) -> bool:
    return node.head == "cross" or (node.head == "sym" and node.name.startswith("\\vec"))


def _is_minus_one(node: Node | None) -> bool:
    if node is None:
        return False
    if node.head == "mul" and len(node.args) == 2:
        return node.args[0].number == -1 and node.args[1].number == 1
    return node.number == -1


def _bounds(node: Node) -> bool:
    return (node.head == "chain" and any(relation in node.name for relation in "<>")) or (
        node.head == "chain" and node.name == "in"
    )


def _regrouped(members: list[Node], between: list[str]) -> Node:
    """Make `p=5, q=2; p=7, q=2` a list of pairs; any other row of members a plain list."""
    groups: list[list[Node]] = [[members[0]]]
    for separator, member in zip(between, members[1:], strict=False):
        if separator == ",":
            groups[-1].append(member)
        else:
            groups.append([member])
    sizes = {len(group) for group in groups}
    assigned = all(member.head == "chain" and member.name == "=" for member in members)
    if len(groups) > 1 and len(sizes) == 1 and sizes != {1} and (assigned or ";" in between):
        return Node("list", tuple(Node("tuple", tuple(group), "()") for group in groups))
    joined = "," if set(between) <= {",", ";"} else "or" if "or" in between else "and"
    return Node("list", tuple(members), joined)


def _with_unit(node: Node, phrase: str) -> Node:
    first, _, rest = phrase.replace("per cent", "percent").partition(" ")
    if first in ("degree", "degrees", "deg"):
        node, phrase = Node("degree", (node,)), rest
    elif first == "percent":
        node, phrase = Node("percent", (node,)), rest
    return Node("unit", (node,), phrase) if phrase else node
