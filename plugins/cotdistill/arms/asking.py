"""How an arm's rows ask: the study's words around each question, and no development question."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cotdistill.arms.rows import BARE, COLUMNS, Tally
from cotdistill.benchmarks.instruction import Frame
from cotdistill.benchmarks.question import question_key
from cotdistill.corpus.records.trace import Trace, training_row


def asked_row(trace: Trace, frame: Frame) -> dict[str, Any]:
    """Return a trace as a training row with the instruction around its question.

    The bare question stays in a column of its own, which LLaMA-Factory does not read, so that rows
    can still be joined with questions.

    >>> trace = Trace("1", "toy", "train", "8 / 2?", "4", "It is 4")
    >>> asked_row(trace, Frame("", " Think."))["instruction"], asked_row(trace, Frame()).keys()
    ('8 / 2? Think.', dict_keys(['system', 'instruction', 'output']))
    """
    row = training_row(trace)
    if not frame:
        return row
    return {**row, COLUMNS["prompt"]: frame.around(trace.question), BARE: trace.question}


def without_dev(traces: Iterator[Trace], dev: frozenset[str], tally: Tally) -> Iterator[Trace]:
    """Yield the traces whose question is not one for development; the others are counted."""
    for trace in traces:
        if question_key(trace.question, "words") in dev:
            tally.dropped["development_question"] += 1
        else:
            yield trace
