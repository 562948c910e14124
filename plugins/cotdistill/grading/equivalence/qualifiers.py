r"""What surrounds an answer: a label before it, a domain, reason or remark behind it.

`Total: 460`, `x = 5 (since x > 0)` and `n = 3k, k \in \mathbb{Z}` are 460, x = 5 and n = 3k. A
qualifier counts only against another one: `5 (minimum)` is not `5 (maximum)`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPEN = r"(?:\\(?:text|mathrm|textrm|mbox|quad|qquad)\s?\{?|[\s{(~,;$]|\\[,;: ])*"
_STARTS = (
    r"for\s(?:all|any|every|each|some)|for|where|when|whenever|if|since|because|as|with|provided"
    r"|given|such\sthat|assuming|rejecting|excluding|discarding|ignoring"
)
_LETTER = r"(?:[A-Za-z]|\\[a-z]+)(?:_\{?\w\}?)?"
_QUALIFIER = re.compile(
    rf"(?:(?:[\s,;~({{]|\\text\s?\{{|\\quad|\\qquad|\\[,;: ])+"
    rf"(?:(?:{_STARTS})(?=[\s}}~\\])|\\forall(?![a-z])|(?<=[(,;\s])(?={_LETTER}(?:\s?,\s?{_LETTER})*\s?\\in(?![a-z]))"
    rf"|(?<=[(,;\s])(?={_LETTER}{_OPEN}(?:is\s|are\s)?(?:an?\s|any\s)(?:integer|real|constant|natural))"
    rf"|(?<=[(])(?={_LETTER}\s?(?:\\(?:ge|le|geq|leq|ne|neq|in)(?![a-z])|[<>≥≤≠∈])))"
    r"|\s?(?:\\text\s?\{)?\s?\((?!mod\b)(?=(?:\\text\s?\{)?[a-z]{3,}[\s\w,.'-]*\}?\)))",
)
_UNIT_BEFORE = re.compile(r"\d\s?$")
_SECOND_CASE = re.compile(
    r"\b(?:otherwise|else|respectively)\b|[,;]\s?\\?(?:text\{)?[^,;]*\b(?:if|for|when|where)\b|\\\\"
)
_PARAMETER = re.compile(
    rf"({_LETTER})(?:\s?,\s?{_LETTER})*[\s}}]*(?:\\in\b|∈|is\b|are\b|any\b|an?\b)"
)
_INTEGER_BEFORE = re.compile(rf"(?:integers?|numbers?|constants?)[\s}}]*({_LETTER})")
_OPENS = {"}": "{", ")": "("}
_CLOSERS = re.compile(r"^[\s})~.,;$]+|[\s~.,;$]+$")


@dataclass(frozen=True, slots=True)
class Qualified:
    """An answer without its qualifier, the qualifier, and the letter that it is about."""

    main: str
    qualifier: str
    parameter: str


def split_qualifier(text: str) -> Qualified | None:
    r"""Take a trailing qualifier off a tidied answer; None where there is none.

    >>> split_qualifier(r"n=3k, k\in \mathbb{Z}")
    Qualified(main='n=3k', qualifier='k\\in \\mathbb{Z}', parameter='k')
    >>> split_qualifier(r"5 \text{ (minimum)}")
    Qualified(main='5', qualifier='minimum', parameter='')
    >>> split_qualifier(r"1 \text{ if } n>0, 0 \text{ otherwise}") is None
    True
    """
    if len(text) > 400:
        return None
    for found in _QUALIFIER.finditer(text):
        main = _balanced(text[: found.start()])
        rest = text[found.end() :]
        if not main or not re.search(r"\d|[a-zA-Z]", main):
            continue
        if _SECOND_CASE.search(rest):
            return None
        parameter = _PARAMETER.search(rest) or _INTEGER_BEFORE.search(rest)
        return Qualified(main, _unwrapped(rest), parameter[1] if parameter else "")
    return None


def _unwrapped(rest: str) -> str:
    """Take the closing brackets, and text commands, off a qualifier."""
    rest = _CLOSERS.sub("", rest)
    while rest[-1:] in _OPENS and rest.count(rest[-1]) > rest.count(_OPENS[rest[-1]]):
        rest = _CLOSERS.sub("", rest[:-1])
    if "mathbb" not in rest:
        rest = re.sub(r"\\(?:text|mathrm|textrm|mbox)\s?\{|[{}]", " ", rest)
    return " ".join(rest.split())


def _balanced(main: str) -> str:
    """Close the braces that the cut left open, drop what opened them for nothing."""
    main = re.sub(r"(?:\\(?:text|mathrm|mbox)\s?\{\s*|[\s,;(~]|\\[,;: ])+$", "", main)
    return main + "}" * max(0, main.count("{") - main.count("}"))


_LEAD = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mbox)\s?\{\s*)?(?:(?:so|therefore|thus|hence|then|finally|and|answer|ans|result|"
    r"solution|conclusion|final\s(?:answer|result)|(?:the\s)?(?:final\s|correct\s)?answer\sis)"
    r"(?:\s?[,:.=]\s*\}?|\s*\}|\s(?=\\?text))\s*)+",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(^|[,;]\s*(?:\\quad\s*)?)(?:\\(?:text|textbf|mathrm|mbox)\s?\{\s*)?"
    r"([A-Za-z][A-Za-z'’ -]{1,60}?)\s?(?:(?P<closed>(?<=\w)\}\s?):|:\s*(?P<closes>\}?))\s*"
    r"(?=[-+(.\d]|\\?\$|\\(?:frac|sqrt|d?frac|text|pi)|[a-z]\s?=)"
)


def without_label(text: str) -> str:
    r"""Take a lead-in off an answer, and write its labels as names.

    >>> without_label(r"\text{Therefore, } x = 4"), without_label("Total: 460 dollars")
    ('x = 4', '\\text{Total}=460 dollars')
    """
    lead = _LEAD.match(text)
    if lead and re.search(r"\d|\\[a-z]|=", text[lead.end() :]):
        opened = text[: lead.end()].count("{") - text[: lead.end()].count("}")
        text = (r"\text{" if opened > 0 else "") + text[lead.end() :]
    return _LABEL.sub(_named, text) if ":" in text else text


def _named(found: re.Match[str]) -> str:
    opened = "{" in found[0] and not (found["closed"] or found["closes"])
    return rf"{found[1]}\text{{{found[2]}}}=" + (r"\text{" if opened else "")


_SENTENCE_NUMBER = re.compile(r"(?<![\w.,/^-])\\?\$?\s?(\d[\d,]*(?:\.\d+)?)(?![\w/^]|[.,]\d)")
_NOT_THE_NUMBER = re.compile(
    r"\b(?:not|no|n't|never|than|least|most|except|about|under|over|up to|between|or|and|from|of"
    r"|per|every|each|only if|twice|half|times|squared|cubed)\b|n['’]t\b"
    r"|[=+*/^_<>-]\s?\w|\\(?!text|\$)",
    re.IGNORECASE,
)


def number_of_sentence(text: str) -> str:
    r"""Return the one number of an answer that is a sentence about it: `Jane has 4 apples`.

    >>> number_of_sentence(r"\text{Jane has 4 apples}"), number_of_sentence("not 4 apples")
    ('4', '')
    """
    words = re.findall(r"[A-Za-z]{2,}", text.replace("\\text", ""))
    numbers = [*_SENTENCE_NUMBER.finditer(text)] if len(text) < 200 and len(words) >= 2 else []
    if len(numbers) != 1 or len(re.findall(r"\d+", text)) > 1 + numbers[0][1].count(",") + (
        "." in numbers[0][1]
    ):
        return ""
    return "" if _NOT_THE_NUMBER.search(text) else numbers[0][1]
