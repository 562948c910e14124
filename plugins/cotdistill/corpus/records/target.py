"""How the text that a student is trained to write begins and ends: `target:` of a study's arm.

The grader is imported where a text is read: every study has the shape, few change an ending.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cotdistill.corpus.records.shape import RefusedRowError
from cotdistill.corpus.records.trace import Trace, states_an_answer
from cotdistill.schema import Shape


class Target(Shape):
    """Which answer follows a rationale in the text that is trained on, and what stands between.

    `answer`: "stated" is the one that the source says the rationale concludes, "gold" the reference
    answer. Without a `separator` the answer follows as "The answer is ..." where the rationale
    states none; a separator stands between every rationale and its answer (Mentor-KD's is " --> ").
    `strip` leaves out spaces and line breaks before the text, which some teachers begin with.

    >>> Target(answer="gold", separator=" --> ").separator
    ' --> '
    """

    answer: Literal["stated", "gold"] = "stated"
    separator: str | None = None
    strip: bool = False


def with_target(trace: Trace, form: Target) -> Trace:
    r"""Return a trace whose rationale is the whole text to be trained on.

    Where a rationale states its answer itself, "gold" rewrites it in the words of the reference
    answer if both mean the same: 31.0 becomes 31. A rationale that concludes something else stays
    as it is; such rows are the filter's to drop.

    Raises:
        RefusedRowError: there is no reference answer, or no answer to put behind a separator.

    >>> pens = Trace("1", "toy", "train", "8 / 2?", "4", "It is half of 8.", "number", answer="4.0")
    >>> with_target(pens, Target()).rationale
    'It is half of 8.\nThe answer is 4.0'
    >>> with_target(pens, Target(answer="gold", separator=" --> ")).rationale
    'It is half of 8. --> 4'
    """
    rationale = trace.rationale.strip() if form.strip else trace.rationale.rstrip()
    if form.answer == "gold":
        if not trace.gold:
            raise RefusedRowError("missing_gold", "no reference answer to train on")
        answer: str | None = trace.gold
        rationale = _with_gold(trace, rationale)
    else:
        answer = trace.answer
    separator = form.separator
    if separator is None:
        if not answer or states_an_answer(rationale):
            return replace(trace, rationale=rationale, answer=None)
        separator = "\nThe answer is " if rationale else "The answer is "
    elif not answer:
        from cotdistill.grading.extract.extract import extract

        answer = extract(rationale, kind=trace.kind, options=trace.options).answer
        if not answer:
            raise RefusedRowError("no_answer", f"no answer to put behind {separator!r}")
    return replace(trace, rationale=f"{rationale}{separator}{answer}", answer=None)


def concludes_otherwise(trace: Trace) -> bool:
    """Whether a trace's own conclusion, where it has one, is not the reference answer.

    >>> concludes_otherwise(Trace("1", "toy", "train", "?", "4", "The answer is 5", "number"))
    True
    """
    conclusion = trace.rationale if states_an_answer(trace.rationale) else trace.answer
    if not conclusion or not trace.gold:
        return False
    from cotdistill.grading.grade import grade

    return not grade(conclusion, trace.gold, kind=trace.kind, options=trace.options).correct


def _with_gold(trace: Trace, rationale: str) -> str:
    if not states_an_answer(rationale):
        return rationale
    from cotdistill.corpus.text.answer_span import answer_span

    span = answer_span(rationale, trace.kind, trace.options)
    if span is None or rationale[slice(*span)] == trace.gold or concludes_otherwise(trace):
        return rationale
    return rationale[: span[0]] + trace.gold + rationale[span[1] :]
