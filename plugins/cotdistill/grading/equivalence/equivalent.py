r"""Whether two answers mean the same: `equivalent`, and the order of its tiers.

    text       the same after undressing: spaces, `$`, `\left`, `\text`, signs of one meaning
    choice     letters, yes and no, dates, times of day, words: by kind
    number     plain numbers, exactly; then the policy on rounding
    exact      rational values of expressions
    structure  tuples, sets, intervals, unions, lists, matrices, equations, part by part
    numeric    values at fixed points in 50 digits and more
    symbolic   sympy in a process of its own, for limits, derivatives and integrals
    timeout    sympy's CPU time was used up: undecided; worth another try
    bounds     too long or too big to be compared: undecided, unless the texts are the same

No tier runs text as a program. The policy, tested both ways in tests/grading/test_equivalence.py:

    rounding   A decimal of five significant digits or more stands for what it rounds (3.1416 for
               pi, 0.08333333 for 1/12; 33.3 is not 100/3); a gold of three digits and two decimals
               stands for a longer answer (1.42 for 1.4213). Whole numbers only for themselves.
               `tolerance` is relative to the gold and comes on top.
    percent    10% is 10%, 0.1, and 10 with the sign left out; 10 is never 0.1 without a sign.
    units      One side may leave its unit out. Two known units are converted (2 hours, 120
               minutes; 36 km/h, 10 m/s) or clash (5 cm, 5 kg; 5 cents, 5 dollars). A power may
               be left out (12 feet for 12 square feet), not changed (12 cubic feet). Unknown
               words are ignored, but words that exclude each other are not (5 km east,
               5 km west), nor labels that both sides have (2 boys, 3 girls).
               1.5 million is 1500000, and 1.5 where millions are asked. Degrees are like
               a unit, and 30°C is not 30°F; an angle that says pi is in radians.
    order      Bare lists and sets in any order, lists with repeats, sets without. Tuples, square
               brackets and matrices in their own; an interval's brackets count.
    names      x = 5 is 5; y = 5 is not x = 5; f(x) = 2x is f(t) = 2t, and not f'(x) = 2x.
               Equations may be moved and scaled. A chain ends in its last exact part:
               k = 1/3 = 0.33... is 1/3.
    commas     1,234 is 1234, or a list of two where the other side is one; 2,74 is a list, but 2.74
               for a gold with decimals.
    bases      Digits and base must be the same, or the values in two stated bases; the base may be
               left out on one side.
    zeros      033 is 33; nothing is not 0.
    times      4:30 p.m. is 4:30; 12:00 is not 1:00; 3:2 is a ratio, 6:4 the same one.
    ranges     5–7 is 5 to 7, and not their difference.
    residues   3 (mod 7) is 10 (mod 7), not 3 (mod 9); one side may leave the modulus out.
    around     Labels, domains and reasons may be left out; two that contradict each other clash.
    meanings   "No solution" is the empty set, "all real numbers" the real line, "infinitely many"
               infinity; |x| < 2 is (-2, 2), and ]1, 2[ is (1, 2). \log without a base is
               natural or decimal.
    case       Words and choice letters in any case; symbols in their own.

Symmetric without a tolerance, except where golds are named above (rounding to a short gold; `a + b
= 7` answers 7, but 7 does not answer the equation `a + b = 7`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

from cotdistill.grading.equivalence.choices import choice_letter, gold_option, truth
from cotdistill.grading.equivalence.compare import Comparison
from cotdistill.grading.equivalence.dates import read_date, same_time
from cotdistill.grading.equivalence.meanings import same_meaning
from cotdistill.grading.equivalence.normalize import (
    as_words,
    compact,
    squeezed,
    tidy,
    without_option_dress,
)
from cotdistill.grading.equivalence.number import Written, agree, number_words, plain
from cotdistill.grading.equivalence.parser import parse
from cotdistill.grading.equivalence.qualifiers import (
    Qualified,
    number_of_sentence,
    split_qualifier,
    without_label,
)
from cotdistill.grading.equivalence.ranges import Range, read_range, same_range
from cotdistill.grading.equivalence.symbolic import SymbolicBudget, prepare
from cotdistill.grading.equivalence.tree import MOST_CHARACTERS, Node, number
from cotdistill.grading.equivalence.words import are_opposites
from cotdistill.grading.kinds import Kind

_ABBREVIATED = re.compile(
    r"(?:\\\$|[€£]|\\text\{)?\s?([-\d,.]+)\s?(?:\\text\{)?\s?(k|K|M|MM|B|bn|mn)\}?"
)
_ABBREVIATIONS = {
    "k": 10**3, "K": 10**3, "M": 10**6, "MM": 10**6, "mn": 10**6, "B": 10**9, "bn": 10**9,
}  # fmt: skip
# 1 h 15 min, 3 m 20 cm, 5'6": units that are too short to be seen as such anywhere else
_TWO_UNITS = re.compile(
    r"(\d+)\s?(h|hours?|m|min|minutes?|kg)\s?(\d+(?:\.\d+)?)\s?(m|min|minutes?|s|sec|seconds?|cm|g)"
)
_FEET_AND_INCHES = re.compile(r"(\d+)\s?['’′]\s?(\d+(?:\.\d+)?)\s?(?:[\"”″]|''|’’|′′)?")
_WRITTEN_OUT = {"h": "hours", "min": "minutes", "m": "meters", "s": "seconds", "g": "grams"}
_FIGURES = re.compile(r"[\d\s.,:]+")
_COMMAS = re.compile(r"\d,\d{3}(?!\d)")
_RATE = re.compile(r"\d\s[a-zA-Z]/[a-z]")  # 20 m/s
_RATIO = re.compile(r"(\d{1,9})\s?(?:\\text\s?\{\s?)?\bto\b(?:\s?\})?\s?(\d{1,9})")
_BARE_LOG = re.compile(r"\\log(?![a-z])(?!\s*_)")
_FIGURE = re.compile(
    r"\\(?:angle|triangle|overline|overrightarrow|vec|widehat|measuredangle)\s*\{?\s*([A-Z]{1,4})\s*\}?"
)
_LONGEST_FIGURE = 32  # characters
_FACTORS = re.compile(r"[xyz]{2,3}|[abc]{2,3}|mn|nm|pq|qp|rs|sr|st|ts")
_COMMA = re.compile(r"[-+]?\d+,\d{1,2}")
_WORDY = re.compile(r"(?:[A-Za-z]{2,}(?![A-Za-z])|\b[aAI]\b|[\s.,;:!?'\"()\-&])+")
_UNIT_LETTER = re.compile(
    r"(.*\d)(\s?)((?:m|g|s|h|L|l|N|J|W|V|A|K|C|F)(?:\^?\{?[23]\}?)?(?:\s?/\s?(?:s|h|m|min|kg)(?:\^?\{?[23]\}?)?)?)"
)
_TEXT_DATE = re.compile(
    r"\d{1,4}[/.\-]\d{1,2}[/.\-]\d{1,4}|.*[A-Za-z]{3}.*\d{4}|\d{1,2}.*[A-Za-z]{3}.*"
)
_TEMPERATURE = re.compile(
    r"(?:[°º˚]|\\circ\s?\}?|\\degree|\bdegrees?\b)[\s$~]*(?:\\(?:text|mathrm|rm)\b)?[\s{]*"
    r"([CFK])(?:elsius|ahrenheit|elvin)?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What was decided about two answers, and which tier decided it.

    `equal` is None where no tier could tell.
    """

    equal: bool | None
    tier: str


