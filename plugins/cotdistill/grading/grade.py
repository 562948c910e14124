"""One place that decides whether a text ends in the right answer: `grade` and `grade_many`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.extract.extract import PROSE, extract
from cotdistill.grading.extract.gold import read_gold
from cotdistill.grading.kinds import Kind

Outcome = Literal["correct", "wrong", "no_answer", "cut_off", "undecided", "timeout"]
"""The outcomes of grading; all but "correct" count as wrong in a score."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


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
    verdict: Outcome = "correct" if same.equal else "wrong"
    if same.equal is None:
        verdict = "timeout" if same.tier == "timeout" else "undecided"
    return Grade(same.equal is True, verdict, read.answer, f"{read.rule}/{same.tier}", read.span)
