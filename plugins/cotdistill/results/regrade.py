"""Samples meet the grader: many at once, on every core, in their order, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, tee
from typing import cast, get_args

from cotdistill.grading.batch import Judged, grade_many
from cotdistill.grading.grade import Grade
from cotdistill.grading.kinds import Kind
from cotdistill.hosts.lm_eval.golds import gold_of
from cotdistill.hosts.lm_eval.samples import Sample

FEW = 128
NO_GOLD = "no gold"


@dataclass(frozen=True)
class Verdict:
    """What the grader says of one response.

    `outcome` is one of the grader's, or `ungraded` where the question has no gold answer.
    """

    correct: bool
    outcome: str
    answer: str | None
    rule: str


@dataclass(frozen=True)
class Task:
    """One question with all that grading it takes; small enough to send to another process."""

    responses: tuple[str, ...]
    gold: str | None
    kind: Kind
    options: dict[str, str] | None
    tolerance: float | None


def task_of(sample: Sample, golds: Mapping[str, str]) -> Task:
    """Return what grading a sample takes; `golds` fills in where the document has no answer."""
    doc = sample.doc
    meta = doc.get("meta")
    held = doc.get("options")
    options: dict[str, str] = {}
    if isinstance(held, dict) and all(isinstance(k, str) and len(k) == 1 for k in held):
        # Arrow gives every row the letters of all rows, those that a question lacks as None
        options = {letter: text for letter, text in held.items() if isinstance(text, str)}
    kind = doc.get("kind")
    return Task(
        responses=sample.responses,
        gold=gold_of(sample) or golds.get(same_question(sample.question)),
        kind=cast(Kind, kind) if kind in get_args(Kind) and "gold" in doc else "auto",
        options=options or None,
        tolerance=meta.get("tolerance") if isinstance(meta, dict) else None,
    )


def same_question(text: str) -> str:
    r"""Return a question so that copies of it compare equal: white space does not count.

    >>> same_question("How  many?\n")
    'How many?'
    """
    return " ".join(text.split())


def regrade(tasks: Iterable[Task], workers: int | None = None) -> Iterator[tuple[Verdict, ...]]:
    """Yield the verdicts on every task's responses, in the order of the tasks.

    Other processes are started only where there are more than a few tasks. Memory does not grow
    with the number of tasks.
    """
    stream = iter(tasks)
    few = list(islice(stream, FEW + 1))
    count = (workers or os.cpu_count() or 1) if len(few) > FEW else 1
    ahead, behind = tee(chain(few, stream))
    grades = grade_many(_judged(ahead), workers=count)
    for task in behind:
        if task.gold is None:
            yield tuple(Verdict(False, "ungraded", None, NO_GOLD) for _ in task.responses)
        else:
            yield tuple(_verdict(next(grades)) for _ in task.responses)


def _judged(tasks: Iterable[Task]) -> Iterator[Judged]:
    for task in tasks:
        if task.gold is not None:
            for response in task.responses:
                yield Judged(response, task.gold, task.kind, task.options, task.tolerance)


def _verdict(found: Grade) -> Verdict:
    return Verdict(found.correct, found.outcome, found.answer, found.rule)
