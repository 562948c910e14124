"""Puzzles made by rule: questions whose rationales can be written out at any granularity.

The quickstart needs reasoning that a student of a few hundred thousand weights can learn from
nothing in a minute, with no download and no teacher. Each puzzle is a chain of six small steps.
*Level* L writes the chain in L lines: 6 says the state after every step, 3 after every second one,
1 jumps to the end in one line, 0 says the answer alone. The same family, rows and seed give the
same questions at every level, so arms differ in nothing but their rationales.

A line restates its part of the question word for word and then tells the state, so what a line
needs always lies at the same distance back (distances that vary take a small student many times
longer to learn than the steps themselves), and rationales of levels that divide six are all equally
long.

Training and held-out questions never meet: a hash of the question says to which side it belongs,
whatever the seed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from cotdistill.errors import DataError, Fault, did_you_mean

STEPS = 6
Split = Literal["train", "test"]

_HELD_OUT_IN_256 = 32  # an eighth of all questions is kept for tests
_CUPS = "ABCD"
# fmt: off
_WORDS = (
    "lamp", "river", "stone", "cloud", "bread", "chair", "tiger", "apple", "music", "ocean",
    "paper", "robin", "spoon", "cabin", "maple", "pearl", "queen", "storm", "basil", "wagon",
    "kayak", "eagle", "tulip", "radio", "piano", "comet", "gravy", "opera", "canal", "bench",
)
# fmt: on


@dataclass(frozen=True)
class Puzzle:
    """One question with its written-out rationale, whose last line states the answer."""

    id: str
    family: str
    level: int
    question: str
    rationale: str
    answer: str


@dataclass(frozen=True)
class _Family:
    """How one kind of puzzle is drawn, asked, and solved part by part."""

    kind: Literal["number", "letter", "text"]
    about: str
    choices: tuple[str, ...]
    """What a step can be; six are drawn with replacement."""
    joint: str
    """Stands between two steps, in the question and inside a line of the rationale."""
    asked: str
    state: Callable[[Sequence[str]], str]
    """What steps lead to."""
    running: bool
    """Whether a line tells what all steps so far lead to, or its own alone."""


def _digit_sum(steps: Sequence[str]) -> str:
    return str(sum(map(int, steps)) % 10)


def _under_cup(steps: Sequence[str]) -> str:
    under = _CUPS[0]
    for swap in steps:
        one, other = swap[0], swap[1]
        under = {one: other, other: one}.get(under, under)
    return under


def _last_letters(steps: Sequence[str]) -> str:
    return "".join(word[-1] for word in steps)


FAMILIES: dict[str, _Family] = {
    "digit-sum": _Family(
        kind="number",
        about="running sums of six digits, of which only the last digit is kept",
        choices=tuple("0123456789"),
        joint=", ",
        asked="Start at 0. Add {steps}. What is the last digit?",
        state=_digit_sum,
        running=True,
    ),
    "ball": _Family(
        kind="letter",
        about="where a ball is after six swaps of four cups",
        choices=tuple(one + other for one in _CUPS for other in _CUPS if one != other),
        joint=", ",
        asked="The ball is under cup A. Swap {steps}. Under which cup is the ball?",
        state=_under_cup,
        running=True,
    ),
    "last-letters": _Family(
        kind="text",
        about="the last letters of six words, written together",
        choices=_WORDS,
        joint=", ",
        asked="Take the last letters of {steps}. What do they spell?",
        state=_last_letters,
        running=False,
    ),
}


def draw_puzzles(family: str, level: int, rows: int, seed: int, split: Split) -> Iterator[Puzzle]:
    """Yield different puzzles of one family, their rationales at one level of granularity.

    The questions depend on family, seed and split, not on the level or on how many are asked for.

    Raises:
        DataError: there is no such family or level, or more rows are asked for than half of the
            family's questions on that side.

    >>> puzzle = next(draw_puzzles("digit-sum", level=3, rows=1, seed=7, split="train"))
    >>> puzzle.question
    'Start at 0. Add 2, 7, 2, 5, 8, 1. What is the last digit?'
    >>> print(puzzle.rationale)
    2, 7 =9
    2, 5 =6
    8, 1 =5
    The answer is 5.
    """
    _check(family, level, rows, split)
    chosen = FAMILIES[family]
    source = random.Random(f"{family}/{split}/{seed}")  # text seeds hash the same everywhere
    seen: dict[tuple[str, ...], None] = {}
    while len(seen) < rows:
        steps = tuple(source.choice(chosen.choices) for _ in range(STEPS))
        question = chosen.asked.format(steps=chosen.joint.join(steps))
        if steps not in seen and side_of(question) == split:
            seen[steps] = None
            yield Puzzle(
                id=f"{family}-{_digest(question)[:12]}",
                family=family,
                level=level,
                question=question,
                rationale=_rationale(chosen, steps, level),
                answer=chosen.state(steps),
            )


def side_of(question: str) -> Split:
    """Say to which side a question belongs, by its own hash: every draw agrees.

    >>> {side_of(f"question {n}") for n in range(100)} == {"train", "test"}
    True
    """
    return "test" if bytes.fromhex(_digest(question))[0] < _HELD_OUT_IN_256 else "train"


def _rationale(family: _Family, steps: tuple[str, ...], level: int) -> str:
    lines = []
    for number in range(level):
        start, end = STEPS * number // level, STEPS * (number + 1) // level
        state = family.state(steps[0 if family.running else start : end])
        lines.append(f"{family.joint.join(steps[start:end])} ={state}")
    return "\n".join([*lines, f"The answer is {family.state(steps)}."])


def _digest(question: str) -> str:
    return hashlib.sha256(question.encode("utf-8")).hexdigest()


def _check(family: str, level: int, rows: int, split: Split) -> None:
    if family not in FAMILIES:
        wrong = f"no puzzle family '{family}'"
        raise DataError(Fault("puzzles", wrong, "", did_you_mean(family, list(FAMILIES))))
    if not 0 <= level <= STEPS:
        wrong = f"level {level}"
        raise DataError(Fault(f"puzzles {family}", wrong, f"0 (answer only) to {STEPS} (finest)"))
    held_out = len(FAMILIES[family].choices) ** STEPS * _HELD_OUT_IN_256 // 256
    there = held_out if split == "test" else len(FAMILIES[family].choices) ** STEPS - held_out
    if not 0 < rows <= there // 2:  # beyond that, drawing without repeats becomes a long search
        wrong = f"{rows} rows for {split}"
        raise DataError(Fault(f"puzzles {family}", wrong, f"1 to {there // 2} rows"))
