"""Read an expression out of a statement or a last sentence: what is mathematics, what is prose."""

from __future__ import annotations

import re

from cotdistill.grading.equivalence.meanings import meaning_of, stated_meaning
from cotdistill.grading.extract.number import NUMBER, before_condition, best_number, quantity_at
from cotdistill.grading.extract.spans import (
    has_prose,
    mathematics_at,
    sentences_backwards,
    trimmed,
)

Span = tuple[int, int]

_JOINT = re.compile(r"\s*(?:,?\s*\b(?:and|or)\b|,|;|=|\\cup|\\quad)\s*", re.IGNORECASE)
_ASIDE = re.compile(
    r",?\s+(?:because|since|where|when|which|as|so|for all|for any|for every|if|who|whose|after"
    r"|before|per|by"
    r"|whenever|assuming|given)\b"
    r"|\.\s",
    re.IGNORECASE,
)
_WORD = re.compile(r"(?<!\\)[A-Za-z]{2,}")
_WHOLE = 300  # characters: a longer text is not an answer and nothing else
_EQUATION_AFTER = re.compile(r"[^.!?\n]*[=≈]\s*")
_IS = re.compile(r"\b(?:is|are|equals?|be|becomes|为|是)\s|:\s|比例为|为(?=[\d(])")
_WHOLE_VALUES = re.compile(
    r"(?<![\d:])\d{1,4}(?:\s?:\s?\d{1,4})+(?:\s?[ap]\.?\s?m\b\.?)?|\d*\s?√\s?\(?\d+\)?",
    re.IGNORECASE,
)
_TIME = re.compile(r"[ap]\.?\s?m", re.IGNORECASE)
_SYMBOLS_AFTER = re.compile(r"(?:\s?(?:\*\s?)?(?:π|\\pi(?![a-z])|√\s?\(?\d+\)?|pi\b))+")
_PLACED = re.compile(r"\s*(?:at|in|given by|equal to)\s(?:the (?:point|interval)\s)?(?=[^a-z])")
_POWER = re.compile(r"\s*\^\s?\{?\s?[23]\s?\}?\s*")
_FOR = re.compile(r"\b(?:for|where|provided|assuming)\s(?:that\s|all\s|every\s|any\s)*$")
_RELATION = re.compile(r"\\(?:ne|neq|in)(?![a-z])|[≠∈]")
_BALANCED_START = re.compile(r"[\s*_`\"“]*")


def expression_stated(text: str, start: int, end: int) -> Span | None:
    r"""Read the mathematics that a statement gives; several pieces joined by "and" are one list.

    >>> text = "$1$ and $2$ as said"
    >>> begin, stop = expression_stated(text, 0, len(text))
    >>> text[begin:stop]
    '$1$ and $2$'
    """
    blank = _BALANCED_START.match(text, start, end)
    start = blank.end() if blank else start
    if quantity := quantity_at(text, start, end):
        return quantity
    first = mathematics_at(text, start, end)
    if first is not None:
        return _joined(text, start, first, end)
    if not has_prose(text, start, end):
        return _some(trimmed(text, start, end))
    pieces = mathematics_pieces(text, start, end)
    number = NUMBER.match(text, start, end)
    if number is not None and not (pieces and pieces[0][0] < number.end()):
        aside = _ASIDE.search(text, start, end)
        if aside is not None and not has_prose(text, start, aside.start()):
            return _some(trimmed(text, start, aside.start()))
        return _some(trimmed(text, start, _before_prose(text, number.end(), end)))
    if pieces:
        return _run_of(text, pieces, end)
    aside = _ASIDE.search(text, start, end)
    return _some(trimmed(text, start, aside.start() if aside else end))


