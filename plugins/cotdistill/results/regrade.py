"""Samples meet the grader: many at once, on every core, in their order, in bounded memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, tee
from typing import cast, get_args

from cotdistill.benchmarks.question import asked_alone, options_of, question_key
from cotdistill.grading.batch import Judged, grade_many
from cotdistill.grading.grade import Grade
from cotdistill.grading.kinds import Kind
from cotdistill.hosts.lm_eval.golds import gold_of
from cotdistill.hosts.lm_eval.samples import Sample
from cotdistill.results.questions import text_of

FEW = 128
UNGRADED, NO_GOLD = "ungraded", "no gold"  # what files of verdicts say of such a question


@dataclass(frozen=True)
class Task:
    """One question with all that grading it takes; small enough to send to another process."""

    responses: tuple[str, ...]
    gold: str | None
    kind: Kind
    options: dict[str, str] | None
    tolerance: float | None


def task_of(sample: Sample, golds: Mapping[str, str]) -> Task:
    """Return what grading a sample takes.

    `golds` maps questions (`question_key`) to reference answers, for documents that hold none; the
    whole content of a document is looked up first, then its question alone.
    """
    doc = sample.doc
    meta = doc.get("meta")
    kind = doc.get("kind")
    gold = gold_of(sample)
    if gold is None and golds:
        alone = asked_alone(doc) or text_of(sample)
        gold = golds.get(question_key(doc)) or golds.get(question_key(alone))
    options = options_of(doc.get("options"))
    if options and isinstance(doc["options"], list) and (gold or "").upper() not in options:
        options = None  # a list names no letters: it is one of options only if the answer is
    return Task(
        responses=sample.responses,
        gold=gold,
        kind=cast(Kind, kind) if kind in get_args(Kind) and "gold" in doc else "auto",
        options=options,
        tolerance=_tolerance(doc, meta),
    )


def _tolerance(doc: Mapping[str, object], meta: object) -> float | None:
    """Return how far a number may be off, where a row says so: in our records or OlympiadBench's.

    >>> _tolerance({"error": "1e-1"}, None), _tolerance({}, {"tolerance": 0.5}), _tolerance({}, {})
    (0.1, 0.5, None)
    """
    given = meta.get("tolerance") if isinstance(meta, dict) else None
    for value in (given, doc.get("tolerance"), doc.get("error")):
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):  # OlympiadBench has None, or a tolerance for each answer
            continue
        if 0 < number < math.inf:
            return number
    return None


def regrade(
    tasks: Iterable[Task], workers: int | None = None
) -> Iterator[tuple[Grade, ...] | None]:
    """Yield the grades of every task's responses in the order of the tasks; None without a gold.

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
            yield None
        else:
            yield tuple(next(grades) for _ in task.responses)


def _judged(tasks: Iterable[Task]) -> Iterator[Judged]:
    for task in tasks:
        if task.gold is not None:
            for response in task.responses:
                yield Judged(response, task.gold, task.kind, task.options, task.tolerance)
