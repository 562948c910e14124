"""Whether training rows hold questions of a test set: six rules, from strict to loose.

    same_question     all words equal; number formats and punctuation do not matter
    same_stem         a multiple-choice question with the same words before its choices
    same_but_numbers  all words equal once every number is made the same
    most_of_question  half of the runs of 8 words of a test question, or of its stem; a question of
                      fewer words as a whole, if it has at least four
    thirteen_words    13 words in a row in common (GPT-3's rule)
    eight_words       8 words in a row in common (the rule of GPT-2, s1 and open-r1)

Wrappers around a question, markup, invisible characters and how LaTeX lays a formula out make no
difference. The last three look
at the questions and rationales of the training rows; a short question is looked for in questions
only. 13 words in common with a test question's gold rationale count too; 8 do not, since many
solutions have steps such as "3 x 4 = 12 so she has 12". Runs that are in more than ten test
questions are boilerplate of the test set and do not count. In scripts without spaces a run of 8 or
13 words is 12 or 20 characters of Chinese or Japanese, 25 or 40 of Thai, Lao, Khmer or Burmese.

The first two rules and `most_of_question` recognise a test question; the looser ones also mark
questions that are made from the same template. Of the rows of Mentor-KD's training files,
`thirteen_words` marks 254 of 258 of date understanding, 525 of 525 of shuffled objects and 104 of
700 of SVAMP, `most_of_question` 5, 306 and 5; both find each test question in a wrapper.

Source: Radford et al. 2019, section 4 (8 words); Brown et al. 2020, arXiv:2005.14165, appendix C
(13 words, and leaving out runs found more than ten times); Chowdhery et al. 2022, arXiv:2204.02311,
section 8 (a share of the 8-grams of a question; 70 % there).
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cotdistill.benchmarks.question import asked_only
from cotdistill.corpus.text.words import (
    I64,
    SCRIPTS,
    U64,
    Words,
    scrambled,
    shingles,
    spelled,
    text_keys,
    words_of,
)

RULES = (
    "same_question", "same_stem", "same_but_numbers", "most_of_question", "thirteen_words",
    "eight_words",
)  # fmt: skip
BOILERPLATE = 10
MOST = 0.5

_EIGHT = {"spaced": 8, "han": 12, "thai": 25}
_THIRTEEN = {"spaced": 13, "han": 20, "thai": 40}
_FEWEST_WORDS = 4  # a shorter question is found by its whole text only

_CHOICES = re.compile(
    r"\b(?:answer\s+choices|options|choices)\s*:|\bwhich choice is true\?", re.IGNORECASE
)
_MARKUP = re.compile(
    r"</?(?:p|b|i|u|em|strong|br|div|span|li|ul|ol|h[1-6]|su[bp]|code|pre|table|t[rdh]|font|a|img|hr)"
    r"(?:\s+[a-z-]+\s*=[^<>]{0,200})?\s*/?>|<\|[^|<>]{1,40}\|>",
    re.IGNORECASE,
)
_LAYOUT = re.compile(  # of a formula: how it looks, not what it says
    r"\\(?:left|right|[bB]igg?[lmr]?|middle|(?:display|text|script)style|text(?:bf|it|rm|normal)?"
    r"|math(?:rm|bf|it|sf|bb)|operatorname\*?|mbox|boldsymbol|q?quad|limits|hspace\{[^{}]{0,20}\})"
    r"(?![A-Za-z])|\\[,;:! ]"
)
_SAME_COMMAND = re.compile(
    r"\\(?:[dtc](?=frac(?![A-Za-z]))|(?P<two>le|ge|ne)(?:q|qslant)(?![A-Za-z]))"
)
_SYMBOLS = {
    "≤": "le", "⩽": "le", "≥": "ge", "⩾": "ge", "≠": "ne", "√": "sqrt", "∞": "infty", "°": "circ",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi",
    "ψ": "psi", "ω": "omega",
}  # fmt: skip
"""Characters of formulas, and the LaTeX command that says the same."""
_SYMBOL = re.compile("[≤⩽≥⩾≠√∞°]|(?<![α-ωΑ-Ω])[αβγδεζηθικλμνξπρστυφχψω](?![α-ωΑ-Ω])")
_OPERATOR = re.compile(r"(?<=[\w)\]}])\s*([-+*/^=<>%−–×÷·⋅])\s*(?=[\w(\[{\\])")
_ONE_SPELLING = str.maketrans("−–×·⋅÷", "--***/")
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
    """Sorted hashes, the owner of each, and a sieve that answers most look-ups at once."""

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
        places, begin, _ = self._ranges(wanted)
        return places, self.owners[begin]

    def all_found(self, wanted: U64) -> tuple[I64, I64]:
        """Return the places in `wanted` that are here once for each owner, and the owners."""
        places, begin, end = self._ranges(wanted)
        counts = end - begin
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(places, counts), self.owners[np.repeat(begin, counts) + within]

    def _ranges(self, wanted: U64) -> tuple[I64, I64, I64]:
        likely = np.flatnonzero(
            self.sieve[(wanted >> np.uint64(64 - _SIEVE_BITS)).astype(np.int64)]
        )
        begin = np.searchsorted(self.hashes, wanted[likely])
        end = np.searchsorted(self.hashes, wanted[likely], side="right")
        here = begin < end
        return likely[here], begin[here], end[here]


@dataclass(frozen=True)
class _Parts:
    """The questions and stems of test questions as runs of 8 words, or whole if they are short.

    Shapes: owner, runs [texts]: the test question of each text, and how many of its runs are in
        `eight`. lengths: the numbers of words of the short texts.
    """

    owner: I64
    runs: I64
    eight: _Keys
    short: _Keys
    short_beginnings: _Keys
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class HeldOutIndex:
    """The questions of test sets, ready to be looked up."""

    questions: tuple[HeldOut, ...]
    whole: _Keys
    stem: _Keys
    masked: _Keys
    parts: _Parts
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


def bare(question: str) -> str:
    r"""Return a question without a leading `Q:`, without markup and without its instruction.

    Formulas are written one way: without LaTeX that only says how they look, with one command
    where two say the same, and commands for the characters of formulas.

    >>> bare("Q: Is <b>ice</b> cold?"), bare("Is a<b and b>c?")
    ('Is  ice  cold?', 'Is a<b and b>c?')
    >>> bare("Is $\\dfrac12\\leq \\left(x\\right)$?"), bare("Tom&#39;s √2")
    ('Is $\\frac12\\le  (x )$?', "Tom's  sqrt 2")
    """
    question = asked_only(question)
    if "&" in question:
        question = html.unescape(question)
    if "<" in question:
        question = _MARKUP.sub(" ", question)
    if "\\" in question:
        question = _SAME_COMMAND.sub(_command, _LAYOUT.sub(" ", question))
    if not question.isascii():
        question = _SYMBOL.sub(lambda found: f" {_SYMBOLS[found[0]]} ", question)
    return question


def _command(found: re.Match[str]) -> str:
    return f"\\{found['two'] or ''}"


def stem(question: str) -> str:
    """Return the part of a multiple-choice question before its choices, else nothing.

    >>> stem("Q: What is cold? Answer choices: A: ice, B: fire"), stem("Is ice cold?")
    ('What is cold? ', '')
    """
    question = bare(question)
    choices = _CHOICES.search(question) if ":" in question or "true?" in question else None
    return question[: choices.start()] if choices else ""


def index_of(questions: Sequence[HeldOut]) -> HeldOutIndex:
    """Prepare test questions for `overlaps`."""
    asked = words_of([bare(entry.question) for entry in questions])
    everyone = np.arange(len(questions), dtype=np.int64)
    stem_words = words_of([stem(entry.question) for entry in questions])
    stems = text_keys(stem_words)
    golds = words_of([entry.rationale for entry in questions])
    masked = _masked(asked)
    return HeldOutIndex(
        tuple(questions),
        _Keys.of(text_keys(asked), everyone),
        _Keys.of(stems[stems != 0], everyone[stems != 0]),
        _Keys.of(masked[masked != 0], everyone[masked != 0]),
        _parts_of(asked, stem_words),
        _Keys.of(*_runs_of(_EIGHT, asked)),
        _Keys.of(*_runs_of(_THIRTEEN, asked, golds)),
        _Keys.of(*_runs_of(_EIGHT, asked, golds, commonest=len(questions))),
    )


def overlaps(
    index: HeldOutIndex, questions: Sequence[str], asked: Words, rationales: Words
) -> Overlaps:
    """Find the test questions that training rows hold, each pair under its strictest rule.

    Shapes: questions [rows]; asked are the words of `bare` of these, rationales those of the
        rows' rationales.

    >>> index = index_of([HeldOut("toy", "1", "Tom has 3 red pens. How many pens?", "3")])
    >>> training = ["Tom has 3 red pens, how many pens?", "Tom has 4 red pens. How many pens?",
    ...             "Think first. Tom has 3 red pens. How many pens? Now answer."]
    >>> hits = overlaps(index, training, words_of(training), words_of(["", "", ""]))
    >>> [(int(row), RULES[rule]) for row, rule in zip(hits.row, hits.rule)]
    [(0, 'same_question'), (1, 'same_but_numbers'), (2, 'most_of_question')]
    """
    likely = [_likely(index, words) for words in (asked, rationales)]
    found = [
        index.whole.found(text_keys(asked)),
        index.stem.found(text_keys(words_of([stem(question) for question in questions]))),
        index.masked.found(_masked(asked)),
        _joined([_parts_in(index.parts, likely), _short_in(index, questions, asked)]),
        _joined([_runs_in(index.thirteen, _THIRTEEN, likely)]),
        _joined([_runs_in(index.eight, _EIGHT, likely)]),
    ]
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


def _runs_in(keys: _Keys, length: dict[str, int], likely: Sequence[_Likely]) -> tuple[I64, I64]:
    """Return row and test question of every run of words that is in the keys."""
    rows: list[I64] = []
    owners: list[I64] = []
    for texts, words in likely:
        hashes, at = shingles(words, _lengths(words, length))
        places, owner = keys.found(hashes)
        rows.append(texts[words.text_of(at[places])])
        owners.append(owner)
    return np.concatenate(rows), np.concatenate(owners)


def _parts_in(parts: _Parts, likely: Sequence[_Likely]) -> tuple[I64, I64]:
    """Return row and test question where a row has at least half of the runs of a question.

    A question with the runs a b c d e, of which c is boilerplate, counts four. A row with the runs
    x a b y has two of them, which is enough; the same run found twice counts once.
    """
    rows: list[I64] = []
    owners: list[I64] = []
    for texts, words in likely:
        hashes, at = shingles(words, _lengths(words, _EIGHT))
        places, text = parts.eight.all_found(hashes)
        row = texts[words.text_of(at[places])]
        hits = np.unique(np.stack([row, text, hashes[places].view(np.int64)], axis=1), axis=0)
        pairs, counts = np.unique(hits[:, :2], axis=0, return_counts=True)
        most = counts >= MOST * parts.runs[pairs[:, 1]]
        rows.append(pairs[most, 0])
        owners.append(parts.owner[pairs[most, 1]])
    return np.concatenate(rows), np.concatenate(owners)


def _short_in(index: HeldOutIndex, questions: Sequence[str], asked: Words) -> tuple[I64, I64]:
    """Return row and test question where a row's question holds a short test question whole."""
    parts = index.parts
    hashes, at = shingles(asked, _FEWEST_WORDS)
    places, _ = parts.short_beginnings.found(hashes)
    texts = np.unique(asked.text_of(at[places]))
    words = asked.only(texts)
    pairs: set[tuple[int, int]] = set()
    for length in parts.lengths if len(texts) else ():
        hashes, at = shingles(words, length)
        places, text = parts.short.all_found(hashes)
        rows = texts[words.text_of(at[places])]
        pairs.update(zip(rows.tolist(), parts.owner[text].tolist(), strict=True))
    kept = sorted(
        (row, owner)
        for row, owner in pairs
        if _has_operators(questions[row], index.questions[owner].question)
    )
    found = np.array(kept, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _has_operators(question: str, short: str) -> bool:
    """Whether the arithmetic operators of a short question follow each other in a longer one.

    Words leave them out, so that `2 + 2` and `2 / 2` have the same words.
    """
    wanted, there = _operators(short), _operators(question)
    return any(
        there[place : place + len(wanted)] == wanted
        for place in range(len(there) - len(wanted) + 1)
    )


def _operators(question: str) -> list[str]:
    return _OPERATOR.findall(bare(question).translate(_ONE_SPELLING))


def _parts_of(asked: Words, stems: Words) -> _Parts:
    texts = len(asked.counts)
    owner = np.concatenate([np.arange(texts)] * 2).astype(np.int64)
    runs, of_text = [], []
    short, short_text, beginnings = [], [], []
    lengths: set[int] = set()
    for before, words in ((0, asked), (texts, stems)):
        hashes, at = shingles(words, _lengths(words, _EIGHT))
        text = words.text_of(at)
        runs.append(hashes)
        of_text.append(text + before)
        is_short = np.ones(len(words.counts), dtype=bool)
        is_short[text] = False
        is_short &= _weights(words) >= _FEWEST_WORDS
        which = np.flatnonzero(is_short & (words.counts >= _FEWEST_WORDS))
        first = words.first[which]
        short.append(words.runs(first, words.first[which + 1]))
        short_text.append(which + before)
        beginnings.append(words.runs(first, first + _FEWEST_WORDS))
        lengths.update(words.counts[which].tolist())
    run, text = _without_boilerplate(np.concatenate(runs), np.concatenate(of_text), BOILERPLATE)
    known, owners = np.concatenate(short), np.concatenate(short_text)
    rare = _rare(known, sorted(lengths), asked)
    return _Parts(
        owner,
        np.bincount(text, minlength=2 * texts),
        _Keys.of(run, text),
        _Keys.of(known[rare], owners[rare]),
        _Keys.of(np.concatenate(beginnings)[rare], owners[rare]),
        tuple(sorted(lengths)),
    )


def _rare(short: U64, lengths: Sequence[int], asked: Words) -> NDArray[np.bool_]:
    """Mark the short texts that are in no more than ten test questions."""
    times = np.zeros(len(short), dtype=np.int64)
    for length in lengths:
        hashes, at = shingles(asked, length)
        inside = np.isin(hashes, short)
        found = np.unique(
            np.stack([hashes[inside].view(np.int64), asked.text_of(at[inside])]), axis=1
        )
        values, counts = np.unique(found[0].view(np.uint64), return_counts=True)
        place = np.minimum(np.searchsorted(values, short), max(len(values) - 1, 0))
        if len(values):
            times += np.where(values[place] == short, counts[place], 0)
    return times <= BOILERPLATE


def _weights(words: Words) -> NDArray[np.float64]:
    """Return the words of each text; a character of a script without spaces is part of one."""
    weight = np.array([_EIGHT["spaced"] / _EIGHT[name] for name in SCRIPTS])[words.script]
    return np.diff(np.concatenate([[0.0], np.cumsum(weight)])[words.first])


def _lengths(words: Words, length: dict[str, int]) -> I64:
    """Return how many words a run that begins at each word has."""
    return np.array([length[name] for name in SCRIPTS], dtype=np.int64)[words.script]


_Likely = tuple[I64, Words]


def _likely(index: HeldOutIndex, words: Words) -> _Likely:
    """Return the texts that hold 8 words in a row of any test text, and their words.

    A run of 13 words begins with one of 8, so no other text can be found by a rule on runs.
    """
    hashes, at = shingles(words, _lengths(words, _EIGHT))
    places, _ = index.any_eight.found(hashes)
    texts = np.unique(words.text_of(at[places]))
    return texts, words.only(texts)


def _joined(pairs: Sequence[tuple[I64, I64]]) -> tuple[I64, I64]:
    return np.concatenate([rows for rows, _ in pairs]), np.concatenate([own for _, own in pairs])


def _runs_of(
    length: dict[str, int], *texts_of_questions: Words, commonest: int = BOILERPLATE
) -> tuple[U64, I64]:
    runs: list[U64] = []
    owners: list[I64] = []
    for words in texts_of_questions:
        hashes, at = shingles(words, _lengths(words, length))
        runs.append(hashes)
        owners.append(words.text_of(at))
    return _without_boilerplate(np.concatenate(runs), np.concatenate(owners), commonest)


def _without_boilerplate(run: U64, owner: I64, commonest: int) -> tuple[U64, I64]:
    """Return each run once for each owner, without those that have too many owners."""
    with np.errstate(over="ignore"):
        _, first = np.unique(run + scrambled(owner.astype(np.uint64)), return_index=True)
    run, owner = run[first], owner[first]
    _, group, counts = np.unique(run, return_inverse=True, return_counts=True)
    keep = counts[group] <= commonest
    return run[keep], owner[keep]
