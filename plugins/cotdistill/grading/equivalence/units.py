"""Units of answers: their spellings, their dimensions, and how one is written in another."""

from __future__ import annotations

import re
from fractions import Fraction

# dimension: {unit: its size in the first one}; a plural `s` and a full stop are understood
_TABLE: dict[str, dict[str, Fraction | int]] = {
    "money, cents": {"cent": 1, "dollar": 100, "usd": 100, "buck": 100, "¢": 1},
    "euro": {"euro": 1, "eur": 1},
    "pound sterling": {"gbp": 1, "£": 1},
    "yuan": {"yuan": 1, "rmb": 1},
    "rupee": {"rupee": 1, "rs": 1, "inr": 1},
    "length": {
        "mm": 1, "millimeter": 1, "millimetre": 1, "cm": 10, "centimeter": 10, "centimetre": 10,
        "dm": 100,
        "meter": 1000, "metre": 1000, "m": 1000, "km": 1000000, "kilometer": 1000000,
        "kilometre": 1000000,
        "inch": Fraction(254, 10), "inche": Fraction(254, 10), "foot": Fraction(3048, 10),
        "feet": Fraction(3048, 10),
        "ft": Fraction(3048, 10), "yard": Fraction(9144, 10), "yd": Fraction(9144, 10),
        "mile": Fraction(1609344),
        "mi": Fraction(1609344), "nm": Fraction(1, 1000000),
    },
    "time": {
        "second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600,
        "h": 3600, "day": 86400,
        "week": 604800, "ms": Fraction(1, 1000),
    },
    "years": {"month": 1, "year": 12, "yr": 12},
    "mass": {"mg": Fraction(1, 1000), "gram": 1, "g": 1, "kg": 1000, "kilogram": 1000,
    "tonne": 1000000},
    "weight": {"ounce": 1, "oz": 1, "pound": 16, "lb": 16, "ton": 32000},
    "volume": {"ml": 1, "milliliter": 1, "liter": 1000, "litre": 1000, "l": 1000},
    "us volume": {"cup": 1, "pint": 2, "quart": 4, "gallon": 16},
    "speed": {"mph": 1}, "speed, metric": {"kmph": 1, "kmh": 1, "kph": 1},
    "force": {"newton": 1}, "energy": {"joule": 1, "kj": 1000}, "power": {"watt": 1, "kw": 1000},
    "pressure": {"pa": 1}, "frequency": {"hz": 1, "khz": 1000},
    "angle": {"degree": 1, "deg": 1}, "radian": {"radian": 1, "rad": 1},
}  # fmt: skip
_UNITS = {
    name: (what, Fraction(size)) for what, row in _TABLE.items() for name, size in row.items()
}
# of two or three letters: words after all, not products of symbols
_SHORT_WORDS = (
    "the a an is are was of in to per by at on sq cu men man day box boy car cat dog pen way "
    "ways egg hat ice inc job key kid map net row sec set tax tie top toy yen bag bat bus can "
    "cap cow cup fan am pm no yes not all any for has had her his its she he him they it if so "
    "we thus new old one two six ten units unit square cubic times hours words each extra more "
    "less "
)
PLAIN_UNITS = frozenset(
    name + end for name in _UNITS if len(name) > 1 for end in ("", "s", "es")
) | frozenset(_SHORT_WORDS.split())
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "millions": 10**6, "billion": 10**9,
           "trillion": 10**12, "dozen": 12, "dozens": 12}  # fmt: skip
_PREFIXES = ("square ", "sq ", "cubic ", "cu ")


def known_unit(phrase: str) -> tuple[str, Fraction] | None:
    """Find the dimension of a unit phrase and its size in that dimension's base unit.

    Powers are left aside: cm and cm^2 have one dimension here, because answers often leave
    the power out. A rate ("miles per hour") is known only by its own words.

    >>> known_unit("hours"), known_unit("cents")
    (('time', Fraction(3600, 1)), ('money, cents', Fraction(1, 1)))
    >>> known_unit("apples") is None
    True
    """
    phrase, power = _power(phrase.strip(" ."))
    if "/" in phrase or " per " in f" {phrase} ":
        return None
    for name in (phrase, phrase.removesuffix("s"), phrase.removesuffix("es")):
        if name in _UNITS:
            what, size = _UNITS[name]
            return (what, size**power) if power <= 3 else None
    return None


def _power(phrase: str) -> tuple[str, int]:
    power = 1
    for prefix in _PREFIXES:
        if phrase.startswith(prefix):
            phrase, power = phrase[len(prefix) :], 2 if prefix[0] == "s" else 3
    ended = re.fullmatch(r"(.*?)\s*\^(\d)", phrase)
    if ended:
        phrase, power = ended[1], int(ended[2])
    return phrase, power


def scaled(phrase: str) -> tuple[Fraction, str]:
    """Split a unit phrase into its scale and the rest.

    >>> scaled("dollar million"), scaled("apples")
    ((Fraction(1000000, 1), 'dollar'), (Fraction(1, 1), 'apples'))
    """
    words = phrase.split()
    for word in words:
        if word in _SCALES:
            return Fraction(_SCALES[word]), " ".join(other for other in words if other != word)
    return Fraction(1), phrase


def worth(value: Fraction, phrase: str, other: str) -> Fraction | None:
    """Write a value in another unit; the same value where a unit is unknown, None where they clash.

    >>> worth(Fraction(2), "hours", "minutes"), worth(Fraction(5), "apples", "pieces")
    (Fraction(120, 1), Fraction(5, 1))
    >>> worth(Fraction(5), "kg", "miles") is None
    True
    """
    (mine_times, phrase), (their_times, other) = scaled(phrase), scaled(other)
    value = value * mine_times / their_times
    mine, theirs = known_unit(phrase), known_unit(other)
    if mine is None or theirs is None or phrase == other:
        return value
    if mine[0] != theirs[0]:
        return None
    powers = {_power(phrase.strip(" ."))[1], _power(other.strip(" ."))[1]}
    if len(powers) > 1:  # one of the two leaves the power out
        return value if known_unit(_power(phrase)[0]) == known_unit(_power(other)[0]) else None
    return value * mine[1] / theirs[1]
