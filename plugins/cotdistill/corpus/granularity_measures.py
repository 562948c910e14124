"""How finely a rationale is worked out, and whether a level that asks for more gives more.

Steps are lines or numbered items with something in them, whichever are more; a rationale of one
line has as many steps as sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

MEASURES = ("steps", "sentences", "equations", "characters", "words")

_SENTENCE = re.compile(r"[.!?。！？]+[\"')\]]*(?=\s|$)")
_ITEM = re.compile(  # at the start of a line or behind a full stop, so that "= 12. Then" is none
    r"(?:^\s*(?:step\s+)?\d{1,2}[.):]\s+"
    # within a line, what follows is on it too: "given: 6." at the end of a line is no item 6
    r"|(?:(?<=[.:;!?)])\s*|(?<=\s)(?=step))(?:step\s+)?\d{1,2}[.):][^\S\n]+)(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERED = re.compile(r"\d[.):]\s")  # quicker: a text without this has no items
_EQUATION = re.compile(r"(?<![<>!=:])=(?!=)|\\approx|≈")


@dataclass(frozen=True, slots=True)
class Granularity:
    """The measures of one rationale; `tokens` where a tokenizer counted them."""

    steps: int
    sentences: int
    equations: int
    characters: int
    words: int
    tokens: int | None = None


@dataclass(frozen=True)
class LevelOrder:
    """How a level compares with the one below it, on the questions that both have.

    Units: `kept` and `longer` are shares in [0, 1]: questions whose text is at least as long, and
    longer; `ratio` is the mean length divided by that of the level below.
    """

    lower: str
    upper: str
    questions: int
    kept: float
    longer: float
    ratio: float

    @property
    def is_longer(self) -> bool:
        """Whether the upper level is longer on average."""
        return self.ratio > 1.0


def granularity(rationale: str, tokens: int | None = None) -> Granularity:
    r"""Measure one rationale.

    >>> granularity("1. Take 290.\n2. Halve it: 290 / 2 = 145.\nThe answer is 145.")
    Granularity(steps=3, sentences=3, equations=1, characters=59, words=15, tokens=None)
    >>> granularity("In steps:1. 3 x 4 = 12.2. 12 - 2 = 10. So 10.").steps
    2
    >>> granularity("3 x 4 = 12. 12 - 2 = 10. The answer is 10.").sentences
    3
    """
    text = rationale.strip()
    return Granularity(
        step_number(text),
        _sentences(text),
        len(_EQUATION.findall(text)),
        len(text),
        len(text.split()),
        tokens,
    )


def step_number(rationale: str) -> int:
    r"""Return the number of steps alone, which takes a fifth of the time of all measures.

    >>> step_number("1. Take 290.\n2. Halve it."), step_number("Take 290. Halve it.")
    (2, 2)
    >>> step_number("1. Trays: 6.\n2. Buns: 4.\nSo 24.")
    3
    """
    text = rationale.strip()
    lines = sum(1 for line in text.split("\n") if line.strip())
    items = len(_ITEM.findall(text)) if _NUMBERED.search(text) else 0
    return max(lines, items) if max(lines, items) > 1 else _sentences(text)


def _sentences(text: str) -> int:
    body = _ITEM.sub(" ", text) if _NUMBERED.search(text) else text
    sentences = len(_SENTENCE.findall(body)) or int(bool(text))
    if body and not _SENTENCE.search(body[-3:]):
        sentences += int(bool(_SENTENCE.search(body)))  # a last sentence without its full stop
    return sentences


def level_orders(lengths: Mapping[str, Mapping[str, float]]) -> list[LevelOrder]:
    """Compare each level with the one before it, question by question.

    Shapes: lengths [levels in their order][question] = length of its rationale.

    >>> orders = level_orders({"1": {"a": 10, "b": 20}, "2": {"a": 15, "b": 18, "c": 9}})
    >>> orders[0].questions, orders[0].kept, orders[0].is_longer
    (2, 0.5, True)
    """
    orders = []
    for (lower, below), (upper, above) in pairwise(lengths.items()):
        shared = [question for question in below if question in above]
        if not shared:
            orders.append(LevelOrder(lower, upper, 0, 0.0, 0.0, 0.0))
            continue
        kept = sum(above[question] >= below[question] for question in shared)
        longer = sum(above[question] > below[question] for question in shared)
        total = sum(below[question] for question in shared)
        ratio = sum(above[question] for question in shared) / total if total else 0.0
        orders.append(
            LevelOrder(lower, upper, len(shared), kept / len(shared), longer / len(shared), ratio)
        )
    return orders


def order_kept_throughout(lengths: Mapping[str, Mapping[str, float]]) -> tuple[int, float]:
    """Return the questions that all levels have, and the share whose length never falls.

    >>> order_kept_throughout({"1": {"a": 1, "b": 2}, "2": {"a": 2, "b": 1}})
    (2, 0.5)
    """
    levels = list(lengths.values())
    if not levels:
        return 0, 0.0
    shared = [question for question in levels[0] if all(question in level for level in levels)]
    kept = sum(
        all(below[question] <= above[question] for below, above in pairwise(levels))
        for question in shared
    )
    return len(shared), kept / len(shared) if shared else 0.0
