"""Find the expressions on both sides of an equals sign in prose, and where they begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cotdistill.grading.arithmetic.tokens import Token

_LONGEST_SIDE = 60  # tokens
_UNIT_WORDS = 3
_NOT_UNITS = frozenset({
    "and", "or", "then", "is", "are", "was", "were", "so", "thus", "hence", "therefore", "but",
    "because", "since", "if", "when", "while", "which", "that", "this", "these", "those", "he",
    "she", "it", "they", "we", "you", "i", "there", "the", "a", "an", "as", "to", "in", "on",
    "at", "by", "from", "with", "for", "has", "have", "had", "be", "gets", "get", "now", "total",
    "altogether", "times", "plus", "minus", "divided", "multiplied", "per", "of", "than",
})  # fmt: skip
_HIDDEN_SIGN = frozenset({
    "of", "times", "by", "plus", "minus", "divided", "multiplied", "per", "half", "twice",
    "double", "dozen",
})  # fmt: skip
# Words that change the number they follow.
SCALES = frozenset({
    "hundred", "thousand", "million", "billion", "trillion", "dozen", "dozens", "pair", "pairs",
    "k", "halves", "thirds", "quarters", "fifths", "tenths",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """One side of an equation, as tokens that `value_of` can read."""

    tokens: tuple[Token, ...]  # without units
    first: tuple[Token, ...]  # its first operand alone
    has_unit: bool
    may_be_negative: bool = False  # a dash precedes it: a bullet or a sign

    @property
    def has_sign(self) -> bool:
        """Whether something is worked out on this side."""
        return sum(token.sort == "number" for token in self.tokens) > 1

    @property
    def divides_twice(self) -> bool:
        """Whether it is ambiguous, as 6 / 1/30 and 150 / 5/100 are."""
        return sum(token.text == "/" for token in self.tokens) > 1


def left_of(tokens: Sequence[Token], equals: int) -> Side | None:
    """The longest expression that ends at the equals sign."""
    at = equals
    limit = max(0, equals - _LONGEST_SIDE)
    start = None
    negative = False
    while at > limit:
        operand = _operand_before(tokens, at, limit)
        if operand is None:
            return None
        start = at = operand
        before = tokens[at - 1] if at > limit else None
        if before is None or before.sort not in ("sign", "number", "close"):
            break
        if before.sort != "sign":
            if before.sort == "close" and tokens[at].sort == "open":
                continue
            return None
        at -= 1
        if _is_bullet_or_sign(tokens, at, limit):
            negative = True
            break
    if start is None or start == limit > 0:
        return None
    if start > negative and _unclear_before(tokens, start - negative):
        return None
    return _side(tokens[start:equals], negative)


def _operand_before(tokens: Sequence[Token], at: int, limit: int) -> int | None:
    """Where the number or bracket begins that ends before `at`, its unit stepped over."""
    at -= 1
    words = 0
    while at >= limit and (tokens[at].sort == "word" or _unit_slash(tokens, at)):
        if tokens[at].sort == "word":
            words += 1
            if words > _UNIT_WORDS or not _is_unit(tokens[at]):
                return None
        at -= 1
    if at >= limit and tokens[at].text in ("²", "³"):
        at -= 1
    if at < limit:
        return None
    if tokens[at].sort == "number":
        if words and tokens[at + 1].sort == "word" and _glued_letter(tokens, at):
            return None
        return at
    if tokens[at].sort != "close":
        return None
    depth = 0
    while at >= limit:
        depth += {"close": 1, "open": -1}.get(tokens[at].sort, 0)
        if tokens[at].sort in ("equals", "break"):
            return None
        if depth == 0:
            return at - 1 if at - 1 >= limit and _multiplies(tokens, at - 1) else at
        at -= 1
    return None


def right_of(tokens: Sequence[Token], equals: int) -> Side | None:
    """The longest expression that begins at the equals sign."""
    at = equals + 1
    limit = min(len(tokens), equals + _LONGEST_SIDE)
    stop: int | None = None
    while at < limit:
        if tokens[at].sort == "sign" and tokens[at].text in "+-" and stop is None:
            at += 1
        end = _operand_after(tokens, at, limit)
        if end is None:
            return None
        stop = end
        at = _after_unit(tokens, end, limit)
        if at >= limit or tokens[at].sort != "sign":
            if at < limit and at == end and tokens[at].sort == "open" and _touches(tokens, at):
                continue
            if at < limit and (tokens[at].sort == "number" or tokens[at].text == ":"):
                return None  # 3 000, or two numbers side by side
            break
        if at + 1 >= limit or tokens[at + 1].sort not in ("number", "open", "sign"):
            if (
                tokens[at].text == "-"
                and at + 1 < len(tokens)
                and tokens[at].end < tokens[at + 1].start
            ):  # a dash, not a difference
                break
            return None
        at += 1
    return _side(tokens[equals + 1 : stop]) if stop is not None else None


def _operand_after(tokens: Sequence[Token], at: int, limit: int) -> int | None:
    if at >= limit:
        return None
    if tokens[at].sort == "sign" and tokens[at].text == "-":
        at += 1
    if at < limit and tokens[at].sort == "number":
        if _glued_letter(tokens, at):
            return None
        return at + 2 if at + 1 < limit and tokens[at + 1].text in ("²", "³") else at + 1
    if at >= limit or tokens[at].sort != "open":
        return None
    depth = 0
    while at < limit:
        depth += {"open": 1, "close": -1}.get(tokens[at].sort, 0)
        if tokens[at].sort in ("equals", "break"):
            return None
        at += 1
        if depth == 0:
            return at
    return None


def _after_unit(tokens: Sequence[Token], at: int, limit: int) -> int:
    words = 0
    while (
        at < limit
        and words < _UNIT_WORDS
        and ((tokens[at].sort == "word" and _is_unit(tokens[at])) or _unit_slash(tokens, at))
    ):
        words += tokens[at].sort == "word"
        at += 1
    return at


def _side(tokens: Sequence[Token], may_be_negative: bool = False) -> Side | None:
    """Take the units off a run of tokens; None when a word is where a number belongs."""
    bare: list[Token] = []
    has_unit = False
    for at, token in enumerate(tokens):
        if token.sort == "word":
            if (
                not bare
                or bare[-1].sort not in ("number", "close")
                or not _may_be_unit(token, bare[-1])
            ):
                return None
            has_unit = True
        elif not (token.text == "/" and at + 1 < len(tokens) and tokens[at + 1].sort == "word"):
            bare.append(token)
    while bare and bare[-1].text == "/":
        bare.pop()
    first: list[Token] = []
    depth = 0
    for token in bare:
        depth += {"open": 1, "close": -1}.get(token.sort, 0)
        is_sign = token.sort == "sign" and token.text in "+-*/^"
        if first and depth == 0 and is_sign and first[-1].sort != "sign":
            break
        first.append(token)
    return Side(tuple(bare), tuple(first), has_unit, may_be_negative) if bare else None


def _may_be_unit(word: Token, before: Token) -> bool:
    """Whether a word is a unit; "million" changes the number, and the x of 2x is one itself."""
    if len(word.text) == 1:
        return word.text in "mghLls" and before.end < word.start
    return word.text.lower() not in SCALES


def _is_unit(token: Token) -> bool:
    if token.text.startswith("\\text"):
        return True
    return len(token.text) > 1 and token.text not in _NOT_UNITS and token.text[0].islower()


def _glued_letter(tokens: Sequence[Token], at: int) -> bool:
    """A letter that touches its number is a variable: 2x, 3n."""
    after = tokens[at + 1] if at + 1 < len(tokens) else None
    return (
        after is not None
        and after.sort == "word"
        and after.start == tokens[at].end
        and len(after.text) == 1
    )


def _unit_slash(tokens: Sequence[Token], at: int) -> bool:
    return (
        tokens[at].text == "/"
        and at + 1 < len(tokens)
        and tokens[at + 1].sort == "word"
        and at > 0
        and tokens[at - 1].sort in ("word", "number")
    )


def _touches(tokens: Sequence[Token], at: int) -> bool:
    return tokens[at - 1].end == tokens[at].start


def _multiplies(tokens: Sequence[Token], at: int) -> bool:
    """Whether the token at `at` touches the bracket behind it, as in 3(4 + 5)."""
    return tokens[at].sort == "number" and tokens[at].end == tokens[at + 1].start


def _is_bullet_or_sign(tokens: Sequence[Token], at: int, limit: int) -> bool:
    """Whether the sign at `at` opens the line or bracket, so that no operand is missing."""
    if tokens[at].text != "-":
        return False
    return at == limit or tokens[at - 1].sort in ("break", "open", "equals")


def _is_part(tokens: Sequence[Token]) -> bool:
    """Whether the tokens are a fraction below one, as in "1 and 1/4"."""
    if [token.text == "/" for token in tokens] != [False, True, False]:
        return False
    over, under = tokens[0].value, tokens[2].value
    return over is not None and under is not None and over < under


def _unclear_before(tokens: Sequence[Token], start: int) -> bool:
    """Whether what precedes an expression may belong to it: "half of 12 + 2", "1 and 1/4"."""
    before = tokens[start - 1]
    earlier = tokens[start - 2].sort if start >= 2 else "break"
    if before.sort == "word":
        word = before.text.lower()
        if tokens[start].sort == "open" and before.end == tokens[start].start:
            return True  # f(2)
        if word == "and" and earlier == "number" and _is_part(tokens[start : start + 3]):
            return True
        return word in _HIDDEN_SIGN or (len(word) == 1 and before.text not in "aAI")
    if before.text == "," or (before.text in (":", ".") and before.end == tokens[start].start):
        return earlier == "number"  # 14, 400; 6:30; 1/7:1/14
    return before.sort == "open" and before.text != "[" and earlier == "sign"
