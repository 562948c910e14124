"""Cut a rationale into numbers, signs, brackets, words and breaks, and evaluate runs of them.

Exact fractions, bounded in digits, exponents and depth; nothing is ever handed to an interpreter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Sort = Literal["number", "sign", "open", "close", "equals", "word", "break"]

_MOST_DIGITS = 30
_MOST_EXPONENT = 64
_MOST_DEPTH = 20
_VULGAR = {
    "½": Fraction(1, 2), "⅓": Fraction(1, 3), "⅔": Fraction(2, 3), "¼": Fraction(1, 4),
    "¾": Fraction(3, 4), "⅕": Fraction(1, 5), "⅛": Fraction(1, 8),
}  # fmt: skip
_TOKEN = re.compile(
    r"(?P<calc><<|>>)"
    r"|(?P<frac>\\[dt]?frac\{\s?(\d{1,15})\s?\}\{\s?(\d{1,15})\s?\})"
    r"|(?P<mixed>(?<![\d.,])\d{1,9}\s\d{1,6}/\d{1,6}(?![\d/.]))"
    r"|(?P<number>(?:[$€£₹]\s?)?(?:(?:\d{1,3}(?:(?:,|\{,\}|,\\!)\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)"
    r"[½⅓⅔¼¾⅕⅛]?(?:\.{3}|…)?|[½⅓⅔¼¾⅕⅛])(?P<percent>\s?\\?%)?"
    r"|(?P<times>\*\*|[*×·∙⋅]|\\times|\\cdot|(?<![A-Za-z\\])[xX](?=\s*[$€£(\d.]))"
    r"|(?P<over>[/÷∕]|\\div)"
    r"|(?P<plus>\+)|(?P<minus>[-−–](?!-|>))|(?P<power>\^)|(?P<square>[²³])"
    r"|(?P<equals>(?<![<>!=:])=(?![=>])|≈|\\approx|\\\\?=)"
    r"|(?P<open>\\left\(|[(\[])|(?P<close>\\right\)|[)\]])"
    r"|(?P<text>\\text\{[^{}\n]{0,40}\})"
    r"|(?P<word>[A-Za-z][A-Za-z'’]*(?:-[A-Za-z]+)*)"
    r"|(?P<blank>[ \t\u00a0\u200b&]+|\\[,;! $]|\\(?=\$))"
    r"|(?P<other>.|\n)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a rationale with its offsets; `value` for numbers, `text` for the rest."""

    sort: Sort
    text: str
    start: int
    end: int
    value: Fraction | None = None
    percent: bool = False
    decimals: int = 0


def tokens_of(text: str) -> list[Token]:
    """Cut a text into tokens; what is neither arithmetic nor a word becomes a break."""
    return [token for found in _TOKEN.finditer(text) if (token := _token(found)) is not None]


def value_of(tokens: Sequence[Token], *, percent_is_part: bool) -> Fraction | None:
    """Evaluate a run of tokens; None when it is no expression or beyond the bounds.

    Units (words) are stepped over. `percent_is_part` reads 20% as 0.2, otherwise as 20.

    >>> value_of(tokens_of("2 boxes * (3 + 4)"), percent_is_part=True)
    Fraction(14, 1)
    """
    kept = [token for token in tokens if token.sort != "word"]
    reader = _Reader(kept, percent_is_part)
    value = reader.total(0)
    return value if value is not None and reader.at == len(kept) else None