class _Reading:
    """One answer, undressed once; its number, words and trees are read when first needed."""

    def __init__(self, text: str) -> None:
        self.raw = text = without_option_dress(text)
        self.text = tidy(text)
        self.number = plain(self.text)
        if self.number is None:
            self.text = without_label(self.text)
            self.number = plain(self.text)

    @cached_property
    def words(self) -> str:
        """The answer as lower-case words."""
        return as_words(self.raw)

    @cached_property
    def range(self) -> Range | None:
        """The ends of a range such as 5–7."""
        return read_range(self.raw)

    @cached_property
    def temperature(self) -> str:
        """The scale of a temperature, C, F or K; empty where there is none."""
        scale = _TEMPERATURE.search(self.raw)
        return scale[1].upper() if scale else ""

    @cached_property
    def wordy(self) -> bool:
        """Whether the answer is made of words, not of mathematics."""
        return bool(self.words) and bool(_WORDY.fullmatch(self.words))

    @cached_property
    def trees(self) -> list[Node]:
        """What the answer may mean: 1,234 is one number, or else two in a list."""
        spoken = number_words(self.words) if self.wordy else None
        if spoken is not None:
            return [number(spoken)]
        found = [parse(self.text)]
        if "to" in self.text and (ratio := _RATIO.fullmatch(self.text)) is not None:
            found.append(parse(f"{ratio[1]}:{ratio[2]}"))
        if two := self._two_units():
            found.append(parse(two))
        if "\\log" in self.text and _BARE_LOG.search(self.text):
            found.append(parse(_BARE_LOG.sub(r"\\log_{10} ", self.text)))  # e or 10, by the field
        if _COMMAS.search(self.text):
            found.append(parse(self.text, thousands=False))
        if (short := _ABBREVIATED.fullmatch(self.text)) and (figure := plain(short[1])):
            scale = _ABBREVIATIONS[short[2]]
            found.append(number(figure.value * scale))
            if "$" in short[0]:  # $2k is 2 where thousands are asked, as 2 million is
                found.append(number(figure.value))
        return [tree for tree in found if tree is not None]

    def _two_units(self) -> str | None:
        """The answer with its units marked, where it is a number of two units and no more."""
        if feet := _FEET_AND_INCHES.fullmatch(self.raw.strip()):
            return rf"{feet[1]}\text{{ feet }}{feet[2]}\text{{ inches}}"
        if (two := _TWO_UNITS.fullmatch(self.raw.strip())) is None:
            return None
        first = _WRITTEN_OUT.get(two[2], two[2])
        second = "minutes" if first[0] == "h" and two[4] == "m" else two[4]
        second = _WRITTEN_OUT.get(second, second)
        return rf"{two[1]}\text{{ {first} }}{two[3]}\text{{ {second}}}"

    @cached_property
    def qualified(self) -> Qualified | None:
        """The answer without a trailing qualifier, where it has one and is no text."""
        found = None if self.wordy else split_qualifier(self.text)
        return found if found and not _read(found.main).wordy else None

    @cached_property
    def trees_with_unit(self) -> list[Node]:
        """The same, where a single letter at the end may be a unit: 5 m."""
        return self._with_unit(tight=False)

    @cached_property
    def trees_with_tight_unit(self) -> list[Node]:
        """The same without a space before the unit: 5m, where the other side has a unit."""
        return self._with_unit(tight=True)

    def _with_unit(self, *, tight: bool) -> list[Node]:
        ended = _UNIT_LETTER.fullmatch(self.text)
        if ended is None or not (tight or ended[2]):
            return self.trees
        extra = parse(rf"{ended[1]}\text{{{ended[3]}}}")
        return self.trees if extra is None else [*self.trees, extra]


