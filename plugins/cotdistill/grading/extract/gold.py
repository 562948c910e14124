"""What a gold answer is: the answer inside it, and which kind it is of. Read once and kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from cotdistill.grading.equivalence.normalize import without_option_dress
from cotdistill.grading.extract.delimiters import delimited
from cotdistill.grading.extract.number import NUMBER
from cotdistill.grading.extract.phrases import phrased
from cotdistill.grading.extract.spans import trimmed
from cotdistill.grading.extract.text import DATE
from cotdistill.grading.kinds import Kind

_LETTER = re.compile(
    r"\$?\\?(?:text|mathrm|textbf)?\{?\s?(?:[Oo]ption |[Cc]hoice )?(?:\(\s?([A-Ja-j])\s?\)"
    r"|([A-J]))\s?\}?\$?[.):]?"
)
_LETTER_AND_TEXT = re.compile(r"(?:\(([A-J])\)|([A-J])[):.])\s+\S.{0,200}")
_PAIR = re.compile(r"[-−]?\d+,\d{1,2}|[-−]?\d{4,},\d+")  # 1,2: two numbers, not one
_VARIABLE = re.compile(r"\{[^{}]*(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])[^{}]*\}")  # as in \frac{1}{x}
_BOOLEAN = re.compile(r"(?:true|false|yes|no)\.?", re.IGNORECASE)
_MATHEMATICS = re.compile(
    r"[\\$^=<>{}\[\]≤≥∞√π]|\d|^[-+]?inf(?:inity)?$|^[A-Za-z]$|[a-z]\([a-z]\)|(?<![A-Za-z])[A-Za-z]\)?(?:['’′]{1,3}|!)(?![A-Za-z])|\w\s?[-+*/]\s?\w"
)


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer as it is compared: its text, and its kind."""

    answer: str
    kind: Kind


@lru_cache(maxsize=16_384)
def read_gold(gold: str, kind: Kind, has_options: bool) -> Gold:
    r"""Read the answer out of a gold field, which may be a whole worked solution.

    >>> read_gold("48 / 2 = 24\n#### 24", "auto", False)
    Gold(answer='24', kind='number')
    >>> read_gold("(D) Alina", "auto", False)
    Gold(answer='D', kind='letter')
    """
    answer = without_option_dress(stated_answer(gold.strip()) or gold.strip())
    if kind == "auto":
        kind = "letter" if has_options else kind_of(answer)
    if kind == "letter":
        found = _LETTER.fullmatch(answer) or _LETTER_AND_TEXT.fullmatch(answer)
        if found:
            answer = (found[1] or found[2]).upper()
    return Gold(answer, kind)


def kind_of(answer: str) -> Kind:
    r"""Infer the kind of an answer from how it is written.

    >>> [kind_of(a) for a in ("1,234", r"\frac{1}{2}", "(b)", "No", "02/03/2021", "Paris", "x+1")]
    ['number', 'number', 'letter', 'boolean', 'date', 'text', 'expression']
    """
    answer = answer.strip()
    if _LETTER.fullmatch(answer) or _LETTER_AND_TEXT.fullmatch(answer):
        return "letter"
    if _BOOLEAN.fullmatch(answer):
        return "boolean"
    if DATE.fullmatch(answer):
        return "date"
    bare = answer.strip("$ ")
    if NUMBER.fullmatch(bare) and not _PAIR.fullmatch(bare) and not _VARIABLE.search(bare):
        return "number"
    if _MATHEMATICS.search(answer[:2_000]):
        return "expression"
    return "text"


def stated_answer(gold: str) -> str | None:
    r"""Return the answer that a worked solution states, or None where the gold is a bare answer.

    >>> stated_answer(r"so \boxed{\frac{1}{2}}."), stated_answer("she has 3\n#### 3")
    ('\\frac{1}{2}', '3')
    >>> stated_answer("42") is None
    True
    """
    for mark in delimited(gold, 0, len(gold)):
        if mark.empty:
            continue
        if mark.parts:
            return ", ".join(gold[begin:stop].strip() for begin, stop in mark.parts)
        begin, stop = trimmed(gold, mark.start, mark.end)
        return gold[begin:stop]
    for mark in phrased(gold, 0, len(gold)):
        if mark.how == "phrase":
            begin, stop = trimmed(gold, mark.start, mark.end)
            return gold[begin:stop] or None
    return None
