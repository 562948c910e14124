"""Many texts become arrays of word hashes at once; all comparing of texts starts here.

A word is a run of letters and digits in lower case. Numbers are written one way: 1,000 is 1000,
2.50 stays 2.50, 3.0 and 3.00 are 3. Everything else only separates. Hashes are arithmetic on 64-bit
integers written here, so that they are the same on every machine and in every release.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]

_BYTE_BASE = np.uint64(0x9E3779B97F4A7C15)
_WORD_BASE = np.uint64(0xD1342543DE82EF95)
_POWERS_AT_HAND = 1 << 20
_ANY_NUMBER = np.uint64(0x5851F42D4C957F2D)

_LETTERS_AND_DIGITS = bytes(
    byte if (chr(byte).isalnum() and byte < 128) or byte >= 128 or byte in b"\0.," else 32
    for byte in range(256)
)
_IN_WORD: NDArray[np.bool_] = np.array([chr(b).isalnum() or b >= 128 for b in range(256)])
_TYPOGRAPHY = str.maketrans(dict.fromkeys("‘’“”′″«»–—−‐‑…·×÷\u00a0\u2009\u202f", " "))


@dataclass(frozen=True)
class Words:
    """The words of many texts in a row.

    Shapes: hashes, numeric [words]; first [texts + 1]: text t has words first[t] .. first[t+1]-1.
    """

    hashes: U64
    numeric: NDArray[np.bool_]
    first: I64

    @property
    def counts(self) -> I64:
        """Words in each text."""
        return np.diff(self.first)

    def only(self, texts: I64) -> Words:
        """Return the words of some of the texts, which are given in order.

        >>> words_of(["a b", "c", "d e"]).only(np.array([0, 2])).first.tolist()
        [0, 2, 4]
        """
        first = np.zeros(len(texts) + 1, dtype=np.int64)
        np.cumsum(self.counts[texts], out=first[1:])
        kept = np.zeros(len(self.first) - 1, dtype=bool)
        kept[texts] = True
        of_kept = np.repeat(kept, self.counts)
        return Words(self.hashes[of_kept], self.numeric[of_kept], first)

    def without_numbers(self) -> Words:
        """Return the same words with every number made the same."""
        return Words(np.where(self.numeric, _ANY_NUMBER, self.hashes), self.numeric, self.first)


def words_of(texts: Sequence[str]) -> Words:
    """Cut texts into words and hash the words.

    >>> words = words_of(["It cost $1,000.", "it COST 1000", "Is it 3.0 or 3?"])
    >>> words.first.tolist(), words.numeric.astype(int).tolist()
    ([0, 3, 6, 11], [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1])
    >>> bool((words.hashes[:3] == words.hashes[3:6]).all())
    True
    """
    signs, starts, ends, gaps = _cut(texts)
    with np.errstate(over="ignore"):
        powers, inverses = _powers(len(signs) + 1, int(_BYTE_BASE))
        running = np.zeros(len(signs) + 1, dtype=np.uint64)
        np.cumsum(signs * powers[: len(signs)], out=running[1:])
        hashes = scrambled((running[ends] - running[starts]) * inverses[starts])
    first = np.zeros(len(texts) + 1, dtype=np.int64)
    first[1:-1] = np.searchsorted(starts, gaps)
    first[-1] = len(starts)
    return Words(hashes, (signs[starts] - np.uint8(48)) < 10, first)


def spelled(text: str) -> list[str]:
    """Return the words of one text as they are compared.

    >>> spelled("Janet’s ducks lay 1,600.00 eggs, 2.5 a day.")
    ['janet', 's', 'ducks', 'lay', '1600', 'eggs', '2.5', 'a', 'day']
    """
    signs, starts, ends, _ = _cut([text])
    return [
        signs[start:end].tobytes().decode(errors="replace")
        for start, end in zip(starts, ends, strict=True)
    ]


def shingles(words: Words, length: int) -> tuple[U64, I64]:
    """Hash every run of `length` words within a text; return hashes and the first word of each.

    >>> hashes, at = shingles(words_of(["a b c a b", "a b"]), 2)
    >>> at.tolist(), bool(hashes[0] == hashes[3] == hashes[4]), bool(hashes[0] == hashes[1])
    ([0, 1, 2, 3, 5], True, False)
    """
    total = len(words.hashes)
    if total < length:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    inside = np.ones(total - length + 1, dtype=bool)
    for back in range(1, length):  # a run must not begin within `length` words of a text's end
        ends = words.first[1:] - back
        inside[ends[(ends >= 0) & (ends < len(inside))]] = False
    at = np.flatnonzero(inside)
    return _runs(words, at, at + length), at


def text_keys(words: Words) -> U64:
    """Return one hash a text: equal where the words are equal.

    >>> keys = text_keys(words_of(["One, two!", "one two", "two one", ""]))
    >>> bool(keys[0] == keys[1]), bool(keys[1] == keys[2]), int(keys[3])
    (True, False, 0)
    """
    return _runs(words, words.first[:-1], words.first[1:])


def number_keys(words: Words) -> U64:
    """Return one hash a text that depends on its numbers only, however they are ordered.

    >>> keys = number_keys(words_of(["2 and 3 pens", "3 birds, 2 nests", "2 and 4", "no"]))
    >>> bool(keys[0] == keys[1]), bool(keys[0] == keys[2]), int(keys[3])
    (True, False, 0)
    """
    with np.errstate(over="ignore"):
        running = np.zeros(len(words.hashes) + 1, dtype=np.uint64)
        np.cumsum(np.where(words.numeric, words.hashes, np.uint64(0)), out=running[1:])
        return running[words.first[1:]] - running[words.first[:-1]]


def scrambled(values: U64) -> U64:
    """Spread 64-bit values so that every bit depends on all (the end of splitmix64).

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))