@lru_cache(maxsize=16_384)
def _read(text: str) -> _Reading:
    return _Reading(text)


def equivalent(
    a: str,
    b: str,
    *,
    kind: Kind = "auto",
    options: Mapping[str, str] | None = None,
    tolerance: float | None = None,
) -> Equivalence:
    r"""Decide whether the answer `a` means the same as the gold answer `b`.

    `kind` says what the gold is; "auto" sees it from the gold. `options` are the texts of the
    choices by letter. `tolerance` is relative to the gold. The policy is in this module's
    docstring. Never raises; the same for any thread or process.

    >>> equivalent("1,000", "1000")
    Equivalence(equal=True, tier='number')
    >>> equivalent(r"\{2, \frac{2}{4}\}", "0.5, 2")
    Equivalence(equal=True, tier='structure')
    >>> equivalent("y = 5", "x = 5").equal, equivalent("", "0").equal
    (False, False)
    """
    if len(a) > MOST_CHARACTERS or len(b) > MOST_CHARACTERS:
        return Equivalence(True, "text") if a.strip() == b.strip() else Equivalence(None, "bounds")
    try:
        return _decided(_read(a), _read(b), kind, options, tolerance)
    except RecursionError:  # a caller that is itself deep leaves too little of the stack
        return Equivalence(None, "bounds")


