"""Read a choice letter: in brackets, after "option", before "is correct", by its option's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.extract.number import best_number, number_stated
from cotdistill.grading.extract.spans import sentences_backwards, trimmed

Reading = tuple[str, int, int]

_LETTERS = "A-J"
_OPENING = r"[\s*_`\"'“‘$\\~–—-]{0,8}"
_AT_START = re.compile(
    rf"{_OPENING}(?:(?:the|la|le|die|der|el|o|a)\s(?=op|r[ée]p|ant|alt|let|cho))?(?:(?:answer"
    rf"|correct|option|choice|letter|alternative|opción|opção|option|réponse|option is"
    rf"|choice is|either)\s+"
    rf"(?:choice\s|option\s)?)?{_OPENING}(?:\\?boxed\{{)?(?:\\?(?:text|textbf|mathrm|mathbf"
    rf"|bf)\s?\{{)?\\?"
    rf"(?P<open>[(\[{{<（]?)(?:\\(?:text|textbf|mathrm|mathbf|bf)\s?\{{)?\\?\s?\*{{0,2}}(?P<letter>[{_LETTERS}]"
    rf"|[a-j])(?![A-Za-z0-9_]|['’]\w)\*{{0,2}}\s?(?:\}}(?=[)\]]))?\\?(?P<close>[)\]}}>）]?)",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"(?<![\w\\])[(\[（]\s?(?P<letter>[{_LETTERS}a-j])\s?[)\]）]")
_NAMED = re.compile(
    r"\b(?i:option(?=\s)|choice|letter|answer|alternative|pick|choose|select|go(?:ing)? with"
    r"|matches|matching|is|be|it['’]s"
    r"|to|i\.e\.,?|say|namely)(?:\s+|\s?:\s?)[*\"'(\[$]{0,3}"
    r"(?P<letter>[B-HJ]|[AI](?!\s[a-z]))(?=[\s.,;:)\]*\"'$]|$)"
)
_CLOSING = re.compile(
    rf"\b(?i:hence|thus|so|therefore|imo|oa|ans|answer|correct|correct answer|correct option"
    rf"|option|choice)"
    rf"[\s,.:;=\-–—]{{0,3}}[(\[*'\"‘“]{{0,2}}(?P<letter>[{_LETTERS}])[)\]*'\"’”]{{0,2}}(?=[\s.!]*$"
    rf"|\s?[=:]"
    rf"|[.,;)]\s)"
)
_JUDGED = re.compile(
    rf"(?<![\w\\])[*\"'(\[$]{{0,3}}(?P<letter>[{_LETTERS}])[*\"')\]$]{{0,3}}\s+(?:is|was|would be"
    rf"|must be|seems)\s+"
    r"(?:therefore\s|thus\s|the\s|our\s|clearly\s|most\s|likely\s|probably\s|indeed\s|also\s){0,3}"
    r"(?:correct|right|true|best|answer|ans\b|most|only|choice|valid)\b"
)
_NOT_AFTER = re.compile(
    r"[*\"')\]$.:]{0,3}\s+(?:(?!because|since|as|and|so)\w+\s){0,3}?(?:is|are|was|can|could|seems?"
    r"|must|does|would)"
    r"(?:\s?n['’]t|\s?not|\snever)?\s?(?:\w+\s){0,2}?(?:wrong|incorrect|false|not|impossible"
    r"|ruled out|eliminated|invalid|too)\b"
    r"|[*\"')\]$.:]{0,3}\s+(?:is|does|can|would)(?:n['’]t|\snot|not)\b"
    r"|[^.\n]{0,60}?[-–—:(]\s?(?:incorrect|wrong|false|not|no)\b",
    re.IGNORECASE,
)
_NOT_BEFORE = re.compile(
    r"(?:(?:\b|can)not(?: be)?|n['’]t(?: be)?|\bneither|\bnor|\bexcept|\bthan|\brule out"
    r"|\beliminate|\bexclude|\bwhy|\bunlike)\s+"
    r"(?:\w+\s){0,1}[*\"'(\[$]{0,3}$",
    re.IGNORECASE,
)
# A letter behind all else: on a line of its own, or behind a full stop, a comma, an equals sign.
_LAST = re.compile(
    r"(?:\n\s?|(?<=[\w)])\s?\.\s?|(?:\d\s?[a-z]{0,6}|[)%])\s?=\s?|(?<=\d),\s?)"
    r"(?P<letter>[A-E])$"
)
# What closes a text with its choice: "Hence, C", "= 25 = C", "answer choiceE.", "so B it is".
_AT_CLOSE = re.compile(
    r"(?:\b(?i:hence|thus|so|therefore|imo|i think|makes|leaves)[\s,.:;\-–—]{1,3}(?P<word>[B-E])"
    r"|(?i:\bans(?:wer)?|\boption|\bchoice|\boa)(?:\.?\s?(?i:is))?[\s.:=\-–—]{0,3}(?P<glued>[A-E])"
    r"|(?:\d\s?[a-z]{0,6}|[)%])\s?=\s?\(?(?P<equal>[A-E])\)?"
    r"|(?<=\d)\.(?P<dot>[B-E])|(?<=\d)\s?\.{2,3}\s?(?P<dots>[A-E])"
    r"|\b(?P<is>[A-E])(?i:\sit\sis|\s(?:must|should)\sbe\sit))[\s.!)*]{0,4}$"
)
_ENDS_OF_CLOSE = ("A", "B", "C", "D", "E", "it is", "be it")
_CLOSE = 40  # characters
_REASON = re.compile(r"\s(?:because|since|as)\b")
_ANOTHER = re.compile(
    rf"[*\"')\]}}$.]{{0,3}}\s?(?:,\s?(?:and|or)?|/|;|\band\b|\bor\b|&|\\text\{{\s?(?:and"
    rf"|or)\s?\}})\s*"
    rf"(?:option\s|choice\s)?[*\"'$]{{0,2}}(?:[(\[][{_LETTERS}a-j][)\]]|[{_LETTERS}](?=[\s.,;)}}*$]"
    rf"|$)(?!\s(?:is|are|was|has|can)\b)(?!['’]))"
)
_ANOTHER_BEFORE = re.compile(r"(?<![A-Za-z])[A-J]\)?\s?(?:or|and|/|,|&)\s?(?:option\s|choice\s)?$")
_EITHER = re.compile(r"\b(?:either|both|neither|between|any of|all of|one of)\b", re.IGNORECASE)
# What a text says and denies, or says of others: "not the bank", "people think it is seven".
_DENIED = re.compile(
    r"\b(?:not|neither|nor|never|instead of|rather than|other than|except|unlike|without)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_TURNS = re.compile(r"[,;.:—–]|\bbut\b|\bso\b", re.IGNORECASE)
_SAID_BY_OTHERS = re.compile(
    r"\b(?:people|some|many|others|one|you|they|students)\s(?:(?:might|may|could|would|often|also)\s)?"
    r"(?:think|say|believe|guess|assume|argue|claim|suppose)\b",
    re.IGNORECASE,
)
# A label of a dialogue, and how working begins behind it: "A: Let's think step by step."
_LEAD_IN = re.compile(
    r"\s*:\s*(?:let|first|firstly|we|to|i|the|step|okay|ok|sure|this|in|if|since|given|there|it|well"
    r"|here|a|an|so|now|start|by|from|for|looking|consider)\b",
    re.IGNORECASE,
)
_ARTICLES = re.compile(r"\b(?:the|a|an)\s")
_WORDY = re.compile(r"\s+[a-z(]")
_STILL_A_CHOICE = re.compile(
    r"\s+(?:is|was|because|since|as|and|due|given|based|for|which|option|choice|\(|—|-)(?:\b"
    r"|(?=\())",
    re.IGNORECASE,
)


def letter_stated(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Read the one letter that a statement gives; an enumeration gives none.

    >>> letter_stated("24 km, so A is wrong and B is right", 0, 35, None)
    ('B', 25, 26)
    >>> letter_stated("(A), (B), (C), or (D)", 0, 21, None)
    """
    first = _AT_START.match(text, start, end)
    if first is not None and _is_choice(text, first, start, end, options):
        if _another(text, first, end) or _EITHER.search(text, start, first.start("letter")):
            return None
        if not _NOT_AFTER.match(text, first.end("letter"), end):
            return first["letter"].upper(), *first.span("letter")
    if _EITHER.match(text, start, end):
        return None
    named = _only(letters_said(text, start, end, options))
    if named or not options:
        return named
    # By its value first: figures of other options may occur in the working.
    return _by_option_value(
        text, start, end, number_stated(text, start, end), options
    ) or by_option_text(text, start, end, options)


