"""How an arm's rows ask: the study's words around each question, and no development question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cotdistill.arms.rows import BARE, COLUMNS, Tally
from cotdistill.benchmarks.choices import words_key
from cotdistill.benchmarks.instruction import Frame
from cotdistill.corpus.records.trace import Trace, asked, form_of, training_row

FROM = "arm"
"""Where a trace of an arm that is made of others says which one it comes from."""
SOURCE = "source"
"""The column that says so in the arm's training file; LLaMA-Factory does not read it."""


def from_arm(trace: Trace, name: str) -> Trace:
    """Return a trace that knows which arm it comes from."""
    return replace(trace, meta={**trace.meta, FROM: name})


def asked_row(trace: Trace, frame: Frame) -> dict[str, Any]:
    """Return a trace as a training row with the instruction around its question and choices.

    The bare question with its choices stays in a column of its own, which LLaMA-Factory does not
    read, so that rows can still be joined with questions.

    >>> trace = Trace("1", "toy", "train", "8 / 2?", "4", "It is 4")
    >>> asked_row(trace, Frame("", " Think."))["instruction"], asked_row(trace, Frame()).keys()
    ('8 / 2? Think.', dict_keys(['system', 'instruction', 'output']))
    """
    row = training_row(trace)
    if FROM in trace.meta:
        row[SOURCE] = trace.meta[FROM]
    prompt = frame.asked(trace.question, trace.options, form_of(trace))
    if not frame.words and prompt == row[COLUMNS["prompt"]]:
        return row
    return {**row, COLUMNS["prompt"]: prompt, BARE: asked(trace)}


def without_dev(traces: Iterator[Trace], dev: frozenset[str], tally: Tally) -> Iterator[Trace]:
    """Yield the traces whose question is not one for development; the others are counted."""
    for trace in traces:
        if words_key(trace.question, trace.options) in dev:
            tally.dropped["development_question"] += 1
        else:
            yield trace