def _decided(
    answer: _Reading,
    gold: _Reading,
    kind: Kind,
    options: Mapping[str, str] | None,
    tolerance: float | None,
) -> Equivalence:
    """Ask the tiers in their order."""
    if gold.number and kind not in ("letter", "date") and not options:
        mine = answer.number or _decimal_comma(answer.text, gold.number)
        if mine:
            return _numbers(mine, gold.number, tolerance)
    if not answer.text or not gold.text:
        return Equivalence(False, "empty")
    if options or kind == "letter" or (kind == "auto" and _is_choice(gold)):
        return _choices(answer, gold, options, tolerance)
    if answer.temperature and gold.temperature and answer.temperature != gold.temperature:
        return Equivalence(False, "text")
    if answer.text == gold.text or compact(answer.text) == compact(gold.text):
        return Equivalence(True, "text")
    if (equal := same_meaning(answer.raw, gold.raw)) is not None:
        return Equivalence(equal, "text")
    if len(gold.text) < _LONGEST_FIGURE and _same_figure(answer.text, gold.text):
        return Equivalence(True, "text")
    if gold.range and (equal := same_range(answer.raw, gold.range)) is not None:
        return Equivalence(equal, "structure")
    verdict = _by_kind(answer, gold, kind) or _by_tree(answer, gold, tolerance)
    if verdict.equal is not True and (answer.qualified or gold.qualified):
        return _without_qualifiers(answer, gold, kind, tolerance) or verdict
    return verdict


def _same_figure(one: str, other: str) -> bool:
    r"""Whether one names the figure of the other without its kind, or its factors turned round.

    >>> _same_figure(r"\angle ABC", "ABC"), _same_figure(r"\angle ABC", r"\triangle ABC")
    (True, False)
    >>> _same_figure("xy", "yx"), _same_figure("no", "on")
    (True, False)
    """
    if _FACTORS.fullmatch(one) and _FACTORS.fullmatch(other):
        return sorted(one) == sorted(other)
    marked, bare = (one, other) if one.startswith("\\") else (other, one)
    figure = _FIGURE.fullmatch(marked)
    return figure is not None and figure[1] == bare


def _without_qualifiers(
    answer: _Reading, gold: _Reading, kind: Kind, tolerance: float | None
) -> Equivalence | None:
    """Compare what is qualified; two qualifiers must not contradict each other."""
    mine, theirs = answer.qualified, gold.qualified
    one, two = (side.main if side else reading.text for side, reading in
                ((mine, answer), (theirs, gold)))  # fmt: skip
    if (
        theirs
        and theirs.parameter
        and (letter := _other_parameter(one, two, theirs.parameter, mine))
    ):
        one = _renamed(one, letter, theirs.parameter)
        if mine:
            mine = Qualified(one, _renamed(mine.qualifier, letter, theirs.parameter), letter)
    if mine and theirs and _contradict(mine.qualifier, theirs.qualifier):
        return Equivalence(False, "structure")
    return _decided(_read(one), _read(two), kind, None, tolerance)


def _other_parameter(one: str, two: str, parameter: str, mine: Qualified | None) -> str:
    """Return the letter that an answer has for the free integer of a gold, or nothing."""
    if mine and mine.parameter:
        return mine.parameter if mine.parameter != parameter else ""
    letters = [set(re.findall(r"(?<![A-Za-z\\])[a-zA-Z](?![A-Za-z])", text)) for text in (one, two)]
    extra = letters[0] - letters[1]
    return extra.pop() if len(extra) == 1 and parameter not in letters[0] else ""


def _renamed(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![A-Za-z\\]){re.escape(old)}(?![A-Za-z])", lambda _: new, text)


def _contradict(one: str, two: str) -> bool:
    """Whether two qualifiers exclude each other: `minimum` and `maximum`, x > 0 and x < 0."""
    if are_opposites(one, two):
        return True
    left, right = _read(one), _read(two)
    if not left.trees or not right.trees or left.wordy or right.wordy:
        return False
    return Comparison().same(left.trees[0], right.trees[0]) is False


def _decimal_comma(text: str, gold: Written) -> Written | None:
    """Read 2,74 as 2.74, but only for a gold that has decimals: 2,74 is else a list."""
    bare = text.strip("€$£\\ ")
    return plain(bare.replace(",", ".")) if gold.places and _COMMA.fullmatch(bare) else None


