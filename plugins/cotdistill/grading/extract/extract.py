"""Read the answer out of a model's output: `extract`.

Order, first that reads something wins: a phrase ("the answer is", "Answer:") behind the last box
or tag when it is followed at once by an answer; the last complete box, `<answer>` or `####`; the
other phrases from the end backwards; and, unless strict, the last sentences of a text that ended
naturally. Thinking never holds the answer, closed or not. See answer_region, answer_marks and the
readers of each kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cotdistill.grading.extract.delimiters import Statement, delimited
from cotdistill.grading.extract.expression import best_value, expression_in_prose, expression_stated
from cotdistill.grading.extract.letter import letter_at_close, letter_in_prose, letter_stated
from cotdistill.grading.extract.number import (
    NUMBER,
    NUMBER_WORD,
    best_number,
    number_stated,
    one_number,
)
from cotdistill.grading.extract.phrases import phrased
from cotdistill.grading.extract.region import answer_region, ending_of
from cotdistill.grading.extract.spans import has_prose, sentences_backwards, trimmed
from cotdistill.grading.extract.text import (
    boolean_in_prose,
    boolean_stated,
    date_stated,
    text_in_prose,
    text_stated,
)
from cotdistill.grading.extract.verdicts import (
    letter_of_clause,
    letter_of_verdicts,
    lists_verdicts,
)
from cotdistill.grading.kinds import Kind

Outcome = Literal["found", "no_answer", "cut_off"]
PROSE = "last sentence"
"""The rule of an answer that no statement introduces; `strict` leaves such answers out."""
Options = Mapping[str, str]

# What a bare answer does not hold: lines, other scripts' prose, an unclosed box, a label.
_UNBARE = re.compile(
    r"\n|boxed|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0400-\u04ff\u0600-\u06ff]"
    r"|[A-Za-z]{2,}[\s\d]{0,4}:\s|[=+*/×÷-]\s*$|[.!?]\s+[A-Z]"
)
_NEAR = 60  # characters: a phrase that close to the end says the answer by itself
_DIGIT_OR_WORD = re.compile(rf"\d|\\(?:frac|sqrt|pi)|{NUMBER_WORD.pattern}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was read, by which rule, and where: `span` are offsets into the text given.

    `answer` is None unless the outcome is "found". "cut_off" means that the text states no answer
    and breaks off: in mid-sentence, in a repetition loop, or before its thinking ended.
    """

    outcome: Outcome
    answer: str | None
    rule: str
    span: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class _Reading:
    answer: str
    span: tuple[int, int]


def extract(
    text: str, *, kind: Kind = "auto", options: Options | None = None, strict: bool = False
) -> Extraction:
    r"""Read the answer that a text ends in.

    `strict` takes stated answers only (boxes, "the answer is", `####` and their like, or a text
    that is an answer and nothing else); otherwise the last sentence of a text that ended naturally
    counts too. `kind` says what to look for; "auto" reads letters when there are options, and
    otherwise whatever the statement says.

    >>> extract("So 3 + 4 is 7.\n#### 7").answer
    '7'
    >>> extract("It is blue, so the answer is (B).", kind="letter").answer
    'B'
    >>> extract("First we add 3 and 4, then we", kind="number").outcome
    'cut_off'
    """
    if kind == "auto" and options:
        kind = "letter"
    region = answer_region(text)
    start, end = region.start, region.end
    marks = delimited(text, start, end)
    boundary = max((mark.end for mark in marks if not mark.empty), default=start)
    phrases = phrased(text, start, end)
    for mark in phrases:
        if mark.start >= boundary > start and (found := _at_once(text, mark, kind, options)):
            return _found(found, mark)
    near = bool(phrases) and phrases[0].how != "arrow" and phrases[0].start > end - _NEAR
    if kind == "letter" and not near and (letter := letter_at_close(text, boundary, end, options)):
        return Extraction("found", letter[0], "close", letter[1:])
    for mark in marks:
        if mark.empty:
            return Extraction("no_answer", None, f"empty {mark.how}", (mark.start, mark.end))
        if found := _stated(text, mark, kind, options):
            return _found(found, mark)
    for mark in phrases:
        if found := _stated(text, mark, kind, options):
            return _found(found, mark)
    if kind == "letter":
        if near and (letter := letter_at_close(text, boundary, end, options)):
            return Extraction("found", letter[0], "close", letter[1:])
        if letter := letter_of_verdicts(text, start, end, options):
            return Extraction("found", letter[0], "verdicts", letter[1:])
        if letter := letter_of_clause(text, start, end, options):
            return Extraction("found", letter[0], "clause", letter[1:])
        if lists_verdicts(text, start, end, options):
            return Extraction("no_answer", None, "several verdicts", None)
    if bare := _bare(text, start, end, kind, options):
        return Extraction("found", bare.answer, "bare", bare.span)
    if region.thinking_open:
        return Extraction("cut_off", None, "thinking never ended", None)
    ending = ending_of(text, start, end)
    if ending != "natural":
        rule = "repetition loop" if ending == "loop" else "ends in mid-sentence"
        return Extraction("cut_off", None, rule, None)
    if not strict and (read := _in_prose(text, start, end, kind, options)):
        return Extraction("found", read.answer, PROSE, read.span)
    return Extraction("no_answer", None, "nothing stated", None)


