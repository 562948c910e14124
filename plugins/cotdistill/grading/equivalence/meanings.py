r"""Answers that have words and signs for the same thing: no solution, all real numbers, infinity.

`\text{no solution}` is `\emptyset` and "There are no solutions."; "all real numbers" is
`(-\infty, \infty)`. Two answers with different meanings of this kind are never the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from cotdistill.grading.equivalence.normalize import as_words, tidy

Meaning = Literal["empty", "none", "none real", "all", "missing", "infinite"]

_THERE = r"(?:(?:there (?:is|are|exists?)|it has|has|have) )?"
_WORDS: tuple[tuple[Meaning, re.Pattern[str]], ...] = (
    ("none real", re.compile(rf"{_THERE}no real (?:solutions?|roots?)(?: exists?)?")),
    (
        "none",
        re.compile(rf"{_THERE}no (?:valid |possible )?(?:solutions?|roots?|answers?)(?: exists?)?"),
    ),
    ("empty", re.compile(r"(?:empty|null) set")),
    ("all", re.compile(r"(?:set of )?(?:all|any|every) (?:real numbers?|reals?)|reals|real line")),
    ("missing", re.compile(r"(?:limit )?(?:does not|doesn t|do not) exist|dne")),
    (
        "infinite",
        re.compile(
            rf"{_THERE}infinitely many(?: solutions?)?|infinite|(?:positive |plus )?infinity"
            r"|infinite number of solutions"
        ),
    ),
)
_SIGNS: dict[str, Meaning] = {
    r"\emptyset": "empty", r"\varnothing": "empty", r"\{\}": "empty", "{}": "empty", "Ø": "empty",
    r"\mathbb{R}": "all", r"\R": "all", r"(-\infty,\infty)": "all", r"(-\infty,+\infty)": "all",
    r"x\in\mathbb{R}": "all", r"\infty": "infinite", r"+\infty": "infinite",
}  # fmt: skip
_HINT = re.compile(
    r"\bno\s|reals?\b|exist|dne|infin|infty|empty|null|nothing|\{\s*\\?\}|mathbb|\\R|[Øø∅∞ℝ]",
    re.IGNORECASE,
)
_LONGEST = 60  # characters
_STATED = re.compile(
    r"\b(?:there (?:is|are)|has|have|is|are|can be) (?:the |an? )?(?P<what>no (?:real |valid )?"
    r"(?:solutions?|roots?)|(?:all|any) real numbers?|infinitely many(?: solutions?)?"
    r"|(?:the )?empty set)$",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def meaning_of(answer: str) -> Meaning | None:
    r"""Return which of these things an answer is, None where it is none of them.

    >>> meaning_of(r"\text{There are no solutions.}"), meaning_of(r"\varnothing")
    ('none', 'empty')
    >>> meaning_of("All real numbers"), meaning_of("no more than 5") is None
    ('all', True)
    """
    if len(answer) > _LONGEST or not _HINT.search(answer):
        return None
    text = tidy(answer)
    if (sign := _SIGNS.get(re.sub(r"\s+", "", text))) is not None:
        return sign
    words = as_words(text)
    return next((meaning for meaning, wording in _WORDS if wording.fullmatch(words)), None)


def same_meaning(one: str, other: str) -> bool | None:
    r"""Whether two answers are one of these things; None where either is none of them.

    No real solution is an empty set, as no solution is; the two are not the same.

    >>> same_meaning("no solution", r"\emptyset"), same_meaning("no solution", r"\mathbb{R}")
    (True, False)
    >>> same_meaning("no real solution", r"\emptyset"), same_meaning("no real solution", "5")
    (True, None)
    """
    theirs = meaning_of(other)
    mine = meaning_of(one) if theirs else None
    if mine is None or theirs is None:
        return None
    if "empty" in (mine, theirs):
        return {mine, theirs} <= {"empty", "none", "none real"}
    return mine == theirs


def stated_meaning(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Return where a sentence ends in saying one of these things.

    >>> text = "So the equation has no real solutions"
    >>> text[slice(*stated_meaning(text, 0, len(text)))]
    'no real solutions'
    """
    found = _STATED.search(text, max(start, end - 2 * _LONGEST), end)
    return found.span("what") if found else None
