"""Where a text states its answer: boxes, tags, `####` and the many forms of "the answer is".

Every search runs from the end of the text and looks at a bounded number of places, each over a
bounded stretch, so that a long output costs no more than a short one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cotdistill.reason.answer_pieces import SENTENCE, mathematics_at, sentence_end, trimmed

How = Literal["box", "tag", "hash", "phrase", "line", "arrow", "judged"]

_TRIES = 24  # places looked at, counted from the end
_BOX_LENGTH = 4_000
_BOX_OPEN = re.compile(r"(?:boxed|fbox|framebox|boxd)\b\s{0,4}")
_BARE = re.compile(
    r"\$?(-?\d[\d,./]*(?<![.,])|\\[a-zA-Z]+(?:\{[^{}\n]{0,80}\}){0,2}|[A-Za-z](?![A-Za-z]))"
)
_BRACE = re.compile(r"[{}\\]")
_PLACEHOLDER = re.compile(
    r"(?:\\text\{)?\s*(?:your[ _\\-]{0,3}(?:final[ _\\-]{0,3})?answer(?:[ _]here)?|answer|final answer"
    r"|the answer|result|\.{2,}|…|\\l?dots|\?+|_+|number|value|letter|\\ldots|insert .{0,40})\s*\}?",
    re.IGNORECASE,
)
_BETWEEN_BOXES = re.compile(
    r"[\s$.]*(?:\\\)|\\\]|\$)?[\s,;]*(?:\\q?quad)?[\s~]*(?:\\text\{\s*(?:,?\s*(?:and|or))?\s*\}|and|or|,|;|&"
    r"|\\q?quad|\\,)?[\s,;]*(?:\\q?quad)?[\s~]*(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*)?(?:\\\(|\\\[|\$)?"
    r"\s*(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*)?\\?"
)

_JOINT = re.compile(r"\b(?:and|or)\b|[,;&]|quad")

_LINK = (
    r"(?:is|are|was|were|equals?|becomes|(?:will|would|should|must|can|could|might|may|has\sto)\s"
    r"(?:only\s|then\s|just\s)?be|comes\s(?:out\s)?to(?:\sbe)?|turns\sout\sto\sbe|remains|to\sbe|be"
    r"|es|est|ist|är|é|è|jest|adalah|là|является|este|on)\b"
)
_AFTER_WORD = re.compile(
    r"s?(?:\s(?:choice|option|letter|value|number|key)\b)?"
    r"(?:\s{0,2}\([^()\n]{0,60}\))?"
    r"(?:\s(?:to|for|of|in|from|that|we|you|which|as|here|therefore|thus|then|now|i)\b"
    r"(?:(?!\bis\b|\bare\b|\bwould\b|\bwas\b)[^.:=\n]){0,90}?)?"
    r"[\s*_`\"'”]{0,6}"
    rf"(?:{_LINK}|[:：=]|-{{1,3}}>|→|⇒|\\rightarrow|\\Rightarrow)",
    re.IGNORECASE,
)
_FILLER = re.compile(
    r"(?:[\s*_`:：~#\"“]|\b(?:therefore|thus|then|hence|so|that|probably|likely|clearly|simply|just|"
    r"still|also|indeed|definitely|certainly|for\ssure|most|approximately|about|around|roughly|"
    r"exactly|precisely|equal\sto|equals|given\sby|as\sfollows|indicated\sby|now|actually|in\sfact|"
    r"obviously|surely|(?:is|are|be)(?=\s?:|\s?\$|\s?\\)|the\sfollowing|the\snumber|(?:the\s)?value(?:\sof)?(?=\s[\d$\\]))\b"
    r",?|-->|→|⇒|≈|\\approx|(?<=[\s:])=)+",
    re.IGNORECASE,
)
_HEAD_LINE = re.compile(r"[ \t]{0,4}[*_#\s]{0,6}(?:\n+|$)[\s*_]{0,6}")
_FOREIGN = re.compile(
    r"(?:答案|正解|答え|解答|答|정답|답)(?:应该|應該|选项|選項|应|是|为|為|は|은|는|选|選|:|：|\s){1,4}"
    r"|(?:r[ée]ponse|respuesta|resposta|risposta|antwort|ответ|відповідь|odpowied[źz]|odpověď|cevap|"
    r"jawaban|svar|antwoord|đáp án|câu trả lời|उत्तर|जवाब|الجواب|الإجابة|คำตอบ|απάντηση|vastaus|răspuns)"
    r"[^\n.:：\d]{0,40}?(?:\s(?:est|es|é|è|ist|is|är|er|jest|je|adalah|là|este|on|है|هي|هو|คือ|είναι)\b|[:：]|—|-)",
    re.IGNORECASE,
)
_FOREIGN_HINT = re.compile(
    r"答|정답|답|[rR][ée]ponse|[rR]espuesta|[rR]esposta|[rR]isposta|[aA]ntwort|[оО]твет|відповідь|odpowied|odpověď"
    r"|[cC]evap|[jJ]awaban|[sS]var|[aA]ntwoord|áp án|trả lời|उत्तर|जवाब|الجواب|الإجابة|คำตอบ|απάντηση|[vV]astaus|răspuns"
)
_A_LINE = re.compile(r"(?:^|\n)[ \t]{0,4}\**(?:A|Ans|ANS|ans)\.?\**[ \t]?[:：=]\**[ \t]{0,4}(?=\S)")
_HASH = re.compile(r"####\s{0,4}[:：]?\s{0,4}")
_TAG = re.compile(
    r"<(answer|ans|final_answer|finalanswer)>\s*(.{0,4000}?)\s*(?:</\1>|$)",
    re.IGNORECASE | re.DOTALL,
)
_ARROW = re.compile(r"--+>\s{0,4}")


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


def phrased(text: str, start: int, end: int) -> Iterator[Statement]:
    """Yield what "the answer is", `A:`, `-->` and their like introduce, from the end backwards."""
    found: list[Statement] = []
    found += _answer_words(text, start, end)
    found += _lines(text, start, end)
    found += _arrows(text, start, end)
    found += _foreign(text, start, end)
    yield from sorted(found, key=lambda statement: statement.start, reverse=True)


def boxes(text: str, start: int, end: int) -> list[tuple[int, int, int]]:
    r"""Return (command start, content start, content end) of the complete boxes, from the end.

    >>> text = r"\boxed{4}, check \boxed{"
    >>> [text[inner:close] for _, inner, close in boxes(text, 0, len(text))]
    ['4']
    """
    found: list[tuple[int, int, int]] = []
    at = end
    for _ in range(_TRIES):
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
            close = closing_brace(text, inner, min(end, inner + _BOX_LENGTH))
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
    at = end
    for _ in range(_TRIES):
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
            return Statement(tag.start(2), tag.end(2), "tag", empty=not tag[2].strip())
    return None


def _last_hash(text: str, start: int, end: int) -> Statement | None:
    at = end
    for _ in range(_TRIES):
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


def _answer_words(text: str, start: int, end: int) -> list[Statement]:
    found: list[Statement] = []
    at = end
    for _ in range(_TRIES):
        at = max(text.rfind("nswer", start, at), text.rfind("NSWER", start, at))
        if at < 0:
            break
        after = at + 5
        link = _AFTER_WORD.match(text, after, min(end, after + 260))
        if link is not None:
            begin = link.end()
        else:
            head = _HEAD_LINE.match(text, after, end)  # "**Final Answer**" on a line of its own
            if head is None or head.end() >= end:
                continue
            begin = head.end()
        filler = _FILLER.match(text, begin, end)
        begin = filler.end() if filler else begin
        stop = _stated_until(text, begin, end)
        if begin < stop:
            found.append(Statement(begin, stop, "phrase"))
    return found


def _stated_until(text: str, begin: int, end: int) -> int:
    """Where a statement ends: with its sentence, or with the mathematics it opens with."""
    inside = mathematics_at(text, begin, min(end, begin + _BOX_LENGTH))
    if inside is None:
        return sentence_end(text, begin, end)
    return max(inside[2], sentence_end(text, inside[2], end))


def _lines(text: str, start: int, end: int) -> list[Statement]:
    found: list[Statement] = []
    at = end
    for _ in range(4):
        at = max(
            text.rfind("A:", start, at), text.rfind("ns:", start, at), text.rfind("A：", start, at)
        )
        if at < 0:
            break
        line = max(start, text.rfind("\n", start, at))
        if at - line > 8:
            continue
        mark = _A_LINE.match(text, line, end)
        if mark is not None:
            found.append(Statement(mark.end(), _stated_until(text, mark.end(), end), "line"))
    return found


def _arrows(text: str, start: int, end: int) -> list[Statement]:
    at = text.rfind("-->", start, end)
    if at < 0:
        return []
    mark = re.compile(r">\s{0,4}").match(text, at + 2, end)
    begin = mark.end() if mark else at + 3
    stop = _stated_until(text, begin, end)
    return [Statement(begin, stop, "arrow")] if begin < stop else []


def _foreign(text: str, start: int, end: int) -> list[Statement]:
    start = max(start, end - 2_000)
    found: list[Statement] = []
    for hint in _FOREIGN_HINT.finditer(text, start, end):
        mark = _FOREIGN.match(text, hint.start(), end)
        if mark is None:
            continue
        filler = _FILLER.match(text, mark.end(), end)
        begin = filler.end() if filler else mark.end()
        stop = _stated_until(text, begin, end)
        if begin < stop:
            found.append(Statement(begin, stop, "phrase"))
    return found