def letters_said(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> list[Reading]:
    """Return the letters a stretch of prose names as choices and does not deny, in order.

    When one is called right ("B is right"), only those called right count.
    """
    judged = [
        _reading(found)
        for found in _JUDGED.finditer(text, start, end)
        if _known(found["letter"], options) and not _NOT_BEFORE.search(text, start, found.start())
    ]
    if judged:
        return judged
    named: dict[int, Reading] = {}
    listed: list[tuple[int, int]] = []  # "C or D" and "(A), (B), ..." choose nothing
    for pattern in (_BRACKETED, _NAMED, _CLOSING):
        for found in pattern.finditer(text, start, end):
            letter = found["letter"]
            if not _known(letter, options) or (pattern is not _BRACKETED and not letter.isupper()):
                continue
            if _NOT_BEFORE.search(text, max(start, found.start() - 40), found.start("letter")):
                continue
            if _NOT_AFTER.match(text, found.end("letter"), end):
                continue
            if another := _ANOTHER.match(text, found.end(), end):
                listed.append((found.start(), another.end()))
            named.setdefault(found.start("letter"), _reading(found))
    return [
        named[at] for at in sorted(named) if not any(begin <= at < stop for begin, stop in listed)
    ]


def letter_at_close(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Read the letter that a text ends in, where what is before it says that it is the choice.

    >>> text = "240 - 96 = 144. Hence, C"
    >>> letter_at_close(text, 0, len(text), None)
    ('C', 23, 24)
    >>> letter_at_close("It is not = C", 0, 13, None) is None
    True
    """
    begin = max(start, end - _CLOSE)
    if not text[begin:end].rstrip(" .!)*\n").endswith(_ENDS_OF_CLOSE):
        return None
    found = _AT_CLOSE.search(text, begin, end)
    if found is None:
        return None
    name = next(group for group in _AT_CLOSE.groupindex if found[group])
    if not _known(found[name], options) or _DENIED.search(text, begin, found.start(name)):
        return None
    if _ANOTHER_BEFORE.search(text, begin, found.start(name)):
        return None
    return found[name], *found.span(name)


def letter_in_prose(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Look through the last sentences, from the end, for one that names a single letter."""
    for begin, stop in sentences_backwards(text, start, end):
        named = letters_said(text, begin, stop, options)
        if named:
            return _only(named)
        if options and not _SAID_BY_OTHERS.search(text, begin, stop):
            found = _by_option_value(
                text, begin, stop, best_number(text, begin, stop), options
            ) or by_option_text(text, begin, stop, options)
            if found:
                return found
    start, end = trimmed(text, start, end)
    last = _LAST.search(text, max(start, end - 6), end)
    if last is not None and _known(last["letter"], options):
        denied = _DENIED.search(text, max(start, end - _CLOSE), last.start())
        return None if denied else _reading(last)
    whole = _AT_START.match(text, start, end)
    if whole is not None and _opens_as_choice(text, whole, start, end, options):
        return whole["letter"].upper(), *whole.span("letter")
    return None


def by_option_text(
    text: str, start: int, end: int, options: Mapping[str, str] | None
) -> Reading | None:
    """Find the one option whose text the stretch says, without its letter.

    >>> by_option_text("It is the blue ball.", 0, 20, {"A": "red ball", "B": "blue ball"})
    ('B', 0, 20)
    """
    if not options:
        return None
    plain = {letter: f" {_plain(option)} " for letter, option in options.items()}
    stretch = _affirmed(text[start:end], any(map(_DENIED.search, options.values())))
    response = f" {_plain(stretch)} "
    hits = [letter for letter, option in plain.items() if option.strip() and option in response]
    # An option that is part of a longer option that was named does not count.
    hits = [
        letter
        for letter in hits
        if not any(
            plain[letter] != plain[other] and plain[letter] in plain[other] for other in hits
        )
    ]
    return (hits[0].upper(), start, end) if len(hits) == 1 else None


def _affirmed(stretch: str, options_deny: bool) -> str:
    """Cut out what a stretch denies, up to the next comma or "but"; unless an option is a denial.

    >>> _affirmed("I would go to the library, not the bank.", False)
    'I would go to the library, .'
    """
    if options_deny:
        return stretch
    kept, at = [], 0
    while denied := _DENIED.search(stretch, at):
        kept.append(stretch[at : denied.start()])
        turn = _TURNS.search(stretch, denied.end())
        at = turn.start() if turn else len(stretch)
    return "".join([*kept, stretch[at:]])


def _by_option_value(
    text: str, start: int, end: int, value: tuple[int, int] | None, options: Mapping[str, str]
) -> Reading | None:
    """Find the one option that is worth the number read: "the answer is 3/4" for "0.75"."""
    if value is None:
        return None
    stated = text[slice(*value)]
    hits = [
        letter
        for letter, option in options.items()
        if equivalent(stated, option, kind="number").equal is True
    ]
    return (hits[0].upper(), start, end) if len(hits) == 1 else None


def _is_choice(
    text: str, found: re.Match[str], start: int, end: int, options: Mapping[str, str] | None
) -> bool:
    letter = found["letter"]
    if not _known(letter, options):
        return False
    if found["close"] and (found["open"] or found["close"] in ")]"):
        return True
    rest = text[found.end("letter") : end].strip(" .*_`\"'$}):")
    if not rest:
        return letter.isupper() or not text[start : found.start()].strip()
    if letter.islower():
        return False
    after = text[found.end("letter") : found.end("letter") + 1]
    if after.isspace():
        if after != "\n" and letter in "AI":
            return (
                _STILL_A_CHOICE.match(text, found.end("letter"), end) is not None and letter != "I"
            )
        return True
    return after in ".,:;)*_`\"'$—-/}!。，：；）" or after > "\u2e80"  # Chinese, Japanese, Korean


def _opens_as_choice(
    text: str, found: re.Match[str], start: int, end: int, options: Mapping[str, str] | None
) -> bool:
    """Whether the whole text opens with its choice: "D", "(D) text", "B. Because ..."."""
    if not _is_choice(text, found, start, end, options):
        return False
    after = text[found.end() : found.end() + 1]
    rest = text[found.end() : end].strip(" .*_`\"'$}):")
    if not rest:
        return True
    if _another(text, found, end) or _NOT_AFTER.match(text, found.end("letter"), end):
        return False
    if found["close"] and len(rest) < 200:
        return True
    after = text[found.end("letter") : found.end("letter") + 1] if after.isalnum() else after
    if _LEAD_IN.match(text, found.end("letter"), end):
        option = _plain((options or {}).get(found["letter"], ""))
        return bool(option) and option in _plain(rest)
    return after in ".:,。，：\n" or _REASON.match(text, found.end("letter"), end) is not None


def _another(text: str, found: re.Match[str], end: int) -> re.Match[str] | None:
    """Return what lists a second letter behind a first one, its closing bracket passed or not."""
    return _ANOTHER.match(text, found.end(), end) or _ANOTHER.match(text, found.end("letter"), end)


def _known(letter: str, options: Mapping[str, str] | None) -> bool:
    return options is None or letter.upper() in options or letter in options


def _reading(found: re.Match[str]) -> Reading:
    return found["letter"].upper(), *found.span("letter")


def _only(readings: list[Reading]) -> Reading | None:
    return readings[-1] if readings and len({letter for letter, _, _ in readings}) == 1 else None


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    flat = re.sub(
        r"\\(?:text|mathrm|textbf)|[^\w%./\-+]|(?<!\d)\.|\.(?!\d)", " ", text[:2_000].lower()
    )
    words = " ".join(flat.split())
    return _ARTICLES.sub("", words) or words
