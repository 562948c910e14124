"""Where a text marks its answer off: boxes, `<answer>` tags and `####`.

Every search runs from the end of the text and looks at a bounded number of places, each over a
bounded stretch, so that a long output costs no more than a short one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cotdistill.grading.extract.spans import SENTENCE, trimmed

How = Literal["box", "tag", "hash", "phrase", "line", "arrow", "judged"]

TRIES = 24  # places looked at, counted from the end
BOX_LENGTH = 4_000
_BOX_OPEN = re.compile(r"(?:boxed|fbox|framebox|boxd)\b\s{0,4}")
_BARE = re.compile(
    r"\$?(-?\d[\d,./]*(?<![.,])|\\[a-zA-Z]+(?:\{[^{}\n]{0,80}\}){0,2}|[A-Za-z](?![A-Za-z]))"
)
_BRACE = re.compile(r"[{}\\]")
_PLACEHOLDER = re.compile(
    r"(?:\\text\{)?\s*(?:your[ _\\-]{0,3}(?:final[ _\\-]{0,3})?answer(?:[ _]here)?|answer"
    r"|final answer"
    r"|the answer|result|\.{2,}|…|\\l?dots|\?+|_+|number|value|letter|\\ldots"
    r"|insert .{0,40})\s*\}?",
    re.IGNORECASE,
)
_BETWEEN_BOXES = re.compile(
    r"(?:[\s$.,;&~]|\\[)\](\[,;! ]|\\q?quad|\\text\{\s?,?\s?(?:and|or)?\s?\}|\b(?:and|or)\b"
    r"|[A-Za-z](?:_\{?\w{1,3}\}?)?\s?=)*\\?"
)
_JOINT = re.compile(r"\b(?:and|or)\b|[,;&]|quad")

_HASH = re.compile(r"####\s{0,4}[:：]?\s{0,4}")
_TAG = re.compile(
    r"<(answer|ans|final_answer|finalanswer)>\s*(.{0,4000}?)\s*(?:</\1>|$)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Statement:
    """A place that states an answer: the offsets of what it states, and how it does so.

    `empty` marks a box or tag with nothing in it: an answer withheld. `parts` are the offsets of
    boxes that one line joins by commas or "and": together they are the answer, a list.
    """

    start: int
    end: int
    how: How
    empty: bool = False
    parts: tuple[tuple[int, int], ...] = ()


def delimited(text: str, start: int, end: int) -> list[Statement]:
    """Return the last complete box, tag and `####` of text[start:end], the last one first."""
    found = [
        statement
        for statement in (
            _last_box(text, start, end),
            _last_tag(text, start, end),
            _last_hash(text, start, end),
        )
        if statement is not None
    ]
    return sorted(found, key=lambda statement: (not statement.empty, statement.start), reverse=True)


def boxes(text: str, start: int, end: int) -> list[tuple[int, int, int]]:
    r"""Return (command start, content start, content end) of the complete boxes, from the end.

    >>> text = r"\boxed{4}, check \boxed{"
    >>> [text[inner:close] for _, inner, close in boxes(text, 0, len(text))]
    ['4']
    """
    found: list[tuple[int, int, int]] = []
    at = end
    for _ in range(TRIES):
        at = max(
            text.rfind("boxed", start, at),
            text.rfind("fbox", start, at),
            text.rfind("framebox", start, at),
        )
        if at < 0:
            break
        opened = _BOX_OPEN.match(text, at, end)
        if opened is None:
            continue
        inner = opened.end()
        if text[inner : inner + 1] == "{":
            close = closing_brace(text, inner, min(end, inner + BOX_LENGTH))
            if close is not None:
                found.append((at, inner + 1, close))
        elif bare := _BARE.match(text, inner, end):
            found.append((at, bare.start(1), bare.end(1)))
    return found


def closing_brace(text: str, opening: int, end: int) -> int | None:
    r"""Return where the brace at `opening` is closed, escaped braces not counted."""
    depth = 0
    at = opening
    while sign := _BRACE.search(text, at, end):
        at = sign.end()
        if sign.group() == "\\":
            at += 1
        elif sign.group() == "{":
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return sign.start()
    return None


def _last_box(text: str, start: int, end: int) -> Statement | None:
    empty: Statement | None = None
    found = boxes(text, start, end)
    for index, (_, inner, close) in enumerate(found):
        while nested := _BOX_OPEN.match(text, inner + (text[inner : inner + 1] == "\\"), close):
            if text[nested.end() : nested.end() + 1] != "{":
                break
            shut = closing_brace(text, nested.end(), close)
            if shut is None:
                break
            inner, close = nested.end() + 1, shut
        body = text[inner:close].strip()
        if not body:
            empty = empty or Statement(inner, close, "box", empty=True)
        elif not _PLACEHOLDER.fullmatch(body):
            parts = _joined(text, found[index:], (inner, close))
            return Statement(parts[0][0], close, "box", parts=parts if len(parts) > 1 else ())
    return empty


def _joined(
    text: str, found: list[tuple[int, int, int]], last: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    """The boxes of the list that the first of `found` ends, in reading order."""
    parts = [last]
    here = found[0][0]
    for command, inner, close in found[1:]:
        if close >= here:  # a box around this one
            continue
        between = text[close + 1 : here] if here - close <= 60 else "\n\n"
        if not (_BETWEEN_BOXES.fullmatch(between) and _JOINT.search(between)):
            break
        parts.append((inner, close))
        here = command
    return tuple(reversed(parts))


def _last_tag(text: str, start: int, end: int) -> Statement | None:
    if "<" not in text:
        return None
    at = end
    for _ in range(TRIES):
        at = max(
            text.rfind("<answer", start, at),
            text.rfind("<ans", start, at),
            text.rfind("<final", start, at),
            text.rfind("<Answer", start, at),
            text.rfind("<ANSWER", start, at),
        )
        if at < 0:
            return None
        tag = _TAG.match(text, at, end)
        if tag is not None:
            is_closed = tag[0].endswith(">") and tag.end() > tag.end(2)
            if tag[2].strip() or is_closed:
                return Statement(tag.start(2), tag.end(2), "tag", empty=not tag[2].strip())
    return None


def _last_hash(text: str, start: int, end: int) -> Statement | None:
    at = end
    for _ in range(TRIES):
        at = text.rfind("####", start, at)
        if at < 0:
            return None
        mark = _HASH.match(text, at, end)
        if mark is None:
            continue
        stop = text.find("\n", mark.end(), end)
        stop = end if stop < 0 else stop
        begin, stop = trimmed(text, mark.end(), min(stop, mark.end() + SENTENCE))
        if begin < stop and not re.match(
            r"(?:step|part|final answer|answer|solution)\b", text[begin:stop], re.IGNORECASE
        ):
            return Statement(begin, stop, "hash")
    return None