def _token(found: re.Match[str]) -> Token | None:
    sort = found.lastgroup
    start, end = found.span()
    if sort == "blank":
        return None
    if sort == "percent" or found["number"] is not None:
        return _number(found)
    if found["frac"] is not None:
        top, bottom = int(found[3]), int(found[4])
        if not bottom:
            return Token("break", "", start, end)
        return Token("number", found.group(), start, end, Fraction(top, bottom), False, 9)
    if found["mixed"] is not None:
        whole, part = found["mixed"].split()
        over, _, under = part.partition("/")
        if not int(under) or int(over) >= int(under):
            return Token("break", "", start, end)
        value = int(whole) + Fraction(int(over), int(under))
        return Token("number", found.group(), start, end, value, False, 9)
    signs = {"times": "*", "over": "/", "plus": "+", "minus": "-", "power": "^", "square": "²"}
    if sort in signs:
        sign = "^" if found.group() == "**" else signs[sort]
        return Token("sign", found.group() if sign == "²" else sign, start, end)
    if sort in ("equals", "open", "close"):
        return Token(sort, found.group(), start, end)  # type: ignore[arg-type]
    if sort in ("word", "text"):
        return Token("word", found.group(), start, end)
    return Token("break", found.group(), start, end)


def _number(found: re.Match[str]) -> Token:
    start, end = found.span()
    raw = found["number"]
    digits = re.sub(r"[^\d.½⅓⅔¼¾⅕⅛]", "", raw.removesuffix("..."))
    vulgar = _VULGAR.get(digits[-1:], Fraction(0))
    plain = digits.rstrip("½⅓⅔¼¾⅕⅛")
    if len(plain) > _MOST_DIGITS:
        return Token("break", raw, start, end)
    value = (Fraction(plain) if plain else Fraction(0)) + vulgar
    decimals = len(plain.partition(".")[2])
    return Token("number", found.group(), start, end, value, found["percent"] is not None, decimals)


class _Reader:
    """A recursive-descent reader over tokens, with exact fractions and bounds."""

    def __init__(self, tokens: Sequence[Token], percent_is_part: bool) -> None:
        self.tokens = tokens
        self.at = 0
        self.percent_is_part = percent_is_part

    def total(self, depth: int) -> Fraction | None:
        value = self._product(depth)
        while value is not None and self._sign() in ("+", "-"):
            plus = self._take() == "+"
            right = self._product(depth)
            if right is None:
                return None
            value = value + right if plus else value - right
        return value

    def _product(self, depth: int) -> Fraction | None:
        value = self._factor(depth)
        while value is not None:
            sign = self._sign()
            if sign in ("*", "/"):
                self._take()
            elif not self._opens():
                break
            right = self._factor(depth)
            if right is None or (sign == "/" and not right):
                return None
            value = value / right if sign == "/" else value * right
            if value.numerator.bit_length() + value.denominator.bit_length() > 2_000:
                return None
        return value

    def _factor(self, depth: int) -> Fraction | None:
        if depth > _MOST_DEPTH:
            return None
        if self._sign() in ("+", "-"):
            minus = self._take() == "-"
            value = self._factor(depth + 1)
            return -value if value is not None and minus else value
        value = self._operand(depth)
        if value is None:
            return None
        sign = self._sign()
        if sign in ("²", "³"):
            self._take()
            return value ** (2 if sign == "²" else 3)
        if sign == "^":
            self._take()
            power = self._factor(depth + 1)
            if power is None or power.denominator != 1 or not 0 <= power <= _MOST_EXPONENT:
                return None
            return value ** int(power)
        return value

    def _operand(self, depth: int) -> Fraction | None:
        if self.at >= len(self.tokens):
            return None
        token = self.tokens[self.at]
        if token.sort == "number" and token.value is not None:
            self.at += 1
            return token.value / 100 if token.percent and self.percent_is_part else token.value
        if not self._opens():
            return None
        self.at += 1
        value = self.total(depth + 1)
        if value is None or self.at >= len(self.tokens) or self.tokens[self.at].sort != "close":
            return None
        self.at += 1
        return value

    def _opens(self) -> bool:
        return self.at < len(self.tokens) and self.tokens[self.at].sort == "open"

    def _sign(self) -> str:
        here = self.at < len(self.tokens) and self.tokens[self.at]
        return here.text if here and here.sort == "sign" else ""

    def _take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1].text
