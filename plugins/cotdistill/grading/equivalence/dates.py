"""Times of day and dates, as answers write them."""

from __future__ import annotations

import re
from datetime import date

_TIME = re.compile(
    r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*(?:\\text\{\s*)?"
    r"(?:([ap])\.?\s*m\.?|(noon|midnight))?\s*\}?",
    re.IGNORECASE,
)
_MONTH_WORDS = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {month: at for at, month in enumerate(_MONTH_WORDS.split(), 1)}
_NAMED = {"noon": "12 PM", "midnight": "12 AM", "midday": "12 PM"}
_NUMERIC = re.compile(r"(\d{1,4})\s?([/.\-])\s?(\d{1,2})\s?\2\s?(\d{1,4})")
_WORDED = re.compile(
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?\s+)?"
    r"(?:([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?|(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?([a-z]{3,9})\.?)"
    r",?\s+(\d{4})",
    re.IGNORECASE,
)


def same_time(a: str, b: str) -> bool | None:
    """Whether two times of day are the same; None where one is no time.

    Policy: a time without a.m. or p.m. and with an hour up to 12 may be either half of the day;
    without any of them on both sides the figures count (`12:00` is not `1:00`).

    >>> same_time("20:34", "8:34 P.M."), same_time("4:30 p.m.", "4:30"), same_time("3", "3 PM")
    (True, True, True)
    >>> same_time("12:00", "1:00"), same_time("4:30 am", "4:30 pm"), same_time("3", "4")
    (False, False, None)
    """
    one, two = (_TIME.fullmatch(_NAMED.get(side.lower(), side)) for side in (a, b))
    if one is None or two is None:
        return None
    halves = [bool(time[4] or time[5]) for time in (one, two)]
    if not any(halves) and not (one[2] and two[2]):
        return None
    first, second = (_minutes(time) for time in (one, two))
    if first is None or second is None:
        return None
    if all(halves) or not any(halves):
        return first == second
    bare = two if halves[0] else one
    return first % 43200 == second % 43200 if int(bare[1]) <= 12 else first == second


def _minutes(time: re.Match[str]) -> int | None:
    hour, minute, second = int(time[1]), int(time[2] or 0), int(time[3] or 0)
    if hour > 24 or minute > 59 or second > 59:
        return None
    half = (time[4] or "").lower()
    if time[5]:
        hour = 12 if time[5].lower() == "noon" else 0
    elif half:
        hour = hour % 12 + 12 * (half == "p")
    return hour * 3600 + minute * 60 + second


def read_date(text: str) -> date | None:
    """Read a date; figures alone are month/day/year unless that is impossible, or year-month-day.

    >>> read_date("02/03/2021"), read_date("3 February 2021"), read_date("2021-02-03")
    (datetime.date(2021, 2, 3), datetime.date(2021, 2, 3), datetime.date(2021, 2, 3))
    >>> read_date("13/02/2021"), read_date("1/2")
    (datetime.date(2021, 2, 13), None)
    """
    text = text.strip(" .")
    figures = _NUMERIC.fullmatch(text)
    if figures:
        first, second, third = int(figures[1]), int(figures[3]), int(figures[4])
        if first > 31:
            return _date(first, second, third)
        if third < 100:
            third += 2000 if third < 50 else 1900
        return _date(third, first, second) or _date(third, second, first)
    worded = _WORDED.fullmatch(text)
    if worded:
        month = _MONTHS.get((worded[1] or worded[4]).lower()[:3])
        return None if month is None else _date(int(worded[5]), month, int(worded[2] or worded[3]))
    return None


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