def _found(reading: _Reading, mark: Statement) -> Extraction:
    return Extraction("found", reading.answer, mark.how, reading.span)


def _at_once(text: str, mark: Statement, kind: Kind, options: Options | None) -> _Reading | None:
    """Read a statement only if its answer opens it and little else follows."""
    reading = _stated(text, mark, kind, options)
    if reading is None or reading.span[0] - mark.start > 12 or mark.end - reading.span[1] > 40:
        return None
    return reading


def _stated(text: str, mark: Statement, kind: Kind, options: Options | None) -> _Reading | None:
    start, end = mark.start, mark.end
    if mark.parts and kind not in ("letter", "boolean", "date"):
        parts = list(dict.fromkeys(text[begin:stop].strip() for begin, stop in mark.parts))
        return _Reading(", ".join(parts), (start, end))
    if mark.parts:
        start, end = mark.parts[-1]
    delimited_whole = mark.how in ("box", "tag", "hash")
    if kind == "letter":
        letter = letter_stated(text, start, end, options)
        if letter and mark.how == "arrow" and letter[2] - letter[1] > 1:
            return None  # the arrow points to a value of the working, which an option has too
        return _Reading(letter[0], letter[1:]) if letter else None
    if kind == "boolean":
        return _reading(text, boolean_stated(text, start, end))
    if kind == "date":
        return _reading(text, date_stated(text, start, end) or text_stated(text, start, end))
    if kind == "text":
        return _reading(text, text_stated(text, start, end))
    if mark.how == "hash" and kind == "number" and not _DIGIT_OR_WORD.search(text, start, end):
        return None  # a heading
    if delimited_whole and not (kind == "number" and has_prose(text, start, end)):
        return _reading(text, trimmed(text, start, end))
    if mark.how == "box" and not one_number(text, start, end):
        return _reading(text, trimmed(text, start, end))  # for the comparison to make sense of
    if kind == "number":
        return _reading(text, number_stated(text, start, end))
    if mark.how == "judged":
        return _reading(text, expression_in_prose(text, start, end))
    return _reading(text, expression_stated(text, start, end))


def _bare(text: str, start: int, end: int, kind: Kind, options: Options | None) -> _Reading | None:
    """Read a text that is an answer and nothing else."""
    if end - start > 300:
        return None
    begin, stop = trimmed(text, start, end)
    if begin >= stop or has_prose(text, begin, stop) or _UNBARE.search(text, begin, stop):
        return None
    if kind in ("letter", "boolean", "date"):
        return _stated(text, Statement(begin, stop, "line"), kind, options)
    if kind == "number" and not _DIGIT_OR_WORD.search(text, begin, stop):
        return None
    if kind == "text":
        return _reading(text, text_stated(text, begin, stop))
    return _reading(text, expression_in_prose(text, begin, stop))


def _in_prose(
    text: str, start: int, end: int, kind: Kind, options: Options | None
) -> _Reading | None:
    if kind == "letter":
        letter = letter_in_prose(text, start, end, options)
        return _Reading(letter[0], letter[1:]) if letter else None
    if kind == "boolean":
        return _reading(text, boolean_in_prose(text, start, end))
    if kind == "text":
        return _reading(text, text_in_prose(text, start, end))
    if kind == "date":
        return next(
            (
                _Reading(text[span[0] : span[1]], span)
                for begin, stop in sentences_backwards(text, start, end, most=2)
                if (span := date_stated(text, begin, stop))
            ),
            None,
        )
    if kind == "expression":
        return _reading(text, expression_in_prose(text, start, end))
    return _reading(text, _number_in_prose(text, start, end))


def _number_in_prose(text: str, start: int, end: int) -> tuple[int, int] | None:
    """The number of the last sentence that has one, of the last two."""
    for begin, stop in sentences_backwards(text, start, end, most=2):
        if NUMBER.search(text, begin, stop):
            return best_value(text, begin, stop)
        if word := best_number(text, begin, stop):
            return word
    return None


def _reading(text: str, span: tuple[int, int] | None) -> _Reading | None:
    return _Reading(text[span[0] : span[1]], span) if span and span[0] < span[1] else None
