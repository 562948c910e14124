"""Where a text says its answer: the many forms of "the answer is", `A:` and `-->`.

Every search runs from the end of the text and looks at a bounded number of places, each over a
bounded stretch.
"""

from __future__ import annotations

import re

from cotdistill.grading.extract.delimiters import BOX_LENGTH, TRIES, Statement
from cotdistill.grading.extract.spans import mathematics_at, sentence_end

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
    rf"(?:{_LINK}|[:：=]|-{{1,3}}>|→|⇒|\\rightarrow|\\Rightarrow"
    r"|[-–—]{1,2}\s?(?=\(?[A-J]\b)|(?<=[\s*])(?=[$-]?\d|\\[(\[$\d]|\$\$|\$\\|\([A-J]\)))",
    re.IGNORECASE,
)
_CALLED = re.compile(
    r"[\s,]+(?:is|are|was|be|as|becomes)\s+(?:therefore\s|thus\s|then\s)?"
    r"(?:(?:the|our|your|my|an?)\s)?(?:(?:final|correct|right|best|required|desired)\s){0,2}a?$",
    re.IGNORECASE,
)
_SENTENCE_START = re.compile(r".*(?:[.!?](?=\s)|\n)", re.DOTALL)
_FILLER = re.compile(
    r"(?:[\s*_`:：~#\"“]|\b(?:therefore|thus|then|hence|so|that|probably|likely|clearly|simply|just|"
    r"still|also|indeed|definitely|certainly|for\ssure|most|approximately|about|around|roughly|"
    r"exactly|precisely|equal\sto|equals|given\sby|as\sfollows|indicated\sby|now|actually|in\sfact|"
    r"obviously|surely|(?:is|are|be)(?=\s?:|\s?\$|\s?\\)|the\sfollowing|the\snumber"
    r"|(?:the\s)?value(?:\sof)?(?=\s[\d$\\]))\b"
    r",?|-->|→|⇒|≈|\\approx|(?<=[\s:])=)+",
    re.IGNORECASE,
)
_HEAD_LINE = re.compile(r"[ \t]{0,4}[*_#\s]{0,6}(?:\n+|$)[\s*_]{0,6}")
_FOREIGN = re.compile(
    r"(?:所以|因此|故|应|應)?(?:选择|選擇|选|選)[\s:：]{0,3}(?=[(（]?[A-J](?![A-Za-z]))"
    r"|(?:答案|正解|答え|解答|答|정답|답)(?:应该|應該|选项|選項|应|是|为|為|は|은|는|选|選|:|：|\s){1,4}"
    r"|(?:r[ée]ponse|respuesta|resposta|risposta|antwort|ответ|відповідь|odpowied[źz]|odpověď"
    r"|cevap|"
    r"jawaban|svar|antwoord|đáp án|câu trả lời|उत्तर|जवाब|الجواب|الإجابة|คำตอบ|απάντηση|vastaus"
    r"|răspuns)"
    r"[^\n.:：\d]{0,40}?(?:\s(?:est|es|é|è|ist|is|är|er|jest|je|adalah|là|este|on|है|هي|هو|คือ"
    r"|είναι)(?=[\s:：]|$)|[:：]|—|-)",
    re.IGNORECASE,
)
_FOREIGN_STEMS = (
    "正解", "答", "답", "选", "選", "ponse", "puesta", "posta", "ntwort", "твет",
    "відповідь", "dpowied", "dpověď", "evap", "awaban", "svar", "ntwoord", "áp án", "âu trả lời",
    "उत्तर", "जवाब", "الجواب", "الإجابة", "คำตอบ", "πάντηση", "astaus", "ăspuns",
)  # fmt: skip
_LAST_LINE = 200  # characters
_BLANK = re.compile(r"\s{0,4}")
# points to a number, a choice or a value, and not to the right side of p => q
_LATIN_STEMS = tuple(stem for stem in _FOREIGN_STEMS if stem.isascii())
_ANY_ARROW = re.compile(r"=>|[→⇒⟹]")
_ARROW = re.compile(r"(?:=>|→|⇒|⟹)(?=\s?(?:[-(\d]|[A-J](?:[.\s)]|$)|\(?[A-J]\)|[a-z]\s?=))")
_A_LINE = re.compile(
    r"(?:^|\n)[ \t]{0,4}\**(?:A|Ans|ANS|ans)\.?\**[ \t]?[:：=]\**[ \t]{0,4}(?=\S)(?![A-J]\s?[:：=])"
)


