"""Read a number out of a statement or a last sentence: which of several numbers is the answer."""

from __future__ import annotations

import re

from cotdistill.grading.equivalence.units import parts_of_one
from cotdistill.grading.extract.spans import mathematics_at, trimmed

Span = tuple[int, int]

_DIGITS = (
    r"(?:\d{1,3}(?:(?:,|\{,\}|,?\\!\s?|\\,"
    r"|[\u00a0\u2009\u202f ](?=\d{3}(?!\d)))\d{3})+(?!\d)(?:\.\d+)?"
    r"|\d+(?:[.,]\d+)?|\.\d+)"
)
_TIMES_TEN = (
    r"(?:\s?(?:\\times|×|x|\*|\\cdot)\s?10\s?\^\s?\{?[-+−]?\d{1,4}\}?"
    r"|[eE][-+]?\d{1,4}(?![A-Za-z\d]))"
)
_FRACTION = r"\\[dtc]?frac\s?(?:\{[^{}]{1,40}\}|\d)\s?(?:\{[^{}]{1,40}\}|\d)"
_MONEY = r"(?:\\?[$€£¥₹])\s?"
NUMBER = re.compile(
    rf"(?<![A-Za-z0-9\\])(?<!\w_)(?<!\d\.)(?:[-−–+]\s?|\b(?:minus|negative)\s(?=\d))?"
    rf"(?:{_MONEY})?(?:[-−]\s?)?"
    rf"(?:{_FRACTION}|{_DIGITS}{_TIMES_TEN}?(?:\s?{_FRACTION}|\s\d+\s?/\s?\d+(?!\d)"
    rf"|\s?/\s?\d+(?:\.\d+)?(?!\d))?"
    r"[½⅓⅔¼¾⅕⅛⅜⅝⅞]?|[½⅓⅔¼¾⅕⅛⅜⅝⅞])"
    r"(?:\s?\\?%|\s?percent\b|\s?°|\^\\?circ|\s(?:thousand|[mb]illion|trillion)\b"
    r"|(?:[kKMB]|bn|mn)(?![A-Za-z\d])|\sdozen\b)?"
)
_WORD = (
    r"zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen"
    r"|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    r"|hundred|thousand|million|none"
)
_PART = (
    r"(?:(?:third|fourth|quarter|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|fifteenth"
    r"|sixteenth|twentieth|hundredth|thousandth)s?"
    r"|half|halves)"
)
NUMBER_WORD = re.compile(
    rf"\b(?:(?:minus|negative)\s)?(?:{_WORD})(?:[\s-](?:and\s)?(?:{_WORD}))*"
    rf"(?:\sand\s(?:a|an|{_WORD})\s{_PART}|[\s-]{_PART})?\b",
    re.IGNORECASE,
)
# "The answer is half", with nothing behind it
_ONE_WORD = re.compile(
    r"[\s*_`\"“]*(?P<word>(?:(?:a|one)[\s-])?(?:half|quarter|third|dozen))(?=[\s*_`\"”.!]*$)",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:[\s*_`\"“(\[]|US(?=\s?\$)|Rs\.?|USD|EUR|\\(?:text|mathrm|mathbf|textbf)\{|\\[,;! ]"
    r"|a total of|a|an|only|just|about"
    r"|approximately|around|roughly|exactly|nearly|almost|over|at least|at most|the number"
    r"|[A-Za-z](?:_\w)?\s?=)*",
    re.IGNORECASE,
)
# "5 or 7", "5, 6 and 7": no one number is stated, so what is read is all of it.
_MORE = re.compile(
    rf"(?:\s[A-Za-z]{{1,12}})?(?:(?:,\s|,?\s(?:and|or|to)\s)(?:{_MONEY})?{_DIGITS})+(?=[\s.]*$"
    rf"|\s?[A-Za-z]*[\s.]*$)"
)
# "24 / 4" is what was to be worked out, not what came of it.
_UNFINISHED = re.compile(r"\D{0,3}\d+\s/\s\d+")
# "less than 5", "between 5 and 6": a bound, not the number.
_BOUNDS = re.compile(
    r"\b(?:(?:less|more|greater|fewer|bigger|smaller|other) than|above|below|under|not)\s[$(]?$"
    r"|n['’]t\s(?:be\s|equal\s|have\s|need\s)?[$(]?$"
    r"|\bbetween\s\S{1,12}(?:\sand\s)?$|\bbetween\s$",
    re.IGNORECASE,
)
# "20 - $3" without its result: the sign and the number belong to working.
_WORKING = re.compile(r"[\d)%]\s?(?:[-+−–*/×÷]|\bx\b)\s?$")
# `**5** apples` ends its bold type; `5 ** 2` goes on.
_GOES_ON = re.compile(
    r"\s?(?:\\sqrt|\\pi|π|√|\*(?=\s?[\d(\\$]|\w)|\*\*(?=\(?\d)|[\^+−/×]|\\cdot|\\times|-\s?\d|!|[xX]\s?\d|times\s)|\("
)
_EITHER_BEFORE = re.compile(rf"(?:{_DIGITS}|{_FRACTION})(?:\s[A-Za-z]{{1,12}})?\s(?:or|to)\s[$]?$")
_LATER = re.compile(
    r"(?:,|;|\.|\))?\s(?:so|thus|hence|therefore|i\.e\.|that is|which (?:is|equals|gives|makes"
    r"|means|rounds(?:\s(?:up|down|off))?\sto)"
    r"|giving|making|resulting in|for a total of)\b|-->|→"
)
_TURN = re.compile(r"(?<=[\w%)]) (?=(?:Therefore|So|Thus|Hence|In total|Finally)\b)")
_BECAUSE = re.compile(r",?\s(?:because|since|as(?=\s\d))\s")
_EQUALS = re.compile(r"[=≈]|\\approx|\b(?:equals|is equal to)\b")
# What comes before a number that the question gave: "in 3 days", "the 3 boys", "per 4".
_GIVEN_BEFORE = re.compile(
    r"\b(?:in|after|for|per|every|each|within|during|than|from|at|on|with|by|before|until|since"
    r"|the|these|those|"
    r"all|his|her|their|its|between|among|into|out of|divided by|remaining|last|first|next|of the"
    r"|if|when|and his|"
    r"to\s\w+|step|day|week|year|grade|level|number)(?:\s(?:the|all|these|those|his|her|their|its"
    r"|remaining|last|first"
    r"|next|other|only|a|just))*\s?(?:\*\*)?[$(]?$",
    re.IGNORECASE,
)


def number_stated(text: str, start: int, end: int) -> Span | None:
    """Read the number that a statement gives; the statement's own working is stepped over.

    >>> text = "$18 per day x 2 = $36"
    >>> begin, stop = number_stated(text, 0, len(text))
    >>> text[begin:stop]
    '$36'
    """
    inside = mathematics_at(text, start, end)
    if inside is not None:
        begin, stop, after = inside
        equals = re.compile(r"\s?=\s?").match(text, after, end)
        if equals and NUMBER.match(text, equals.end(), end):
            return _last_of_chain(text, equals.end(), end)
        return trimmed(text, begin, stop)
    lead = _LEAD.match(text, start, end)
    begin = lead.end() if lead else start
    later = _concluded(text, begin, end)
    if later is not None:
        return later
    if alone := _ONE_WORD.match(text, start, end):
        return alone.span("word")
    first = NUMBER.match(text, begin, end) or NUMBER_WORD.match(text, begin, end)
    if first is not None:
        if _BOUNDS.search(text, max(start, begin - 16), first.start()):
            return None
        if _is_longer_expression(text, first.end(), end):
            return _whole_expression(text, begin, end)
        if first.end() >= end:
            return first.span()
        if quantity := quantity_at(text, begin, end):
            return quantity
        more = _MORE.match(text, first.end(), end)
        if more is None:
            return _with_operator(text, first.span(), end)
        return first.start(), more.end()
    inner = _mathematics_in(text, begin, end)
    return inner or best_number(text, start, end)


# A remark in brackets that ends a sentence, with words or working in it: "$70 (after tax of $5)".
_ASIDE = re.compile(
    r"\s([(\[](?=[^()\[\]]*(?:[A-Za-z]{2}|[=+*/×÷x]\s?[\d$]|\d\s?[-–−]))[^()\[\]]*[)\]])[^\d()\[\]=]*$"
)
_REACHED = re.compile(
    r",?\s(?:which is\s|and is\s)?"
    r"(?:attained|achieved|reached|obtained|occurring|when|at|for|where)"
    r"(?:\s(?:at|when|for|if))?\s(?:\$|\\\()?[a-zA-Z]\w?\s?=",
)
_EXTREME = re.compile(
    r"\b(?:max(?:imum|imal)?|min(?:imum|imal)?|largest|smallest|greatest|least|highest|lowest)\b"
    r"[^.]{0,60}?\b(?:is|are|equals|of|becomes|=)\s?[^a-zA-Z.]{0,3}\\?[\d(a-z]"
    r"|\b(?:max(?:imum)?|min(?:imum)?)\b[^.]{0,40}=",
    re.IGNORECASE,
)
_WORKED_OUT = re.compile(r"\d[^=]*=\s?[$]?\d")  # (6 - 3 = 3): the result is in the brackets
_SPOKEN_OPERATOR = re.compile(
    rf"\s(?:{_PART}|squared|cubed|factorial|dozen|(?:with (?:a )?)?remainder (?:of )?\d+|[rR]\s?\d+"
    rf"|(?:more|less|fewer) than\s\$?[b-hj-z]\b(?!\s[a-z]{{2}}))"
)
_UNIT = (
    r"(?:hours?|hrs?|h|minutes?|mins?|min|seconds?|secs?|days?|weeks?|months?|years?|feet|foot|ft"
    r"|inch(?:es)?|in|yards?|miles?|meters?|metres?|m|cm|km|kilograms?|kg|grams?|g|pounds?|lbs?"
    r"|ounces?|oz|dollars?|cents?|gallons?|quarts?|pints?|cups?|liters?|litres?|ml)"
)
_QUANTITY = re.compile(
    rf"{_DIGITS}\s?(?P<larger>{_UNIT})(?P<rest>,?\s(?:and\s)?{_DIGITS}\s?(?P<smaller>{_UNIT}))"
    rf"(?:,?\s(?:and\s)?{_DIGITS}\s?(?P<smallest>{_UNIT}))?(?![A-Za-z])"
)
# What makes the number of a sentence not its answer: a denial, a bound, a second case.
_CHANGES_MEANING = re.compile(
    r"\bnot\b|\b(?:no|without|except)\s\d|n['’]t\b|\bnever\b|\b(?:more|less|fewer|greater) than\b"
    r"|\bat (?:least|most)\b|\botherwise\b",
    re.IGNORECASE,
)


def one_number(text: str, start: int, end: int) -> bool:
    """Whether the words in a box are about one number: worked out, or the only one there is.

    >>> one_number("9 pens are left", 0, 15), one_number("9 pens and 4 books", 0, 18)
    (True, False)
    """
    if _CHANGES_MEANING.search(text, start, end):
        return False
    found = {text[slice(*number.span())].strip() for number in NUMBER.finditer(text, start, end)}
    return len(found) < 2 or _EQUALS.search(text, start, end) is not None


def quantity_at(text: str, start: int, end: int) -> Span | None:
    """Read one quantity in two or three units at a place: 5 feet 6 inches.

    >>> quantity_at("3 hours and 20 minutes", 0, 22), quantity_at("8 cm, 9 cm", 0, 10)
    ((0, 22), None)
    """
    found = _QUANTITY.match(text, start, end)
    return found.span() if found and _is_one_quantity(found) else None


def _is_one_quantity(found: re.Match[str]) -> bool:
    """Whether the units get smaller, so that the numbers are parts of one quantity."""
    units = [found[name] for name in ("larger", "smaller", "smallest") if found[name]]
    return all(map(parts_of_one, units, units[1:]))


def best_number(text: str, start: int, end: int) -> Span | None:
    """Choose the number that a sentence concludes with; None if it has none.

    >>> text = "they made $26 per day in the remaining 57 days"
    >>> begin, stop = best_number(text, 0, len(text))
    >>> text[begin:stop]
    '$26'
    """
    end = _before_aside(text, start, before_condition(text, start, end))
    quantities = [at for at in _QUANTITY.finditer(text, start, end) if _is_one_quantity(at)]
    if quantities:
        return quantities[-1].span()
    for turn in _TURN.finditer(text, start, end):
        start = turn.end()  # "6 x 2 = 12 So she has ...": a new sentence without a full stop
    reason = _BECAUSE.search(text, start, end)
    if reason is not None and NUMBER.search(text, start, reason.start()):
        end = reason.start()
    chained = _concluded(text, start, end)
    if chained is not None:
        return chained
    found = [number.span() for number in NUMBER.finditer(text, start, end)]
    if not found:
        words = [word.span() for word in NUMBER_WORD.finditer(text, start, end)]
        return words[-1] if words else None
    stated = [
        span for span in found if not _GIVEN_BEFORE.search(text, max(start, span[0] - 40), span[0])
    ]
    chosen = (stated or found)[-1]
    sign = 1 if text[chosen[0]] in "+-−–" else 0
    before = max(start, chosen[0] - 12)
    if _UNFINISHED.fullmatch(text, *chosen) or _WORKING.search(text, before, chosen[0] + sign):
        return None
    if _BOUNDS.search(text, max(start, chosen[0] - 24), chosen[0]):
        return None
    if _EITHER_BEFORE.search(text, max(start, chosen[0] - 40), chosen[0]):
        return None
    return _with_operator(text, chosen, end)


def before_condition(text: str, start: int, end: int) -> int:
    """Where a sentence about an extreme value ends without saying where it is reached.

    >>> text = "The maximum value is 9 when x = 3"
    >>> text[: before_condition(text, 0, len(text))]
    'The maximum value is 9'
    """
    where = _REACHED.search(text, start, end)
    if where is None or not _EXTREME.search(text, start, where.start()):
        return end
    return where.start()


def _before_aside(text: str, start: int, end: int) -> int:
    """Where a sentence ends without the remark in brackets that follows its number.

    >>> text = "She made $70 (after costs of $50)"
    >>> text[: _before_aside(text, 0, len(text))]
    'She made $70 '
    """
    aside = _ASIDE.search(text, start, end)
    if aside is None or _WORKED_OUT.search(text, aside.start(1), end):
        return end
    return aside.start(1) if NUMBER.search(text, start, aside.start(1)) else end


def _with_operator(text: str, span: Span, end: int) -> Span:
    """Extend a number over the words that change its value: 5 halves, 5 squared, 5 more than x."""
    spoken = _SPOKEN_OPERATOR.match(text, span[1], end)
    return (span[0], spoken.end()) if spoken else span


def _concluded(text: str, start: int, end: int) -> Span | None:
    """The number behind the last `=` or ", so", whichever comes later."""
    laters = [at.end() for at in _LATER.finditer(text, start, end)]
    marks = [at.end() for at in _EQUALS.finditer(text, start, end)]
    if laters and (not marks or laters[-1] > marks[-1]):
        found = NUMBER.search(text, laters[-1], end)
        if found is not None:
            return best_number(text, laters[-1], end)
    for at in reversed(marks):
        blank = _LEAD.match(text, at, end)
        begin = blank.end() if blank else at
        inside = mathematics_at(text, begin, end)
        if inside is not None:
            return inside[0], inside[1]
        number = NUMBER.match(text, begin, end)
        if number is not None:
            return number.span()
    return None


def _last_of_chain(text: str, start: int, end: int) -> Span | None:
    number = NUMBER.match(text, start, end)
    return _concluded(text, start, end) or (number.span() if number else None)


def _is_longer_expression(text: str, after: int, end: int) -> bool:
    return _GOES_ON.match(text, after, end) is not None


def _whole_expression(text: str, start: int, end: int) -> Span:
    prose = re.compile(r"\s(?!times\s)[A-Za-z]{3,}\s").search(text, start, end)
    return trimmed(text, start, prose.start() if prose else end)


def _mathematics_in(text: str, start: int, end: int) -> Span | None:
    at = start
    last: Span | None = None
    for _ in range(8):
        candidates = [
            i
            for i in (text.find("$", at, end), text.find("\\(", at, end), text.find("\\[", at, end))
            if i >= 0
        ]
        if not candidates:
            break
        opening = min(candidates)
        inside = mathematics_at(text, opening, end)
        if inside is None:
            at = opening + 1
            continue
        if re.search(r"\d", text[inside[0] : inside[1]]):
            last = trimmed(text, inside[0], inside[1])
        at = inside[2]
    return last