def _numbers(a: Written, b: Written, tolerance: float | None) -> Equivalence:
    if a.value == b.value:
        return Equivalence(True, "number")
    scale = abs(b.value) if b.value else Fraction(1)
    near = bool(tolerance) and abs(a.value - b.value) <= scale * Fraction(tolerance or 0)
    return Equivalence(near or agree(a, b), "rounding" if near else "number")


def _is_choice(gold: _Reading) -> bool:
    """Whether a gold of unstated kind is a choice: B, (b), (B) its text; not A: 3, B: 4."""
    read = choice_letter(gold.raw)
    if read is None or read[0] not in "ABCDEFGHIJ":
        return False
    if read[1]:
        return re.match(r"\W*[A-Ja-j]\s*[).]", gold.raw) is not None
    return len(gold.text) > 1 or gold.text.isupper()


def _choices(
    answer: _Reading, gold: _Reading, options: Mapping[str, str] | None, tolerance: float | None
) -> Equivalence:
    """Compare choices by letter; by the option's text where the answer has no letter."""
    meant = gold_option(gold.raw, options) if options else choice_letter(gold.raw)
    read = choice_letter(answer.raw)
    if meant is None:
        return _by_tree(answer, gold, tolerance)
    known = read is not None and (not options or read[0] in {key.strip("() ") for key in options})
    if read is not None and known:
        return Equivalence(read[0] == meant[0].strip("() ").upper(), "choice")
    if meant[1]:
        text = re.sub(r"^\(?[A-Za-z]\)\s*", "", meant[1])
        equivalence = equivalent(answer.raw, text, kind="expression", tolerance=tolerance)
        return Equivalence(equivalence.equal is True, "choice")
    return Equivalence(answer.words == gold.words, "choice")


def _by_kind(answer: _Reading, gold: _Reading, kind: Kind) -> Equivalence | None:
    """Compare truth values, dates, times and words; None for what is none of them."""
    loose = kind == "boolean"
    right = truth(gold.raw, loose=loose)
    alone = kind == "auto" and " " not in gold.words  # "no solution" is no "no"
    if right is not None and (loose or alone):
        truth_value = truth(answer.raw, loose=True)
        return Equivalence(truth_value is right, "choice")
    if kind in ("auto", "date", "text") and _TEXT_DATE.fullmatch(gold.text):
        day = read_date(gold.text)
        if day is not None:
            return Equivalence(read_date(answer.text) == day, "choice")
    moment = same_time(answer.text, gold.text)
    if moment is not None:
        return Equivalence(moment, "choice")
    if kind in ("text", "date") or gold.wordy or answer.wordy:
        if answer.words == gold.words:
            return Equivalence(True, "text")
        if squeezed(answer.words) == squeezed(gold.words) and gold.wordy:
            return Equivalence(True, "text")
        plain_text = gold.wordy or not gold.trees
        if kind in ("text", "date") and plain_text and "=" not in answer.text:
            return Equivalence(False, "text")
    return None


def _by_tree(answer: _Reading, gold: _Reading, tolerance: float | None) -> Equivalence:
    """Compare what the two may mean; equal where one meaning of each is."""
    if squeezed(answer.text) == squeezed(gold.text):
        return Equivalence(True, "text")
    prepare(gold.text)
    prepare(answer.text)
    tier, verdict = (
        "text",
        False if answer.wordy or gold.wordy or _FIGURES.fullmatch(answer.text) else None,
    )
    mine_read, gold_read = answer.trees, gold.trees
    if gold.number or any(tree.head == "unit" for tree in gold_read):
        mine_read = answer.trees_with_unit  # 5 m for a gold of 5, never 6m for 6
        if not gold.number:
            mine_read = answer.trees_with_tight_unit
        if not mine_read and (figure := plain(number_of_sentence(answer.text))):
            mine_read = [number(figure.value)]
    if any(tree.head == "unit" for tree in mine_read) or _RATE.search(gold.text):
        gold_read = gold.trees_with_tight_unit
    symbolic = SymbolicBudget()
    for mine in mine_read:
        for theirs in gold_read:
            comparison = Comparison(tolerance, symbolic)
            found = comparison.same(mine, theirs)
            if found is True or verdict is None or tier == "text":
                tier, verdict = comparison.state.tier, found
            if found is True:
                return Equivalence(True, tier)
    return Equivalence(verdict, "timeout" if verdict is None and symbolic.timed_out else tier)