def _cut(texts: Sequence[str]) -> tuple[U8, I64, I64, I64]:
    """Return the signs of all texts, where words start and end in them, and the gaps between."""
    joined = "\0".join(texts)
    if joined.count("\0") != max(len(texts) - 1, 0):
        joined = "\0".join(text.replace("\0", " ") for text in texts)
    joined = joined.lower()
    if not joined.isascii():
        joined = unicodedata.normalize("NFKC", joined.translate(_TYPOGRAPHY)).lower()
    signs = np.frombuffer(
        joined.encode("utf-8", "replace").translate(_LETTERS_AND_DIGITS), np.uint8
    )
    digit = (signs - np.uint8(48)) < 10
    points = np.flatnonzero((signs == 46) | (signs == 44))
    points = points[(points > 0) & (points < len(signs) - 1)]
    points = points[digit[points - 1] & digit[points + 1]]
    in_word = _IN_WORD[signs]
    if len(points):
        in_word[points] = True
        keep = np.ones(len(signs), dtype=bool)
        for place in _silent(signs, digit, points):
            keep[place] = False
        signs, in_word = signs[keep], in_word[keep]
    before = np.zeros(len(signs), dtype=bool)
    before[1:] = in_word[:-1]
    changes = in_word != before
    starts = np.flatnonzero(changes & in_word)
    ends = np.flatnonzero(changes & before)
    if len(signs) and in_word[-1]:
        ends = np.append(ends, len(signs))
    return signs, starts, ends, np.flatnonzero(signs == 0)


def _silent(signs: U8, digit: NDArray[np.bool_], points: I64) -> list[I64]:
    """Return the places that a number is read without: thousands commas, `.0` and `.00`."""
    padded = np.append(signs, np.zeros(3, dtype=np.uint8))
    digits = np.append(digit, np.zeros(3, dtype=bool))
    commas = points[signs[points] == 44]
    dots = points[signs[points] == 46]
    zero = padded[dots + 1] == 48
    one = dots[zero & ~digits[dots + 2]]
    two = dots[zero & (padded[dots + 2] == 48) & ~digits[dots + 3]]
    return [commas, one, one + 1, two, two + 1, two + 2]


def _runs(words: Words, starts: I64, ends: I64) -> U64:
    with np.errstate(over="ignore"):
        powers, inverses = _powers(len(words.hashes) + 1, int(_WORD_BASE))
        running = np.zeros(len(words.hashes) + 1, dtype=np.uint64)
        np.cumsum(words.hashes * powers[: len(words.hashes)], out=running[1:])
        return scrambled((running[ends] - running[starts]) * inverses[starts])


def _powers(size: int, base: int) -> tuple[U64, U64]:
    return _power_table(max(1 << max(size - 1, 1).bit_length(), _POWERS_AT_HAND), base)


@functools.lru_cache(maxsize=4)
def _power_table(size: int, base: int) -> tuple[U64, U64]:
    """Return base^0 .. base^(size-1) modulo 2^64, and their inverses (an odd base has one)."""
    with np.errstate(over="ignore"):
        ones = np.ones(size, dtype=np.uint64)
        powers, inverses = ones.copy(), ones.copy()
        powers[1:] = np.uint64(base)
        inverses[1:] = np.uint64(pow(base, -1, 1 << 64))
        return np.cumprod(powers), np.cumprod(inverses)