def expression_in_prose(text: str, start: int, end: int) -> Span | None:
    """Take a text that is nothing but an answer, or the last mathematics of the last sentence."""
    begin, stop = trimmed(text, start, end)
    if begin >= stop:
        return None
    if meaning_of(text[begin:stop]):
        return begin, stop
    if stop - begin <= _WHOLE and not has_prose(text, begin, stop):
        whole = mathematics_at(text, begin, stop)
        if whole is not None and whole[2] == stop:
            return trimmed(text, whole[0], whole[1])
        pieces = mathematics_pieces(text, begin, stop)
        if pieces and _WORD.search(text, begin, pieces[0][0]):  # "Thus, $x$"
            return _run_of(text, pieces, stop)
        return begin, stop
    for first, last in sentences_backwards(text, start, end, most=1):
        if meaning := stated_meaning(text, *trimmed(text, first, last)):
            return meaning
        last = before_condition(text, first, last)
        pieces = _without_domain(text, mathematics_pieces(text, first, last))
        if pieces:
            return _run_of(text, pieces, last)
        return _predicate(text, first, last) or best_value(text, first, last)
    return None


Piece = tuple[int, int, int, int]


def _without_domain(text: str, pieces: list[Piece]) -> list[Piece]:
    r"""Leave out the powers of units, and the domain at the end: `$f$ for $x \ne 1$`, `cm$^3$`."""
    while len(pieces) > 1:
        opening, inner, close, _ = pieces[-1]
        said_for = _FOR.search(text, max(pieces[-2][3], opening - 24), opening)
        is_domain = said_for and _RELATION.search(text, inner, close)
        if not is_domain and not _POWER.fullmatch(text, inner, close):
            break
        pieces = pieces[:-1]
    return pieces


def best_value(text: str, start: int, end: int) -> Span | None:
    """Return the number of a sentence with what belongs to it: 12π, 2√3, 9:05 a.m."""
    best = best_number(text, start, end)
    if best is None:
        return None
    for whole in _WHOLE_VALUES.finditer(text, start, end):
        ends = not text[whole.end() : end].strip(" .$)*\\") or ":" not in whole[0]
        if whole.start() <= best[0] < whole.end() and (ends or _TIME.search(whole[0])):
            return trimmed(text, *whole.span())
    if (more := _SYMBOLS_AFTER.match(text, best[1], end)) is not None:
        return best[0], more.end()
    return best


def _predicate(text: str, start: int, end: int) -> Span | None:
    """What follows the last "is" or colon of a sentence, when that is not prose."""
    verbs = list(_IS.finditer(text, start, end))
    if not verbs:
        return None
    lead = _PLACED.match(text, verbs[-1].end(), end)
    begin, stop = trimmed(text, lead.end() if lead else verbs[-1].end(), end)
    return (begin, stop) if begin < stop and not has_prose(text, begin, stop) else None


def mathematics_pieces(text: str, start: int, end: int) -> list[tuple[int, int, int, int]]:
    """Return (opening, inner start, inner end, after) of each piece of mathematics, in order."""
    found: list[tuple[int, int, int, int]] = []
    at = start
    for _ in range(64):
        openings = [
            here for here in (text.find(sign, at, end) for sign in ("$", "\\(", "\\[")) if here >= 0
        ]
        if not openings:
            break
        opening = min(openings)
        inside = mathematics_at(text, opening, end)
        if inside is None:
            at = opening + 1
            continue
        found.append((opening, *inside))
        at = inside[2]
    return found


def _joined(text: str, start: int, first: tuple[int, int, int], end: int) -> Span:
    inner, close, after = first
    joined = False
    while joint := _JOINT.match(text, after, end):
        more = mathematics_at(text, joint.end(), end)
        if more is None:
            break
        after, joined = more[2], True
    return (start, after) if joined else trimmed(text, inner, close)


def _run_of(text: str, pieces: list[tuple[int, int, int, int]], end: int) -> Span:
    """The last piece, with those before it that only "and" or a comma parts from it."""
    del end
    opening, inner, close, after = pieces[-1]
    first = opening
    for earlier in reversed(pieces[:-1]):
        if not _JOINT.fullmatch(text, earlier[3], first):
            break
        first = earlier[0]
    return (first, after) if first < opening else trimmed(text, inner, close)


def _before_prose(text: str, start: int, end: int) -> int:
    prose = re.compile(r",?\s+(?!(?:and|or)\s[-\d$\\])[A-Za-z]{3,}\s").search(text, start, end)
    if prose is None:
        return end
    unit = re.compile(r"\s[A-Za-z]{2,}").match(text, start, end)
    return unit.end() if unit else prose.start()


def _some(span: Span) -> Span | None:
    return span if span[0] < span[1] else None
