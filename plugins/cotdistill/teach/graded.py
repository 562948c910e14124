"""Grades of what a teacher or a student wrote, by the one grader of the package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cotdistill.grading.grade import grade
from cotdistill.hosts.sandbox.program import grade_program, program_of
from cotdistill.hosts.sandbox.sandbox import Sandbox
from cotdistill.teach.questions import Item


@dataclass(frozen=True, slots=True)
class Graded:
    """A grade: `correct` is None where the question has no reference answer to compare with."""

    correct: bool | None
    outcome: str
    answer: str | None


Grader = Callable[[str, Item], Graded]
"""What grades a text against the reference answer of its question."""

NOT_GRADED = Graded(None, "not_graded", None)


def graded_text(text: str, item: Item) -> Graded:
    """Grade a rationale by the answer it ends in.

    >>> graded_text("The answer is 4", Item("1", "toy", "train", "2 + 2?", "4")).correct
    True
    """
    if not item.gold:
        return NOT_GRADED
    found = grade(text, item.gold, kind=item.kind, options=item.options, tolerance=item.tolerance)
    return Graded(found.correct, found.outcome, found.answer)


def program_grader(sandbox: Sandbox) -> Grader:
    """Return what runs the program in a text and grades what it prints.

    A program about which the sandbox found out nothing is neither right nor wrong.
    """

    def graded(text: str, item: Item) -> Graded:
        if not item.gold:
            return NOT_GRADED
        found = grade_program(
            sandbox.run(program_of(text)),
            item.gold,
            kind=item.kind,
            options=item.options,
            tolerance=item.tolerance,
        )
        if found is None:
            return Graded(None, "sandbox_failed", None)
        return Graded(found.correct, found.outcome, found.answer)

    return graded
