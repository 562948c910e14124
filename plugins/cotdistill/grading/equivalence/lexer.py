r"""Splits an answer into tokens: numbers, names, words, operators, relations, brackets.

One table says what each LaTeX command and each character is (`_COMMANDS`, `_CHARACTERS`); one
regular expression finds where a token ends (`_TOKEN`); runs of letters are a name, a word, a unit
or a product of one-letter names (`_letters`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cotdistill.grading.equivalence.number import PARTS
from cotdistill.grading.equivalence.tree import (
    MOST_CHARACTERS,
    MOST_DIGITS,
    MOST_TOKENS,
    UnreadableError,
)
from cotdistill.grading.equivalence.units import PLAIN_UNITS


class Token(NamedTuple):
    """One token: its sort, its text in one spelling, and whether a space precedes it.

    sort: num, sym, const, word, fn, cmd, op, rel, bar, open, close, sep, cell, row, begin, env,
    skip (typography without a meaning), end
    """

    sort: str
    text: str
    spaced: bool


_Meaning = tuple[str, str]  # sort and text of a token


def _all(sort: str, names: str) -> dict[str, _Meaning]:
    return {name: (sort, name) for name in names.split()}


def _renamed(sort: str, spellings: dict[str, str]) -> dict[str, _Meaning]:
    return {name: (sort, text) for text, names in spellings.items() for name in names.split()}


_FUNCTIONS = _all(
    "fn",
    "sin cos tan cot sec csc arcsin arccos arctan arccot sinh cosh tanh log ln lg exp max min gcd "
    "lcm asin acos atan asinh acosh atanh arcsinh arccosh arctanh arsinh arcosh artanh det",
)
_GREEK = {
    **_all(
        "sym",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
        "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell "
        "hbar",
    ),
    **_renamed("sym", {"epsilon": "varepsilon", "phi": "varphi", "theta": "vartheta"}),
}
_CONSTANTS = _renamed("const", {"pi": "pi", "inf": "infinity infty inf oo infinite"})
_RELATIONS = _renamed(
    "rel",
    {
        "<=": "le leq leqslant leqq",
        ">=": "ge geq geqslant geqq",
        "<": "lt",
        ">": "gt",
        "!=": "ne neq",
        "~": "approx simeq doteq thickapprox",
        "=": "equiv coloneqq",
        "in": "in",
        "ni": "ni",
        "notin": "notin",
        "sim": "sim",
        "cong": "cong",
        "subset": "subset subsetneq",
        "subseteq": "subseteq subseteqq",
        "supset": "supset supsetneq",
        "supseteq": "supseteq supseteqq",
        "notsubset": "nsubset nsubseteq",
        "notsupset": "nsupset nsupseteq",
        "implies": "implies Rightarrow Longrightarrow",
        "implied": "impliedby Leftarrow Longleftarrow",
        "iff": "iff Leftrightarrow Longleftrightarrow leftrightarrow",
        "to": "to rightarrow longrightarrow",
        "from": "gets leftarrow longleftarrow",
        "mapsto": "mapsto longmapsto",
        "parallel": "parallel",
        "perp": "perp",
        "propto": "propto",
        "nmid": "nmid",
    },
)
_OPERATORS = _renamed(
    "op",
    {
        "*": "cdot times ast star",
        "/": "div",
        "pm": "pm",
        "mp": "mp",
        "cup": "cup bigcup",
        "cap": "cap",
        "minus": "setminus backslash",
        "mod": "bmod mod",
        "not": "neg lnot",
        "over": "over",
        "choose": "choose",
    },
)
_BRACKETS = {
    **_renamed(
        "open",
        {"\\{": "{ lbrace", "(": "langle lparen", "[": "lbrack", "floor": "lfloor",
         "ceil": "lceil", "|": "lvert", "||": "lVert"},
    ),
    **_renamed(
        "close",
        {"\\}": "} rbrace", ")": "rangle rparen", "]": "rbrack", "floor": "rfloor",
         "ceil": "rceil", "|": "rvert", "||": "rVert"},
    ),
    **_renamed("bar", {"|": "vert mid", "||": "| Vert"}),
}  # fmt: skip
# commands that say how something looks, not what it is
_TYPOGRAPHY = _all(
    "skip",
    "boxed fbox framebox mathbf mathit mathsf mathcal mathfrak mathscr boldsymbol bm bf it rm sf "
    "therefore because nonumber mathord mathop ensuremath mathbb underline Large mathtt "
    "displaylines unicode mathstrut strut smash checkmark qed qedsymbol",
)
_COMMANDS: dict[str, _Meaning] = {
    **_TYPOGRAPHY,
    **_GREEK,
    **_FUNCTIONS,
    **_renamed("const", {"pi": "pi", "inf": "infty infin"}),
    **_RELATIONS,
    **_OPERATORS,
    **_BRACKETS,
    **_renamed("word", {"dollar": "$", "pound": "pounds", "euro": "euro", "yen": "yen"}),
    **_renamed(
        "cmd",
        {
            "\\frac": "frac dfrac tfrac cfrac",
            "\\binom": "binom dbinom tbinom",
            "\\vec": "vec overrightarrow",
            "\\overline": "overline bar",
            "\\hat": "hat widehat",
            "\\tilde": "tilde widetilde",
            "\\angle": "angle measuredangle",
        },
    ),
    **_renamed("sep", {"land": "land wedge", "lor": "lor vee"}),
    "%": ("op", "%"),
}
"""What a LaTeX command is, by its name; a command that is not here is passed on as it is."""

_CHARACTERS: dict[str, _Meaning] = {
    "(": ("open", "("), ")": ("close", ")"), "[": ("open", "["), "]": ("close", "]"),
    "{": ("open", "{"), "}": ("close", "}"), "|": ("bar", "|"), ",": ("sep", ","),
    ";": ("sep", ";"), "&": ("cell", "&"), "+": ("op", "+"), "-": ("op", "-"), "*": ("op", "*"),
    "/": ("op", "/"), "^": ("op", "^"), "_": ("op", "_"), "!": ("op", "!"), "'": ("op", "'"),
    "%": ("op", "%"), ":": ("op", ":"), "**": ("op", "^"), "$": ("word", "dollar"),
    "€": ("word", "euro"), "£": ("word", "pound"), "¥": ("word", "yuan"), "₹": ("word", "rupee"),
    "#": ("word", "#"), "\"": ("word", "\""),
    **_renamed("rel", {"<=": "<= =<", ">=": ">= =>", "=": "= ==", "!=": "!= <>", "<": "<",
                       ">": ">", "~": "~", "to": "->"}),
}  # fmt: skip
_WORDS: dict[str, _Meaning] = {
    **_all("sep", "and or"),
    **_renamed("rel", {"=": "is are equals equal"}),
    **_CONSTANTS,
    **_renamed("op", {"mod": "mod modulo"}),
    "sqrt": ("cmd", "\\sqrt"),
}
"""What a word is that is more than a word, in any case."""

_TOKEN = re.compile(
    r"""(?P<num>\d{1,3}(?:,\d{3})+(?![\d])(?:\.\d+)?|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+(?![\d.]))?)
    |(?P<text>\\(?:text|mbox|textbf|textit|textrm|textnormal|textsf|texttt|textsc|mathrm|rm|hbox|emph|operatorname)(?![a-zA-Z])\*?\s*\{)
    |(?P<env>\\(?:begin|end)\s*\{[a-zA-Z*]+\}(?:\s*\{[clr|@\s]*\})?)
    |(?P<row>\\\\|\\cr(?![a-zA-Z]))
    |(?P<cmd>\\(?:[a-zA-Z]+|[{}%$_&#|]))
    |(?P<letters>[A-Za-z]+)
    |(?P<char><=|>=|=<|=>|==|!=|<>|->|\*\*|.)""",
    re.VERBOSE | re.DOTALL,
)
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?: \d{3})+)(?![\d]| \d)")
_UNIT_LETTERS = "mgshlLNJWVKPA"  # inside a text command, behind a number or another unit
_BEFORE_UNITS = ("num", "close", "word")


def tokens(text: str, *, thousands: bool = True) -> list[Token]:
    r"""Split a tidied text into tokens; `thousands` says whether `1,234` is one number.

    Raises:
        UnreadableError: a bound is passed, or a character is not mathematics.

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
    _split(text, found, in_text=False, thousands=thousands)
    if any(token.sort == "word" for token in found):
        found = spoken_operators(found)
    found.append(Token("end", "", False))
    return found


def _split(text: str, found: list[Token], *, in_text: bool, thousands: bool) -> None:
    r"""Append the tokens of a text; `in_text` is inside a command such as `\text`."""
    spaced, at = False, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or len(found) > MOST_TOKENS:
            raise UnreadableError("too many tokens")
        group, piece = str(match.lastgroup), match[0]
        at = match.end()
        if group == "text":
            inside, at = _braced(text, at)
            _split(inside, found, in_text=True, thousands=thousands)
        elif group == "char" and piece.isspace():
            spaced = True
            continue
        elif piece == "." and found and found[-1].sort == "word":
            continue  # an abbreviation: Rs. 620
        elif group == "num":
            at = match.start() + _number(piece, found, spaced, thousands)
        elif group == "letters":
            _letters(piece, found, spaced, in_text)
        else:
            found.append(Token(*_meaning(group, piece), spaced))
        spaced = False


_OPERAND_STARTS = ("num", "sym", "const", "cmd", "fn", "open")
_OPERAND_ENDS = ("num", "sym", "const", "close")
_BETWEEN = {("times",): "*", ("multiplied", "by"): "*", ("divided", "by"): "/", ("over",): "/",
            ("plus",): "+", ("minus",): "-", ("more", "than"): "+", ("greater", "than"): "+",
            ("less", "than"): "less", ("fewer", "than"): "less"}  # fmt: skip
_BEHIND = {"squared": "^ 2", "cubed": "^ 3", "factorial": "!"}
_BEFORE = {("minus",): "-", ("negative",): "-", ("twice",): "2 *", ("double",): "2 *",
           ("thrice",): "3 *", ("triple",): "3 *", ("half", "of"): "1 / 2 *",
           ("square", "root", "of"): "\\sqrt"}  # fmt: skip


def spoken_operators(found: list[Token]) -> list[Token]:
    r"""Write operators in words as operators: `5 squared`, `3 halves`, `minus 9`.

    >>> " ".join(token.text for token in tokens(r"3 \text{ more than } x"))
    '3 + x '
    >>> " ".join(token.text for token in tokens(r"5 \text{ times}"))
    '5 times '
    """
    written: list[Token] = []
    at = 0
    while at < len(found):
        token = found[at]
        words = _words_at(found, at)
        last = written[-1] if written else None
        ended = last is not None and last.sort in _OPERAND_ENDS
        replaced, taken = "", 0
        if ended and token.text == "and" and (part := _part_of_one(found, at)):
            written += _tokens_of(f"+ 1 / {part}")
            at += 3
            continue
        for length in (3, 2, 1) if words else ():
            phrase = words[:length]
            follows = found[at + length] if at + length < len(found) else None
            operand = follows is not None and follows.sort in _OPERAND_STARTS
            if len(phrase) < length:
                continue
            if ended and operand and phrase in _BETWEEN:
                replaced, taken = _BETWEEN[phrase], length
            elif not ended and operand and phrase in _BEFORE and not _is_word(last):
                replaced, taken = _BEFORE[phrase], length
            elif ended and length == 1 and phrase[0] in _BEHIND:
                replaced, taken = _BEHIND[phrase[0]], 1
            elif length == 1 and phrase[0] in PARTS and _are_parts(last, phrase[0]):
                replaced, taken = f"/ {PARTS[phrase[0]]}", 1
            if taken:
                break
        if replaced == "less" and _is_lone_number(written):
            written.insert(-1, Token("op", "-", False))
            replaced = "+"
        if not taken or replaced == "less":
            written.append(token)
            at += 1
            continue
        written += _tokens_of(replaced)
        at += taken
    return written


def _words_at(found: list[Token], at: int) -> tuple[str, ...]:
    return tuple(token.text for token in found[at : at + 3] if token.sort == "word")


def _tokens_of(operators: str) -> list[Token]:
    sorts = {"\\": "cmd"}
    return [
        Token("num" if part.isdigit() else sorts.get(part[0], "op"), part, True)
        for part in operators.split()
    ]


def _part_of_one(found: list[Token], at: int) -> int:
    """Return 2 for `and a half` at a place, 4 for `and a quarter`; 0 for anything else."""
    words = [token.text for token in found[at + 1 : at + 3]]
    return PARTS.get(words[1], 0) if len(words) == 2 and words[0] == "a" else 0


def _is_word(token: Token | None) -> bool:
    return token is not None and token.sort == "word" and token.text != "the"


def _are_parts(last: Token | None, word: str) -> bool:
    """Whether a word behind a number says how many parts: 3 halves, 1 third; not 2 third."""
    return last is not None and last.sort == "num" and (word.endswith("s") or last.text == "1")


def _is_lone_number(written: list[Token]) -> bool:
    return written[-1].sort == "num" and (len(written) == 1 or written[-2].sort in ("rel", "sep"))


def _braced(text: str, start: int) -> tuple[str, int]:
    """Return the text before the brace that closes, and where the text continues."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start:at], at + 1
    return text[start:], len(text)


def _number(piece: str, found: list[Token], spaced: bool, thousands: bool) -> int:
    """Append a number; return how many characters it took."""
    if len(piece) > MOST_DIGITS:
        raise UnreadableError("too many digits")
    if "," in piece and not thousands:
        piece = piece.partition(",")[0]
    found.append(Token("num", piece.replace(",", ""), spaced))
    return len(piece)


def _letters(run: str, found: list[Token], spaced: bool, in_text: bool) -> None:
    """Append a run of letters: a function, a name, a word, or one-letter names side by side."""
    low = run.lower()
    if run in _FUNCTIONS:
        found.append(Token("fn", run, spaced))
    elif low in _WORDS:
        found.append(Token(*_WORDS[low], spaced))
    elif run in _GREEK:
        found.append(Token("sym", run, spaced))
    elif len(run) == 1:
        is_unit = in_text and run in _UNIT_LETTERS and found and found[-1].sort in _BEFORE_UNITS
        found.append(Token("word" if is_unit else "sym", run, spaced))
    elif in_text or low in PLAIN_UNITS or (len(run) > 3 and not run.isupper()):
        applied = next(
            (name for name in ("sin", "cos", "tan", "log", "ln") if run.startswith(name)), ""
        )
        if applied and len(run) == len(applied) + 1 and not in_text:
            found += [Token("fn", applied, spaced), Token("sym", run[-1], False)]
        else:
            found.append(Token("word", low, spaced))
    else:
        found += [Token("sym", letter, spaced and not at) for at, letter in enumerate(run)]


def _meaning(group: str, piece: str) -> _Meaning:
    """Return the sort and text of a command, an environment, a row end or a character."""
    if group == "row":
        return "row", piece
    if group == "env":
        which, _, name = piece.replace(" ", "").partition("{")
        return "begin" if which == "\\begin" else "env", name.partition("}")[0].rstrip("*")
    if group == "cmd" and piece[1:] in _COMMANDS:
        sort, text = _COMMANDS[piece[1:]]
        return sort, piece if sort == "skip" else text
    if group == "cmd" and piece[1].isalpha():
        return "cmd", piece
    if piece in _CHARACTERS:
        return _CHARACTERS[piece]
    raise UnreadableError(f"not mathematics: {piece!r}")
