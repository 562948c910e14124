"""Cuts a tidied answer into the signs that the parser reads: numbers, names, words, operators."""

from __future__ import annotations

import re
from typing import NamedTuple

from cotdistill.grading.equivalence.tree import (
    MOST_CHARACTERS,
    MOST_DIGITS,
    MOST_TOKENS,
    UnreadableError,
)
from cotdistill.grading.equivalence.units import PLAIN_UNITS

RELATIONS = {
    "\\le": "<=", "\\leq": "<=", "\\leqslant": "<=", "\\leqq": "<=", "\\ge": ">=", "\\geq": ">=",
    "\\geqslant": ">=", "\\geqq": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!=", "\\neq": "!=",
    "\\approx": "~", "\\simeq": "~", "\\sim": "~", "\\cong": "~", "\\doteq": "~", "\\equiv": "=",
    "\\in": "in", "=<": "<=", "=>": ">=", "==": "=", "<>": "!=", "\\coloneqq": "=",
}  # fmt: skip
OPERATORS = {
    "\\cdot": "*", "\\times": "*", "\\ast": "*", "\\star": "*", "\\div": "/", "\\pm": "pm",
    "\\mp": "mp", "\\cup": "cup", "\\bigcup": "cup", "\\cap": "cap", "\\setminus": "minus",
    "\\backslash": "minus", "\\bmod": "mod", "\\mod": "mod", "\\over": "over",
    "\\choose": "choose",
}  # fmt: skip
_FUNCTIONS_NAMES = (
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp max min gcd "
    "lcm asin acos atan asinh acosh atanh arcsinh arccosh arctanh arsinh arcosh artanh det "
)
FUNCTIONS = frozenset(_FUNCTIONS_NAMES.split())
CONSTANTS = {
    "pi": "pi", "infinity": "inf", "infty": "inf", "inf": "inf", "oo": "inf", "infinite": "inf",
}  # fmt: skip
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi "
    "rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon "
    "Phi Psi Omega ell hbar "
)
GREEK = frozenset(_GREEK_NAMES.split())
# commands that say how something looks, not what it is
_DROPPED_NAMES = (
    "\\angle \\triangle \\boxed \\fbox \\framebox \\mathbf \\mathit \\mathsf "
    "\\mathcal \\mathfrak \\mathscr \\boldsymbol \\bm \\bf \\it \\rm \\sf \\therefore "
    "\\because \\measuredangle \\nonumber \\label \\phantom \\mathord \\mathop "
    "\\ensuremath \\mathbb \\color \\underline \\Large \\mathtt \\displaylines "
    "\\unicode "
)
DROPPED = frozenset(_DROPPED_NAMES.split())
FENCES = {
    "\\{": ("open", "\\{"), "\\}": ("close", "\\}"), "\\lbrace": ("open", "\\{"),
    "\\rbrace": ("close", "\\}"), "\\langle": ("open", "("), "\\rangle": ("close", ")"),
    "\\lparen": ("open", "("), "\\rparen": ("close", ")"), "\\lbrack": ("open", "["),
    "\\rbrack": ("close", "]"), "\\lfloor": ("open", "floor"), "\\rfloor": ("close", "floor"),
    "\\lceil": ("open", "ceil"), "\\rceil": ("close", "ceil"), "\\lvert": ("open", "|"),
    "\\rvert": ("close", "|"), "\\vert": ("bar", "|"), "\\mid": ("bar", "|"), "\\|": ("bar", "||"),
    "\\Vert": ("bar", "||"), "\\lVert": ("open", "||"), "\\rVert": ("close", "||"),
}  # fmt: skip
CHARACTERS = {
    "(": ("open", "("), ")": ("close", ")"), "[": ("open", "["), "]": ("close", "]"),
    "{": ("open", "{"), "}": ("close", "}"), "|": ("bar", "|"), ",": ("sep", ","),
    ";": ("sep", ";"), "&": ("cell", "&"), "+": ("op", "+"), "-": ("op", "-"), "*": ("op", "*"),
    "/": ("op", "/"), "^": ("op", "^"), "_": ("op", "_"), "!": ("op", "!"), "'": ("op", "'"),
    "%": ("op", "%"), ":": ("op", ":"), "€": ("word", "euro"), "£": ("word", "pound"),
    "¥": ("word", "yuan"), "₹": ("word", "rupee"), "#": ("word", "#"), "\"": ("word", "\""),
}  # fmt: skip
SAME_GREEK = {"varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta"}
CONNECTORS = ("and", "or")
EQUALS = ("is", "are", "equals", "equal")


class Token(NamedTuple):
    """One sign: what sort it is, what it says, and whether a space stood before it.

    sort: num, sym, word, fn, cmd, op, rel, open, close, sep, env, row, cell, end
    """

    sort: str
    text: str
    spaced: bool


_TOKEN = re.compile(
    r"""(?P<num>\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+(?![\d.]))?)
    |(?P<text>\\(?:text|mbox|textbf|textit|textrm|textnormal|textsf|texttt|textsc|mathrm|rm|hbox|emph|operatorname)(?![a-zA-Z])\*?\s*\{)
    |(?P<env>\\(?:begin|end)\s*\{[a-zA-Z*]+\}(?:\s*\{[clr|@\s]*\})?)
    |(?P<row>\\\\|\\cr(?![a-zA-Z]))
    |(?P<cmd>\\[a-zA-Z]+)
    |(?P<esc>\\[{}%$_&#|])
    |(?P<letters>[A-Za-z]+)
    |(?P<rel><=|>=|=<|=>|==|!=|<>|<|>|=|~)
    |(?P<power>\*\*)
    |(?P<char>.)""",
    re.VERBOSE | re.DOTALL,
)
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?: \d{3})+)(?![\d]| \d)")
_UNIT_LETTERS = "mgshlLNJWVKPA"  # in a text command behind a number


