"""Samples meet the grader: many at once, on every core, in their order, in bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

from cotdistill.files.samples import Sample, gold_of

CHUNK = 64
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
    kind: str
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
        kind=kind if isinstance(kind, str) and "gold" in doc else "auto",
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

    Workers are started only when there is more than one chunk to grade; at most a few chunks a
    worker are held at a time, however many tasks come.
    """
    stream = iter(tasks)
    first = list(islice(stream, CHUNK))
    second = list(islice(stream, CHUNK))
    count = workers or os.cpu_count() or 1
    if not second or count == 1:
        for task in chain(first, second, stream):
            yield _verdicts(task)
        return
    with ProcessPoolExecutor(count) as pool:
        waiting: deque[Future[list[tuple[Verdict, ...]]]] = deque()
        chunk = first
        following = second
        while chunk:
            waiting.append(pool.submit(_grade_chunk, chunk))
            chunk, following = following, list(islice(stream, CHUNK))
            if len(waiting) > 3 * count:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _grade_chunk(tasks: list[Task]) -> list[tuple[Verdict, ...]]:
    return [_verdicts(task) for task in tasks]


def _verdicts(task: Task) -> tuple[Verdict, ...]:
    from cotdistill.reason.grade import grade  # type: ignore[import-not-found,unused-ignore]

    if task.gold is None:
        return tuple(Verdict(False, "ungraded", None, NO_GOLD) for _ in task.responses)
    graded = (
        grade(
            response,
            task.gold,
            kind=task.kind,
            options=task.options,
            tolerance=task.tolerance,
        )
        for response in task.responses
    )
    return tuple(Verdict(one.correct, one.outcome, one.answer, one.rule) for one in graded)
