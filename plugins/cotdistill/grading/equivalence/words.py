"""Words that exclude each other: of "5 km east" and "5 km west" one is wrong.

Words that are in one group but not in one row of it are opposites. Words that are in no group may
be present or left out: "5 apples" is 5.
"""

from __future__ import annotations

import re
from functools import lru_cache

# groups of rows; the words of a row mean the same side
_OPPOSITES = """
east eastern eastward eastwards / west western westward westwards / north northern northward
    northwards / south southern southward southwards / northeast / northwest / southeast /
    southwest
left leftward leftmost / right rightward rightmost
up upward upwards / down downward downwards
above over / below under underneath beneath
upper top / lower bottom
increase increased increasing increases rise rose gain gained growth grew grow appreciation
    markup ascent / decrease decreased decreasing decreases fall fell decline declined reduction
    reduced reduce drop dropped loss lost depreciation discount descent
increasing ascending rising / decreasing descending falling
profit profits gain gains surplus / loss losses deficit
before earlier ago prior / after later hence following
early / late
past / future
clockwise / counterclockwise anticlockwise
inside within inner interior internal inward indoors / outside outer exterior external outward
    outdoors
boy boys / girl girls
man men / woman women
male males / female females
father fathers dad / mother mothers mom mum
brother brothers / sister sisters
son sons / daughter daughters
husband / wife
child children kid kids / adult adults
maximum max maxima maximal largest greatest highest biggest most upper / minimum min minimal
    smallest least lowest fewest lower
first / last
more greater higher larger bigger / less fewer lower smaller
faster quicker / slower
older elder / younger
longer / shorter
taller / shorter
heavier / lighter
hotter warmer / colder cooler
farther further / nearer closer
richer / poorer
ahead / behind
positive / negative
even / odd
odds / probability
inclusive / exclusive
included / excluded
convex / concave
open / closed
rational / irrational
real / imaginary complex
horizontal horizontally / vertical vertically
parallel / perpendicular
acute / obtuse / right / reflex
mean average / median / mode / range / variance
sum / difference / product / quotient ratio
numerator / denominator
length / width breadth / height / depth
area / perimeter circumference / volume
radius / diameter / circumference
sine / cosine / tangent
heads head / tails tail
win wins won / lose loses lost loss losses / draw draws drew tie tied
credit credits / debit debits
buy buys bought / sell sells sold
deposit deposits deposited / withdrawal withdrawals withdrawn
income revenue earnings / expense expenses cost costs
pass passed passes / fail failed fails
full / empty
day days daytime / night nights nighttime
morning / afternoon / evening
weekday weekdays / weekend weekends
am / pm
bc bce / ad ce
red / blue / green / yellow / black / white / orange / purple / pink / brown / gray grey
monday / tuesday / wednesday / thursday / friday / saturday / sunday
january / february / march / april / may / june / july / august / september / october / november
    / december
spring / summer / autumn / winter
true / false
yes / no
correct right / incorrect wrong
always / never / sometimes
all every / none no
input / output
start starting initial beginning / end ending final
hot / cold
wet / dry
high / low
long / short
wide / narrow
thick / thin
heavy / light
big large / small
fast / slow
old / new young
rich / poor
near close / far
front / back rear
import imports / export exports
supply / demand
borrower / lender
asset assets / liability liabilities
simple / compound
dependent / independent
continuous / discrete
finite / infinite
divergent diverges / convergent converges
row rows / column columns
"""
_NEGATING = ("non", "non-", "un", "in", "im", "anti", "anti-", "counter", "counter-", "dis")
_SHORTEST = 5  # characters: an income is not the opposite of a come
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


@lru_cache(maxsize=1)
def _sides() -> dict[str, dict[int, int]]:
    """Return the row that each word has in each group that it is in."""
    found: dict[str, dict[int, int]] = {}
    for group, line in enumerate(_OPPOSITES.replace("\n    ", " ").strip().splitlines()):
        for row, words in enumerate(line.split("/")):
            for word in words.split():
                found.setdefault(word, {}).setdefault(group, row)
    return found


@lru_cache(maxsize=4096)
def are_opposites(one: str, two: str) -> bool:
    """Whether one phrase has a word where the other has one that excludes it.

    >>> are_opposites("km east", "km west"), are_opposites("apples", "pieces")
    (True, False)
    >>> are_opposites("rational", "irrational"), are_opposites("increase", "gain")
    (True, False)
    """
    mine, theirs = (set(_WORD.findall(phrase.lower())) for phrase in (one, two))
    only_mine, only_theirs = mine - theirs, theirs - mine
    sides = _sides()
    for left in only_mine:
        for right in only_theirs:
            shared = sides.get(left, {}).keys() & sides.get(right, {}).keys()
            if any(sides[left][group] != sides[right][group] for group in shared):
                return True
            if _negates(left, right) or _negates(right, left):
                return True
    return False


def _negates(longer: str, word: str) -> bool:
    return len(word) >= _SHORTEST and any(longer == start + word for start in _NEGATING)
