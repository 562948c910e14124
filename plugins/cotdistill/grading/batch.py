"""Grade many answers: in order, streamed, and optionally in several processes."""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

from cotdistill.grading.equivalence.symbolic import prepare
from cotdistill.grading.grade import Grade, grade
from cotdistill.grading.kinds import Kind

_CHUNK = 256
_WAITING = 4  # chunks a worker that are read ahead, so that memory does not grow with the stream


@dataclass(frozen=True, slots=True)
class Judged:
    """One text to grade and what it is graded by; see `grade` for the fields.

    A `tolerance` of its own goes before the one of the whole call.
    """

    text: str
    gold: str
    kind: Kind = "auto"
    options: Mapping[str, str] | None = None
    tolerance: float | None = None


def grade_many(
    items: Iterable[Judged | tuple[str, str]],
    *,
    strict: bool = False,
    tolerance: float | None = None,
    workers: int = 1,
) -> Iterator[Grade]:
    """Yield the grades of (text, gold) pairs or `Judged` items, in their order.

    Items with the outcome "timeout" are graded once more at the end of their chunk. With one worker
    everything happens here; with more, in processes that are started afresh (a script that calls
    this needs the usual `if __name__ == "__main__"`). The verdicts are the same.

    >>> [found.outcome for found in grade_many([("It is 4.", "4"), ("The answer is 5", "4")])]
    ['correct', 'wrong']
    """
    chunks = _chunks(items)
    if workers <= 1:
        for chunk in chunks:
            yield from _graded(chunk, strict, tolerance)
        return
    waiting: deque[Future[list[Grade]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(_graded, chunk, strict, tolerance))
                if len(waiting) >= workers * _WAITING:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for left in waiting:
                left.cancel()


def _chunks(items: Iterable[Judged | tuple[str, str]]) -> Iterator[list[Judged]]:
    stream = iter(items)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        yield [item if isinstance(item, Judged) else Judged(*item) for item in chunk]


def _graded(chunk: list[Judged], strict: bool, tolerance: float | None) -> list[Grade]:
    for item in chunk:
        prepare(item.gold)  # sympy loads while the first pairs are graded
    grades = [_graded_item(item, strict, tolerance) for item in chunk]
    return [
        _graded_item(item, strict, tolerance) if first.outcome == "timeout" else first
        for item, first in zip(chunk, grades, strict=True)
    ]


def _graded_item(item: Judged, strict: bool, tolerance: float | None) -> Grade:
    return grade(
        item.text,
        item.gold,
        kind=item.kind,
        options=item.options,
        strict=strict,
        tolerance=tolerance if item.tolerance is None else item.tolerance,
    )
