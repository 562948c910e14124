"""One place that decides whether a text ends in the right answer: `grade` and `grade_many`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.extract.extract import PROSE, Extraction, extract
from cotdistill.grading.extract.gold import read_gold
from cotdistill.grading.kinds import Kind

Outcome = Literal["correct", "wrong", "no_answer", "cut_off", "undecided", "timeout"]
"""The outcomes of grading; all but "correct" count as wrong in a score."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_GOLD_WITH_UNIT = re.compile(r"\d.*[A-Za-z]{2}", re.DOTALL)
# The words behind a number in prose, up to the next clause: " degrees Celsius", " km to the left".
_CLAUSE = (
    "and|or|but|in|on|at|for|from|with|of|because|since|so|as|which|that|when|while|if|than|who|is"
    "|are|was|were|has|have|had|he|she|it|they|we|you"
)
_UNIT_BEHIND = re.compile(
    rf"(?:\s?(?!(?:{_CLAUSE})\b)[A-Za-z]+(?:[ /](?!(?:{_CLAUSE})\b)[A-Za-z]+){{0,4}})?(?![\w\\^])"
)
_NUMBER_AND_UNIT = re.compile(r"(.*\d(?:\s?\\?%)?)((?:[ /][A-Za-z]+)*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Grade:
    """A verdict: what was read, by which rule, where, and which tier of comparison decided.

    `correct` is True only for the outcome "correct": an answer that could not be compared within
    the bounds is "undecided", one that needed more of sympy's CPU time than a pair may take is
    "timeout", and a text that breaks off without an answer is "cut_off".
    """

    correct: bool
    outcome: Outcome
    answer: str | None
    rule: str
    span: tuple[int, int] | None

    @property
    def stated_correct(self) -> bool:
        """Whether a right answer was stated, as `strict` asks, and not only found in prose."""
        return self.correct and not self.rule.startswith(PROSE)


def grade(
    text: str,
    gold: str,
    *,
    kind: Kind = "auto",
    options: Mapping[str, str] | None = None,
    strict: bool = False,
    tolerance: float | None = None,
) -> Grade:
    r"""Decide whether a text ends in the gold answer.

    `kind` "auto" infers the kind from the gold, and "letter" when there are options. `strict` takes
    stated answers only. `tolerance` is relative; without one the rounding policy of
    `equivalent` holds.

    >>> grade(r"So it is \boxed{1,200}.", "1200").outcome
    'correct'
    >>> grade("The answer is (B).", "B", options={"A": "4", "B": "5"}).rule
    'phrase/choice'
    >>> grade("We add 3 and then", "7").outcome
    'cut_off'
    """
    right = read_gold(str(gold), kind, bool(options))
    read = extract(text, kind=right.kind, options=options, strict=strict)
    if read.answer is None:
        outcome: Outcome = "cut_off" if read.outcome == "cut_off" else "no_answer"
        return Grade(False, outcome, None, read.rule, read.span)
    if not right.answer:
        return Grade(False, "undecided", read.answer, f"{read.rule}/no gold", read.span)
    same = equivalent(
        read.answer, right.answer, kind=right.kind, options=options, tolerance=tolerance
    )
    if same.equal and (unit := _unit_behind(text, read, right.answer)):
        whole = equivalent(unit, right.answer, kind=right.kind, tolerance=tolerance)
        same = whole if whole.equal is False else same
    verdict: Outcome = "correct" if same.equal else "wrong"
    if same.equal is None:
        verdict = "timeout" if same.tier == "timeout" else "undecided"
    return Grade(same.equal is True, verdict, read.answer, f"{read.rule}/{same.tier}", read.span)


def _unit_behind(text: str, read: Extraction, gold: str) -> str | None:
    """Return a number read in prose with the words behind it, where the gold has such words too.

    Readers of prose take the number alone; against a gold with a unit the words count: 5 degrees
    Celsius is not 5 degrees Fahrenheit.
    """
    if read.span is None or read.rule in ("box", "tag", "hash"):
        return None
    if not _GOLD_WITH_UNIT.search(gold):
        return None
    mine = _NUMBER_AND_UNIT.fullmatch(read.answer or "")
    behind = _UNIT_BEHIND.match(text, read.span[1])
    if mine is None or behind is None or not behind[0]:
        return None
    return rf"{mine[1]}\text{{{mine[2]}{behind[0]}}}"
