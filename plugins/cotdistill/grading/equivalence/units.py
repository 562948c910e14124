"""Units of answers: their spellings, their dimensions, and how one is written in another."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from cotdistill.grading.equivalence.words import are_opposites

_INCH = Fraction(254, 10)  # mm
_LITER = 10**6  # mm^3
# dimension: {unit: its size in the first one}; a plural `s` and a full stop are understood
_TABLE: dict[str, dict[str, Fraction | int]] = {
    "dollar": {
        "cent": 1, "¢": 1, "penny": 1, "pennie": 1, "nickel": 5, "dime": 10, "dollar": 100,
        "usd": 100, "buck": 100,
    },
    "pound sterling": {"gbp": 1},
    **{name: dict.fromkeys(spellings.split(), 1) for name, spellings in {
        "euro": "euro eur €", "yen": "yen jpy", "yuan": "yuan rmb cny renminbi",
        "rupee": "rupee rs inr", "peso": "peso", "franc": "franc chf", "ruble": "ruble rouble",
        "krona": "krona kronor krone kroner sek nok dkk", "lira": "lira", "rand": "rand",
        "dinar": "dinar", "dirham": "dirham", "riyal": "riyal", "shekel": "shekel",
        "baht": "baht", "ringgit": "ringgit", "rupiah": "rupiah", "zloty": "zloty",
        "forint": "forint", "taka": "taka", "naira": "naira", "krw": "krw",
    }.items()},
    "length": {
        "mm": 1, "millimeter": 1, "millimetre": 1, "cm": 10, "centimeter": 10, "centimetre": 10,
        "dm": 100, "decimeter": 100, "decimetre": 100, "meter": 1000, "metre": 1000, "m": 1000,
        "km": 1000000, "kilometer": 1000000, "kilometre": 1000000, "nm": Fraction(1, 1000000),
        "nanometer": Fraction(1, 1000000), "micrometer": Fraction(1, 1000),
        "micron": Fraction(1, 1000), "um": Fraction(1, 1000),
        "inch": _INCH, "inche": _INCH, "in": _INCH, "foot": 12 * _INCH, "feet": 12 * _INCH,
        "ft": 12 * _INCH, "yard": 36 * _INCH, "yd": 36 * _INCH, "mile": 63360 * _INCH,
        "mi": 63360 * _INCH,
    },
    "time": {
        "second": 1, "sec": 1, "s": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600,
        "h": 3600, "day": 86400, "week": 604800, "fortnight": 1209600, "ms": Fraction(1, 1000),
        "millisecond": Fraction(1, 1000),
    },
    "years": {"month": 1, "year": 12, "yr": 12, "decade": 120, "century": 1200, "centurie": 1200},
    "mass": {
        "mg": Fraction(1, 1000), "milligram": Fraction(1, 1000), "gram": 1, "g": 1, "kg": 1000,
        "kilogram": 1000, "kilo": 1000, "tonne": 1000000, "microgram": Fraction(1, 1000000),
    },
    "weight": {"ounce": 1, "oz": 1, "pound": 16, "lb": 16, "stone": 224, "ton": 32000},
    "us volume": {
        "teaspoon": 1, "tsp": 1, "tablespoon": 3, "tbsp": 3, "cup": 48, "pint": 96, "quart": 192,
        "gallon": 768, "gal": 768,
    },
    "force": {"n": 1, "newton": 1, "kn": 1000},
    "energy": {
        "j": 1, "joule": 1, "kj": 1000, "kilojoule": 1000, "mj": 10**6, "cal": Fraction(4184, 1000),
        "calorie": Fraction(4184, 1000), "kcal": 4184, "kilocalorie": 4184, "wh": 3600,
        "kwh": 3600000,
    },
    "electronvolt": {"ev": 1, "kev": 1000, "mev": 10**6, "gev": 10**9},
    "power": {"w": 1, "watt": 1, "kw": 1000, "kilowatt": 1000, "megawatt": 10**6},
    "horsepower": {"hp": 1, "horsepower": 1},
    "pressure": {"pa": 1, "pascal": 1, "kpa": 1000, "mpa": 10**6, "bar": 100000, "atm": 101325,
                 "torr": Fraction(101325, 760), "mmhg": Fraction(101325, 760)},
    "psi": {"psi": 1},
    "frequency": {"hz": 1, "hertz": 1, "khz": 1000, "mhz": 10**6, "ghz": 10**9},
    "voltage": {"v": 1, "volt": 1, "kv": 1000, "mv": Fraction(1, 1000)},
    "current": {"a": 1, "amp": 1, "ampere": 1, "ma": Fraction(1, 1000)},
    "resistance": {"ohm": 1, "kohm": 1000},
    "charge": {"coulomb": 1}, "flux density": {"tesla": 1, "gauss": Fraction(1, 10000)},
    "amount": {"mol": 1, "mole": 1, "mmol": Fraction(1, 1000)},
    "temperature": {"k": 1, "kelvin": 1},
    "data": {"bit": 1, "byte": 8, "kb": 8000, "mb": 8 * 10**6, "gb": 8 * 10**9, "tb": 8 * 10**12,
             "kilobyte": 8000, "megabyte": 8 * 10**6, "gigabyte": 8 * 10**9},
    "degree": {"degree": 1, "deg": 1}, "radian": {"radian": 1, "rad": 1},
}  # fmt: skip
Dimension = tuple[tuple[str, int], ...]
_UNITS: dict[str, tuple[Dimension, Fraction]] = {
    name: (((dimension, 1),), Fraction(size))
    for dimension, row in _TABLE.items()
    for name, size in row.items()
}
_UNITS |= {
    name: ((("length", 3),), Fraction(size))
    for size, names in ((_LITER, "l liter litre"), (_LITER // 1000, "ml milliliter millilitre cc"),
                        (_LITER // 100, "cl"), (_LITER // 10, "dl"))
    for name in names.split()
} | {
    "acre": ((("length", 2),), 43560 * (12 * _INCH) ** 2),
    "hectare": ((("length", 2),), Fraction(10**10)), "ha": ((("length", 2),), Fraction(10**10)),
    "mph": ((("length", 1), ("time", -1)), 63360 * _INCH / 3600),
    **dict.fromkeys(("kmph", "kmh", "kph"), ((("length", 1), ("time", -1)), Fraction(2500, 9))),
    "mps": ((("length", 1), ("time", -1)), Fraction(1000)),
    "rpm": ((("revolution", 1), ("time", -1)), Fraction(1, 60)),
}  # fmt: skip
# of two or three letters: words after all, not products of symbols
_SHORT_WORDS = (
    "the a an is are was of in to per by at on sq cu men man day box boy car cat dog pen way "
    "ways egg hat ice inc job key kid map net row sec set tax tie top toy yen bag bat bus can "
    "cap cow cup fan am pm no yes not all any for has had her his its she he him they it if so "
    "we thus new old one two six ten units unit square cubic times hours words each extra more "
    "less up ago "
)
_NOT_WORDS = ("n", "j", "w", "v", "a", "k", "mj", "mv", "ma", "kb", "mb", "gb", "tb", "ha", "kn",
              "cl", "dl", "wh", "cc", "um", "ev", "cal", "gal", "bar", "kilo", "mole", "bit",
              "stone", "in")  # fmt: skip
PLAIN_UNITS = frozenset(
    name + end
    for name in _UNITS
    if len(name) > 1 and name not in _NOT_WORDS
    for end in ("", "s", "es")
) | frozenset(_SHORT_WORDS.split())
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "millions": 10**6, "billion": 10**9,
           "trillion": 10**12, "dozen": 12, "dozens": 12}  # fmt: skip
_POWER_WORDS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_PIECE = re.compile(r"([^\^*/\-]+)(?:\^\(?(-?\d))?\)?")


@dataclass(frozen=True, slots=True)
class Measure:
    """What a unit phrase says.

    scale        of number words: a million
    sizes        of what is multiplied and what is divided by, in the base units
    numerator    the dimensions that are multiplied, with their powers
    denominator  the dimensions that are divided by
    names        the units without their powers
    words        what is no unit
    """

    scale: Fraction
    sizes: tuple[Fraction, Fraction]
    numerator: Dimension
    denominator: Dimension
    names: frozenset[str]
    words: str

    @property
    def dimension(self) -> tuple[Dimension, Dimension]:
        """What is multiplied and what is divided by; empty where nothing is known."""
        return self.numerator, self.denominator

    @property
    def size(self) -> Fraction:
        """The size of the whole unit."""
        return self.sizes[0] / self.sizes[1]


@lru_cache(maxsize=4096)
def measure(phrase: str) -> Measure:
    """Read a unit phrase.

    >>> measure("miles per hour").dimension
    ((('length', 1),), (('time', 1),))
    >>> measure("dollar million").scale, measure("km north").words, measure("cm^2").numerator
    (Fraction(1000000, 1), 'north', (('length', 2),))
    """
    scale, sizes, words = Fraction(1), [Fraction(1), Fraction(1)], []
    powers: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    names: list[str] = []
    below, power = False, 1
    pieces = phrase.replace("/", " per ").replace("*", " ").replace("{", "").replace("}", "")
    for piece in pieces.split():
        if piece == "per":
            below = True
            continue
        if piece in _POWER_WORDS:
            power = _POWER_WORDS[piece]
            continue
        if piece in _SCALES and not below:
            scale *= _SCALES[piece]
            continue
        match = _PIECE.fullmatch(piece.rstrip("."))
        name = _unit_name(match[1]) if match else ""
        if not match or not name or (name == "in" and piece != phrase.split()[-1]):
            words.append(("per " if below else "") + piece)
        elif name not in names or not _is_currency(name):  # $5 dollars
            raised = power * int(match[2] or 1)
            side = int(below != (raised < 0))
            parts, size = _UNITS[name]
            names.append(name)
            for dimension, inner in parts:
                place = side if inner > 0 else 1 - side
                powers[place][dimension] += abs(inner * raised)
            sizes[side] *= size ** min(abs(raised), 3)
        below, power = False, 1
    shared = powers[0] & powers[1]
    top, bottom = (tuple(sorted((side - shared).items())) for side in powers)
    return Measure(
        scale, (sizes[0], sizes[1]), top, bottom, frozenset(names), " ".join(words)
    )  # fmt: skip


def _unit_name(word: str) -> str:
    for name in (
        word,
        word.lower(),
        word.lower().removesuffix("s"),
        word.lower().removesuffix("es"),
    ):
        if name in _UNITS:
            return name
    return ""


def _is_currency(name: str) -> bool:
    return _UNITS[name][0][0][0] in ("dollar", "euro", "yuan", "yen", "rupee", "weight")


def worth(phrase: str, other: str) -> Fraction | None:
    """Say how much of another unit a unit is; None where the two clash.

    1 where a unit is unknown, or where one of the two leaves a power or the "per ..." out.

    >>> worth("hours", "minutes"), worth("apples", "pieces"), worth("km/h", "m/s")
    (Fraction(60, 1), Fraction(1, 1), Fraction(5, 18))
    >>> worth("kg", "miles") is None, worth("km east", "km west") is None
    (True, True)
    """
    if phrase == other:
        return Fraction(1)
    mine, theirs = measure(phrase), measure(other)
    if are_opposites(mine.words, theirs.words):
        return None
    scale = mine.scale / theirs.scale
    if mine.dimension == theirs.dimension:
        return scale * mine.size / theirs.size
    if mine.names == theirs.names and _both_have_powers(mine, theirs):
        return None  # square feet and cubic feet
    if mine.dimension == ((), ()) or theirs.dimension == ((), ()) or mine.names == theirs.names:
        return scale
    if mine.numerator == theirs.numerator and () in (mine.denominator, theirs.denominator):
        return scale * mine.sizes[0] / theirs.sizes[0]
    if mine.denominator == theirs.denominator and () in (mine.numerator, theirs.numerator):
        return scale * theirs.sizes[1] / mine.sizes[1]
    return None


def _both_have_powers(one: Measure, other: Measure) -> bool:
    """Whether both say a power, for only one may leave it out: feet are square feet."""
    return all(max((power for _, power in side.numerator), default=0) > 1 for side in (one, other))


def parts_of_one(phrase: str, other: str) -> Fraction | None:
    """Say how much of a second unit the first is, for quantities such as 5 feet 6 inches.

    >>> parts_of_one("feet", "inches"), parts_of_one("hours", "feet"), parts_of_one("cm", "m")
    (Fraction(12, 1), None, None)
    """
    mine, theirs = measure(phrase), measure(other)
    if mine.dimension != theirs.dimension or mine.dimension == ((), ()):
        return None
    ratio = mine.scale * mine.size / (theirs.scale * theirs.size)
    return ratio if ratio > 1 else None