def tokens(text: str, *, thousands: bool = True) -> list[Token]:
    r"""Cut a tidied text into tokens; `thousands` says whether `1,234` is one number.

    Raises:
        UnreadableError: a bound is passed, or a sign is not mathematics.

    >>> [token.text for token in tokens(r"2\frac{x}{3} cm")]
    ['2', '\\frac', '{', 'x', '}', '{', '3', '}', 'cm', '']
    >>> [token.text for token in tokens("1,234", thousands=False)]
    ['1', ',', '234', '']
    """
    if len(text) > MOST_CHARACTERS:
        raise UnreadableError("too long")
    if thousands:
        text = _SPACED_THOUSANDS.sub(lambda run: run[1].replace(" ", ""), text)
    found: list[Token] = []
    _cut(text, found, words=False, thousands=thousands)
    found.append(Token("end", "", False))
    return found


def _cut(text: str, found: list[Token], *, words: bool, thousands: bool) -> None:
    spaced, at = False, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or len(found) > MOST_TOKENS:
            raise UnreadableError("too many signs")
        sort, sign = str(match.lastgroup), match[0]
        at = match.end()
        if sort == "text":
            inside, at = _braced(text, at)
            _cut(inside, found, words=True, thousands=thousands)
        elif sort == "char" and sign.isspace():
            spaced = True
            continue
        elif sign == "." and found and found[-1].sort == "word":
            continue  # an abbreviation: Rs. 620
        elif sort == "num":
            at = match.start() + _number(sign, found, spaced, thousands)
        elif sort == "letters":
            _letters(sign, found, spaced, words)
        else:
            found.append(_sign(sort, sign, spaced))
        spaced = False


def _braced(text: str, start: int) -> tuple[str, int]:
    """Give what stands before the brace that closes, and where the text goes on."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at], at + 1
    return text[start:], len(text)


def _number(sign: str, found: list[Token], spaced: bool, thousands: bool) -> int:
    if len(sign) > MOST_DIGITS:
        raise UnreadableError("too many digits")
    if "," in sign and not thousands:
        sign = sign.partition(",")[0]
    found.append(Token("num", sign.replace(",", ""), spaced))
    return len(sign)


def _letters(run: str, found: list[Token], spaced: bool, words: bool) -> None:
    low = run.lower()
    if low in CONNECTORS:
        found.append(Token("sep", low, spaced))
    elif low in EQUALS:
        found.append(Token("rel", "=", spaced))
    elif run in FUNCTIONS or low == "sqrt":
        found.append(
            Token("fn" if run in FUNCTIONS else "cmd", run if low != "sqrt" else "\\sqrt", spaced)
        )
    elif low in CONSTANTS:
        found.append(Token("const", CONSTANTS[low], spaced))
    elif run in GREEK:
        found.append(Token("sym", run, spaced))
    elif len(run) == 1:
        unit = words and run in _UNIT_LETTERS and found and found[-1].sort in ("num", "close")
        found.append(Token("word" if unit else "sym", run, spaced))
    elif words or low in PLAIN_UNITS or (len(run) > 3 and not run.isupper()):
        head = next(
            (name for name in ("sin", "cos", "tan", "log", "ln") if run.startswith(name)), ""
        )
        if head and len(run) == len(head) + 1 and not words:
            found += [Token("fn", head, spaced), Token("sym", run[-1], False)]
        else:
            found.append(Token("word", low, spaced))
    else:
        found += [Token("sym", letter, spaced and not at) for at, letter in enumerate(run)]


def _sign(sort: str, sign: str, spaced: bool) -> Token:
    if sort == "rel":
        return Token("rel", RELATIONS.get(sign, sign), spaced)
    if sort == "power":
        return Token("op", "^", spaced)
    if sort == "env":
        which, _, name = sign.replace(" ", "").partition("{")
        return Token(
            "begin" if which == "\\begin" else "env", name.partition("}")[0].rstrip("*"), spaced
        )
    if sort == "row":
        return Token("row", sign, spaced)
    if sign in FENCES:
        return Token(*FENCES[sign], spaced)
    if sort == "cmd":
        return _command(sign, spaced)
    if sign == "\\%":
        return Token("op", "%", spaced)
    if sign == "\\$" or sign == "$":
        return Token("word", "dollar", spaced)
    if sign in CHARACTERS:
        return Token(*CHARACTERS[sign], spaced)
    raise UnreadableError(f"not mathematics: {sign!r}")


def _command(sign: str, spaced: bool) -> Token:
    name = sign[1:]
    if sign in RELATIONS:
        return Token("rel", RELATIONS[sign], spaced)
    if sign in OPERATORS:
        return Token("op", OPERATORS[sign], spaced)
    if name in FUNCTIONS:
        return Token("fn", name, spaced)
    if name in ("infty", "infin", "pi"):
        return Token("const", "pi" if name == "pi" else "inf", spaced)
    if name in GREEK:
        return Token(
            "sym",
            SAME_GREEK.get(name, name),
            spaced,
        )
    if name in ("pounds", "euro", "yen"):
        return Token("word", name.rstrip("s"), spaced)
    if sign in DROPPED:
        return Token("skip", sign, spaced)
    if name in ("dfrac", "tfrac", "cfrac", "frac"):
        return Token("cmd", "\\frac", spaced)
    if name in ("dbinom", "tbinom", "binom"):
        return Token("cmd", "\\binom", spaced)
    if name in ("land", "wedge", "lor", "vee"):
        return Token("sep", "and" if name in ("land", "wedge") else "or", spaced)
    return Token("cmd", sign, spaced)