def phrased(text: str, start: int, end: int) -> list[Statement]:
    """Return what "the answer is", `A:`, `-->` and their like introduce, from the end backwards."""
    found = _answer_words(text, start, end)
    found += _lines(text, start, end)
    found += _arrows(text, start, end)
    found += _foreign(text, start, end)
    if len(found) > 1:
        found.sort(key=lambda statement: statement.start, reverse=True)
    return found


def _answer_words(text: str, start: int, end: int) -> list[Statement]:
    found: list[Statement] = []
    at = end
    for _ in range(TRIES):
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
                found += _called(text, start, at)
                continue
            begin = head.end()
        filler = _FILLER.match(text, begin, end)
        begin = filler.end() if filler else begin
        stop = _stated_until(text, begin, end)
        asks = text[stop : stop + 1] == "?" and text[stop + 1 : end].strip()
        if begin < stop and not asks:
            found.append(Statement(begin, stop, "phrase"))
    return found


def _called(text: str, start: int, at: int) -> list[Statement]:
    """Read the subject of "... is the answer"; `at` points into the word "answer"."""
    start = max(start, at - 240)
    verb = _CALLED.search(text, max(start, at - 60), at)
    if verb is None:
        return []
    opening = _SENTENCE_START.match(text, start, verb.start())
    begin = opening.end() if opening else start
    return [Statement(begin, verb.start(), "judged")] if begin < verb.start() else []


def _stated_until(text: str, begin: int, end: int) -> int:
    """Where a statement ends: with its sentence, or with the mathematics it opens with."""
    inside = mathematics_at(text, begin, min(end, begin + BOX_LENGTH))
    if inside is None:
        stop = sentence_end(text, begin, end)
        if text[begin:stop].strip().lower() in ("option", "choice", "letter"):
            return sentence_end(text, min(stop + 1, end), end)
        return stop
    return max(inside[2], sentence_end(text, inside[2], end))


def _lines(text: str, start: int, end: int) -> list[Statement]:
    found: list[Statement] = []
    if text.find(":", start, end) < 0 and text.find("：", start, end) < 0:
        return found
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
    """Read what the last `-->` points to, and what an arrow in the last line does."""
    begin = text.rfind("-->", start, end) + 3
    if begin < 3:
        if _ANY_ARROW.search(text, max(start, end - _LAST_LINE), end) is None:
            return []
        tail = text[max(start, end - _LAST_LINE) : end]
        last = end - len(tail) + tail.rstrip().rfind("\n") + 1
        pointed = [*_ARROW.finditer(text, last, end)]
        if not pointed or "$" in text[last:end]:
            return []
        begin = pointed[-1].end()
    blank = _BLANK.match(text, begin, end)
    begin = blank.end() if blank else begin
    stop = _stated_until(text, begin, end)
    return [Statement(begin, stop, "arrow")] if begin < stop else []


def _foreign(text: str, start: int, end: int) -> list[Statement]:
    start = max(start, end - 2_000)
    tail = text[start:end]
    stems = _LATIN_STEMS if tail.isascii() else _FOREIGN_STEMS
    for stem in stems:
        if stem in tail:
            break
    else:
        return []
    found: list[Statement] = []
    for mark in _FOREIGN.finditer(text, start, end):
        filler = _FILLER.match(text, mark.end(), end)
        begin = filler.end() if filler else mark.end()
        stop = _stated_until(text, begin, end)
        if begin < stop:
            found.append(Statement(begin, stop, "phrase"))
    return found
