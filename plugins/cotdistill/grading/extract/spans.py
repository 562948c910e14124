"""The small readings that every kind of answer shares: where a sentence ends, what is mathematics.

All functions take the whole text with offsets and return offsets, and look at a bounded stretch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LAST = 3_000  # characters: how far back a last sentence is looked for
SENTENCE = 600  # characters: no answer is stated in a longer sentence

_END = re.compile(r"[.?](?=[\s\"'”’*)\]<_$]|$)|!+(?=[\s\"'”’*]|$)|[。！？]|\n")
_ABBREVIATION = re.compile(
    r"(?:\b(?:i\.e|e\.g|approx|rs|vs|etc|mr|mrs|ms|dr|st|no|a\.m|p\.m|a|p|cf|resp|eq|fig|ex)"
    r"|\b[ap]\.m)$",
    re.IGNORECASE,
)
_PLEASANTRY = re.compile(
    r"[\s*]*(?:i hope|hope this|let me know|please let|feel free|is there anything|thank|good luck"
    r"|great job|congratulations|note that|if you have|(?:that|this) took)\b",
    re.IGNORECASE,
)
_DISPLAY = (("\\[", "\\]"), ("$$", "$$"), ("\\(", "\\)"))
_OPENED = re.compile(r"\\\[|\$\$|\\\(|\$")
_WORDS = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{2,}[ ,][ ]?[A-Za-z]{2,}")
# A factorial keeps its sign, behind a number, a bracket or a lone letter; an exclamation does not.
_FACTORIAL = re.compile(r"(?:[\d)\]}]|(?<![A-Za-z])[A-Za-z])\s?!{1,2}$")
_ENDLESS = re.compile(r"\.\d+\.{3}$")
_BOX = re.compile(r"\\*(?:f?boxed|fbox|framebox)\s{0,3}\{")


def sentence_end(text: str, start: int, end: int) -> int:
    r"""Return where the sentence that starts at `start` ends, its full stop left out.

    A full stop inside a number, an abbreviation or mathematics does not end it.

    >>> text = "3.5 km, i.e. far. Next"
    >>> text[: sentence_end(text, 0, len(text))]
    '3.5 km, i.e. far'
    """
    limit = min(end, start + SENTENCE)
    at = start
    while at < limit:
        stop = _END.search(text, at, limit)
        if stop is None:
            return limit
        here = stop.start()
        if text[here] == "." and _ABBREVIATION.search(text, max(start, here - 8), here):
            at = here + 1
            continue
        inside = _inside_mathematics(text, start, here)
        if inside is not None:
            closed = text.find(inside, here, limit)
            if closed >= 0:
                at = closed + len(inside)
                continue
        return here
    return limit


def _inside_mathematics(text: str, start: int, here: int) -> str | None:
    """Return the closing mark that is still awaited at `here`, if mathematics is open there."""
    if text.find("\\", start, here) >= 0:
        for opening, closing in (("\\[", "\\]"), ("\\(", "\\)"), ("\\begin{", "\\end{")):
            if text.rfind(opening, start, here) > text.rfind(closing, start, here):
                return closing
    if text.count("$$", start, here) % 2:
        return "$$"
    return None


def sentences_backwards(
    text: str, start: int, end: int, most: int = 6
) -> Iterator[tuple[int, int]]:
    """Yield the last sentences of the last 3,000 characters, the last first, without good wishes.

    >>> text = "It is 4. I hope this helps!"
    >>> [text[first:last] for first, last in sentences_backwards(text, 0, len(text))]
    ['It is 4']
    """
    at = max(start, end - _LAST)
    found: list[tuple[int, int]] = []
    while at < end:
        stop = sentence_end(text, at, end)
        if text[at:stop].strip() and not _PLEASANTRY.match(text, at, stop):
            found.append((at, stop))
        at = stop + 1
    yield from reversed(found[-most:])


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Narrow a span to what is left without blanks, markdown and a closing full stop.

    >>> text = "  **12 km**. "
    >>> begin, stop = trimmed(text, 0, len(text))
    >>> text[begin:stop]
    '12 km'
    """
    while start < end and (
        text[start] in ' \t\r\n*_`"“”：:~\u200b' or text[start : start + 2] == "''"
    ):
        start += 1
    while start < end and text[end - 1] in ' \t\r\n*_`"“”.。,;；:!！~\u200b':
        if text[end - 1] == "." and _ENDLESS.search(text, max(start, end - 8), end):
            break
        if text[end - 1] == "!" and _FACTORIAL.search(text, max(start, end - 6), end):
            break
        if text[end - 1] in ",;:! " and end - 2 >= start and text[end - 2] == "\\":
            end -= 1  # a LaTeX space, whole
        end -= 1
    return start, end


def mathematics_at(text: str, start: int, end: int) -> tuple[int, int, int] | None:
    r"""Read mathematics that opens exactly at `start`: (inner start, inner end, after the close).

    A dollar sign before a digit is money unless a second one closes it as TeX would.

    >>> mathematics_at("$x+1$ so", 0, 8), mathematics_at("$12 and $30", 0, 11)
    ((1, 4, 5), None)
    """
    opened = _OPENED.match(text, start, end)
    if opened is None:
        return None
    sign = opened.group()
    inner = opened.end()
    closing = {"\\[": "\\]", "\\(": "\\)", "$$": "$$", "$": "$"}[sign]
    close = text.find(closing, inner, end)
    while close > 0 and sign == "$" and text[close - 1] == "\\":
        close = text.find(closing, close + 1, end)
    if close < 0 or not text[inner:close].strip():
        return None
    if sign == "$" and _is_money(text, inner, close, end):
        return None
    return inner, close, close + len(closing)


def _is_money(text: str, inner: int, close: int, end: int) -> bool:
    after = text[close + 1 : min(close + 2, end)]
    if not text[inner].isdigit() and text[inner] not in ".":
        return bool(_WORDS.search(text, inner, close)) and "\\" not in text[inner:close]
    if after.isdigit() or text[close - 1] in " (=+-*/x×":
        return "\\" not in text[inner:close]
    return bool(_WORDS.search(text, inner, close)) and "\\text" not in text[inner:close]


def has_prose(text: str, start: int, end: int) -> bool:
    """Whether two words of a sentence are adjacent, outside LaTeX commands and braces.

    >>> has_prose("18 dollars over 2 days", 0, 22), has_prose("x+1", 0, 3)
    (True, False)
    """
    return _WORDS.search(text, start, end) is not None
