"""Whether training rows hold questions of a test set: five rules, from strict to loose.

    same_question     all words equal; how numbers and signs are written does not matter
    same_stem         a multiple-choice question with the same words before its choices
    same_but_numbers  all words equal once every number is made the same
    thirteen_words    13 words in a row in common (GPT-3's rule)
    eight_words       8 words in a row in common (the rule of GPT-2, s1 and open-r1)

The last two look at the questions and rationales of the training rows. 13 words in common with a
test question's gold rationale count too; 8 do not, since steps such as "3 x 4 = 12 so she has 12"
are everybody's. Runs that stand in more than ten test questions are boilerplate of the test set and
do not count.

Source: Radford et al. 2019, section 4 (8 words); Brown et al. 2020, arXiv:2005.14165, appendix C
(13 words, and leaving out runs found more than ten times).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotdistill.benchmarks.question import without_label
from cotdistill.corpus.text.words import (
    I64,
    U64,
    Words,
    scrambled,
    shingles,
    spelled,
    text_keys,
    words_of,
)

RULES = ("same_question", "same_stem", "same_but_numbers", "thirteen_words", "eight_words")
BOILERPLATE = 10

_CHOICES = re.compile(
    r"\b(?:answer\s+choices|options|choices)\s*:|\bwhich choice is true\?", re.IGNORECASE
)
_SIEVE_BITS = 24


@dataclass(frozen=True)
class HeldOut:
    """One question that must not be trained on, and how to name it."""

    benchmark: str
    id: str
    question: str
    gold: str
    rationale: str = ""


@dataclass(frozen=True)
class _Keys:
    """Sorted hashes, the test question of each, and a sieve that answers most look-ups at once."""

    hashes: U64
    owners: I64
    sieve: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: U64, owners: I64) -> _Keys:
        order = np.lexsort((owners, hashes))
        sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
        sieve[(hashes >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)] = True
        return cls(hashes[order], owners[order], sieve)

    def found(self, wanted: U64) -> tuple[I64, I64]:
        """Return the places in `wanted` that are here, and the first owner of each."""
        likely = np.flatnonzero(
            self.sieve[(wanted >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)]
        )
        at = np.searchsorted(self.hashes, wanted[likely])
        here = at < len(self.hashes)
        here[here] = self.hashes[at[here]] == wanted[likely][here]
        return likely[here], self.owners[at[here]]


@dataclass(frozen=True)
class HeldOutIndex:
    """The questions of test sets, ready to be looked up."""

    questions: tuple[HeldOut, ...]
    whole: _Keys
    stem: _Keys
    masked: _Keys
    eight: _Keys
    thirteen: _Keys
    any_eight: _Keys


@dataclass(frozen=True)
class Overlaps:
    """What was found: training row, test question and rule of each hit.

    Shapes: row, owner, rule [hits]; rule is a place in RULES.
    """

    row: I64
    owner: I64
    rule: I64


def stem(question: str) -> str:
    """Return what stands before the choices of a multiple-choice question, else nothing.

    >>> stem("Q: What is cold? Answer choices: A: ice, B: fire"), stem("Is ice cold?")
    ('What is cold? ', '')
    """
    question = without_label(question)
    choices = _CHOICES.search(question) if ":" in question or "true?" in question else None
    return question[: choices.start()] if choices else ""


def index_of(questions: Sequence[HeldOut]) -> HeldOutIndex:
    """Prepare test questions for `overlaps`."""
    asked = words_of([without_label(entry.question) for entry in questions])
    everyone = np.arange(len(questions), dtype=np.int64)
    stems = text_keys(words_of([stem(entry.question) for entry in questions]))
    golds = words_of([entry.rationale for entry in questions])
    masked = _masked(asked)
    return HeldOutIndex(
        tuple(questions),
        _Keys.of(text_keys(asked), everyone),
        _Keys.of(stems[stems != 0], everyone[stems != 0]),
        _Keys.of(masked[masked != 0], everyone[masked != 0]),
        _runs_of(8, asked),
        _runs_of(13, asked, golds),
        _runs_of(8, asked, golds, commonest=len(questions)),
    )


def overlaps(
    index: HeldOutIndex, questions: Sequence[str], asked: Words, rationales: Words
) -> Overlaps:
    """Find the test questions that training rows hold, each pair under its strictest rule.

    Shapes: questions [rows]; asked are the words of these without their labels, rationales
        those of the rows' rationales.

    >>> index = index_of([HeldOut("toy", "1", "Tom has 3 red pens. How many pens?", "3")])
    >>> training = ["Tom has 3 red pens, how many pens?", "Tom has 4 red pens. How many pens?"]
    >>> hits = overlaps(index, training, words_of(training), words_of(["", ""]))
    >>> [(int(row), RULES[rule]) for row, rule in zip(hits.row, hits.rule)]
    [(0, 'same_question'), (1, 'same_but_numbers')]
    """
    found = [
        index.whole.found(text_keys(asked)),
        index.stem.found(text_keys(words_of([stem(question) for question in questions]))),
        index.masked.found(_masked(asked)),
    ]
    likely = [_likely(index, words) for words in (asked, rationales)]
    for keys, length in ((index.thirteen, 13), (index.eight, 8)):
        rows: list[I64] = []
        owners: list[I64] = []
        for texts, words in likely:
            hashes, at = shingles(words, length)
            places, owner = keys.found(hashes)
            rows.append(texts[np.searchsorted(words.first, at[places], side="right") - 1])
            owners.append(owner)
        found.append((np.concatenate(rows), np.concatenate(owners)))
    row = np.concatenate([rows for rows, _ in found])
    owner = np.concatenate([owners for _, owners in found])
    rule = np.repeat(np.arange(len(RULES)), [len(rows) for rows, _ in found])
    order = np.lexsort((rule, owner, row))
    row, owner, rule = row[order], owner[order], rule[order]
    strictest = np.ones(len(row), dtype=bool)
    strictest[1:] = (row[1:] != row[:-1]) | (owner[1:] != owner[:-1])
    return Overlaps(row[strictest], owner[strictest], rule[strictest])


def shared_run(text: str, other: str) -> str:
    """Return the longest run of words that two texts share, as compared; the first if several.

    >>> shared_run("so Tom has 1,000 pens now", "when Tom has 1000 pens")
    'tom has 1000 pens'
    """
    one, two = spelled(text), spelled(other)
    best, end = 0, 0
    before = [0] * (len(two) + 1)
    for place, word in enumerate(one):
        now = [0] * (len(two) + 1)
        for across, candidate in enumerate(two, start=1):
            if candidate == word:
                now[across] = before[across - 1] + 1
                if now[across] > best:
                    best, end = now[across], place + 1
        before = now
    return " ".join(one[end - best : end])


def _masked(asked: Words) -> U64:
    """Return one hash a text that its numbers do not change; 0 where a text has no number."""
    running = np.concatenate([[0], np.cumsum(asked.numeric)])
    has_number = running[asked.first[1:]] > running[asked.first[:-1]]
    return np.where(has_number, text_keys(asked.without_numbers()), np.uint64(0))


def _likely(index: HeldOutIndex, words: Words) -> tuple[I64, Words]:
    """Return the texts that hold 8 words in a row of any test text, and their words.

    13 words in a row begin with 8, so no other text can be found by either rule.
    """
    hashes, at = shingles(words, 8)
    places, _ = index.any_eight.found(hashes)
    texts = np.unique(np.searchsorted(words.first, at[places], side="right") - 1)
    return texts, words.only(texts)


def _runs_of(length: int, *texts_of_questions: Words, commonest: int = BOILERPLATE) -> _Keys:
    runs: list[U64] = []
    owners: list[I64] = []
    for words in texts_of_questions:
        hashes, at = shingles(words, length)
        runs.append(hashes)
        owners.append(np.searchsorted(words.first, at, side="right") - 1)
    run, owner = np.concatenate(runs), np.concatenate(owners)
    with np.errstate(over="ignore"):
        _, first = np.unique(run + scrambled(owner.astype(np.uint64)), return_index=True)
    run, owner = run[first], owner[first]
    _, group, counts = np.unique(run, return_inverse=True, return_counts=True)
    keep = counts[group] <= commonest
    return _Keys.of(run[keep], owner[keep])
