"""Read a yes or no, a date, or a text answer out of a statement or the last sentences."""

from __future__ import annotations

import re

from cotdistill.grading.extract.spans import mathematics_at, sentences_backwards, trimmed

Span = tuple[int, int]

_YES_NO = re.compile(r"(?<![\w-])(?:true|false|yes|no|correct|incorrect)(?![\w-])", re.IGNORECASE)
_BOTH = re.compile(r"\b(?:true|yes)\s?(?:or|/)\s?(?:false|no)\b", re.IGNORECASE)
_NO_OF = re.compile(r"no\s+(?=[a-z])", re.IGNORECASE)  # "no reason", "no other" are not an answer
_TURNED = re.compile(r"\b(?:not|n['’]t|never|neither)\s(?:\w+\s)?$", re.IGNORECASE)
_CLAIM = re.compile(
    r"\b(?:statement|claim|assertion|it|this|that|proposition|hypothesis|conjecture|which)\s(?:is"
    r"|are|was|must be)\s"
    r"(?:therefore\s|thus\s|indeed\s|clearly\s|also\s|hence\s|always\s|generally\s|actually\s"
    r"|likely\s|probably\s)?"
    r"(?P<word>true|false|correct|incorrect)\b",
    re.IGNORECASE,
)
_BARE = re.compile(
    r"(?:(?:so|thus|therefore|hence),?\s)?(yes|no|true|false)(?=[\s,;:]|$)", re.IGNORECASE
)
_OPENING = re.compile(r"[\s*(\[\"]*(yes|no|true|false)(?=[\s.,;:!*)\]\"]|$)", re.IGNORECASE)
_AT_LAST = re.compile(r"\b(?:is|are|be)[\s:$\\(*]{1,4}(true|false)[\s$\\)*]{0,3}$", re.IGNORECASE)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
DATE = re.compile(
    rf"(?<![\d/])(?:\d{{1,4}}\s?[/.-]\s?\d{{1,2}}\s?[/.-]\s?\d{{2,4}}(?![\d/])"
    rf"|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?(?:,?\s\d{{4}})?|\d{{1,2}}(?:st|nd|rd"
    rf"|th)?\s(?:of\s)?{_MONTH}(?:,?\s\d{{4}})?)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"“'‘*`]{1,3}(?P<word>[^\"”*`\n]{1,80}?)[\"”'’*`]{1,3}(?=[\s.,;:!?)]|$)")
# "Bob is the youngest": the answer is whom it is said of
_SUBJECT = re.compile(
    r"(?:(?:[Hh]ence|[Ss]o|[Tt]hus|[Tt]herefore|[Tt]hen),?\s)?"
    r"(?!(?:It|He|She|This|That|There|They|We|One|So|Hence|Thus|The|Answer)\b)(?P<who>[A-Z][a-z]+)"
    r"\s(?:is|was|must be)\s(?:therefore\s|thus\s)?the\s"
    r"(?:\w{2,}est|most\s\w+|least\s\w+|winner|one)\b"
)
_FEW = 4  # words
_PUT_QUOTED = re.compile(
    r"(?:\b(?:is|are|gets?|gives|us|be|word|string|letters|result|as)|[:=])\s{0,2}"
    r"[\"“'‘*`]{1,3}(?P<word>[^\"”*`\n]{1,80}?)[\"”'’*`]{1,3}(?=[\s.,;:!?)]|$)"
)
_PUT = re.compile(r":\s|\b(?:is|are|gets?|gives|us|word|have|becomes|forms?|as)\s|[=→]\s?|->\s?")
_PUT_FIRST = re.compile(
    r"\s*(?:that\s)?(?:the\s(?:answer|string|word|name|result)\s(?:is|are)|called|named|spelled"
    r"|:)\s*[:\"“]?",
    re.IGNORECASE,
)


def boolean_stated(text: str, start: int, end: int) -> Span | None:
    """Read the yes, no, true or false of a statement; both at once are no answer.

    >>> boolean_stated("probably No", 0, 11), boolean_stated("True or False", 0, 13)
    ((9, 11), None)
    """
    both = _BOTH.search(text, start, end)
    start = both.end() if both else start
    for found in _YES_NO.finditer(text, start, end):
        if _NO_OF.match(text, found.start(), end) or _TURNED.search(text, start, found.start()):
            continue
        return found.span()
    return None


def boolean_in_prose(text: str, start: int, end: int) -> Span | None:
    """Read a verdict from the last sentences, or from a text that opens with one."""
    for begin, stop in sentences_backwards(text, start, end, most=3):
        claim = _CLAIM.search(text, begin, stop)
        if claim is not None:
            return claim.span("word")
        begin, stop = trimmed(text, begin, stop)
        both = _BOTH.match(text, begin, stop)
        begin = both.end() if both else begin
        begin += len(text[begin:stop]) - len(text[begin:stop].lstrip(" :?"))
        claim = _BARE.match(text, begin, stop) or _AT_LAST.search(text, begin, stop)
        if claim is not None and not _NO_OF.match(text, claim.start(1), stop):
            return claim.span(1)
    opening = _OPENING.match(text, start, end)
    if (
        opening is not None
        and not _BOTH.match(text, opening.start(1), end)
        and not _NO_OF.match(text, opening.start(1), end)
    ):
        return opening.span(1)
    return None


def date_stated(text: str, start: int, end: int) -> Span | None:
    """Read the last date of a statement.

    >>> date_stated("Monday, so 02/03/2021", 0, 21)
    (11, 21)
    """
    found = [date.span() for date in DATE.finditer(text, start, end)]
    return found[-1] if found else None


def text_stated(text: str, start: int, end: int) -> Span | None:
    """Read what a statement says, quotes and markdown taken off.

    >>> text = '"eeei".'
    >>> begin, stop = text_stated(text, 0, len(text))
    >>> text[begin:stop]
    'eeei'
    """
    put = _PUT_FIRST.match(text, start, end)
    start = put.end() if put else start
    inside = mathematics_at(text, start, end)
    if inside is not None:
        start, end = inside[0], inside[1]
    quoted = _QUOTED.match(text, start, end)
    if quoted is not None:
        return quoted.span("word")
    start, end = trimmed(text, start, end)
    return (start, end) if start < end else None


def text_in_prose(text: str, start: int, end: int) -> Span | None:
    """Read what the last sentence puts behind "is" or a colon, a short last line or a quotation."""
    sentences = [*sentences_backwards(text, start, end, most=1)]
    if not sentences:
        return None
    first, last = trimmed(text, *sentences[0])
    if subject := _SUBJECT.match(text, first, last):
        return subject.span("who")
    quoted = [*_PUT_QUOTED.finditer(text, first, last)]
    if quoted:
        return quoted[-1].span("word")
    for verb in reversed([*_PUT.finditer(text, first, last)]):
        begin, stop = trimmed(text, verb.end(), last)
        if begin < stop and len(text[begin:stop].split()) <= _FEW:
            return begin, stop
        break
    if len(text[first:last].split()) <= _FEW and first < last:
        return first, last
    quotes = [*_QUOTED.finditer(text, first, last)]
    return quotes[-1].span("word") if quotes else None
