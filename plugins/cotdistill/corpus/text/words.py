"""Many texts become arrays of word hashes at once; all comparing of texts starts here.

A word is a run of letters and digits in lower case. Where a script writes no spaces between words
(Chinese, Japanese, Thai, Lao, Khmer, Burmese), every character is a word of its own. Numbers are
written one way: 1,000 is 1000, 2.50 stays 2.50, 3.0 and 3.00 are 3. Characters that cannot be seen
are left out; everything else only separates. Hashes are arithmetic on 64-bit integers written here,
so that they are the same on every machine and in every release.
"""

from __future__ import annotations

import functools
import re
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

_LETTERS_AND_DIGITS = bytes(  # letters in lower case; what separates words becomes a space
    ord(chr(byte).lower())
    if (chr(byte).isalnum() and byte < 128)
    else (byte if byte >= 128 or byte in b"\0.," else 32)
    for byte in range(256)
)
_IN_WORD = bytes(chr(byte).isalnum() or byte >= 128 for byte in range(256))
_TYPOGRAPHY = re.compile(
    "[‘’“”′″«»–—−‐‑…·×÷\u00a0\u2009\u202f\u3000-\u3004\u3008-\u3020\u3030\uff61-\uff65]"
)
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_HAN = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_THAI = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # with Lao, Burmese and Khmer
_NO_SPACES = re.compile(f"([{_HAN}{_THAI}])")

# What a run of 13 words is worth in characters of a script without spaces: a word of Chinese has
# about 1.5, one of Thai about 3 characters.
SCRIPTS = ("spaced", "han", "thai")


@dataclass(frozen=True)
class Words:
    """The words of many texts in a row.

    Shapes: hashes, numeric, script [words]; first [texts + 1]: text t has words
        first[t] .. first[t+1]-1. script is a place in SCRIPTS.
    """

    hashes: U64
    numeric: NDArray[np.bool_]
    script: U8
    first: I64

    @functools.cached_property
    def _running(self) -> U64:
        """The sum of all words up to each, word n times the n-th power of a base."""
        powers, _ = _powers(len(self.hashes) + 1, int(_WORD_BASE))
        running = np.zeros(len(self.hashes) + 1, dtype=np.uint64)
        with np.errstate(over="ignore"):
            np.cumsum(self.hashes * powers[: len(self.hashes)], out=running[1:])
        return running

    def runs(self, starts: I64, ends: I64) -> U64:
        """Return one hash for each run of words, equal where the words are equal."""
        _, inverses = _powers(len(self.hashes) + 1, int(_WORD_BASE))
        with np.errstate(over="ignore"):
            return scrambled((self._running[ends] - self._running[starts]) * inverses[starts])

    def text_of(self, word: I64) -> I64:
        """Return the text that each of some words is in."""
        return np.searchsorted(self.first, word, side="right") - 1

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
        return Words(self.hashes[of_kept], self.numeric[of_kept], self.script[of_kept], first)

    def without_numbers(self) -> Words:
        """Return the same words with every number made the same."""
        hashes = np.where(self.numeric, _ANY_NUMBER, self.hashes)
        return Words(hashes, self.numeric, self.script, self.first)


def words_of(texts: Sequence[str]) -> Words:
    """Cut texts into words and hash the words.

    >>> words = words_of(["It cost $1,000.", "it COST 1000", "Is it 3.0 or 3?"])
    >>> words.first.tolist(), words.numeric.astype(int).tolist()
    ([0, 3, 6, 11], [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1])
    >>> words_of(["三加五", "in\u200bside"]).counts.tolist()
    [3, 1]
    >>> bool((words.hashes[:3] == words.hashes[3:6]).all())
    True
    """
    characters, starts, ends, gaps = _cut(texts)
    with np.errstate(over="ignore"):
        powers, inverses = _powers(len(characters) + 1, int(_BYTE_BASE))
        running = np.zeros(len(characters) + 1, dtype=np.uint64)
        np.cumsum(characters * powers[: len(characters)], out=running[1:])
        hashes = scrambled((running[ends] - running[starts]) * inverses[starts])
    first = np.zeros(len(texts) + 1, dtype=np.int64)
    first[1:-1] = np.searchsorted(starts, gaps)
    first[-1] = len(starts)
    numeric = (characters[starts] - np.uint8(48)) < 10
    return Words(hashes, numeric, _scripts(characters, starts), first)


def spelled(text: str) -> list[str]:
    """Return the words of one text as they are compared.

    >>> spelled("Janet’s ducks lay 1,600.00 eggs, 2.5 a day.")
    ['janet', 's', 'ducks', 'lay', '1600', 'eggs', '2.5', 'a', 'day']
    """
    characters, starts, ends, _ = _cut([text])
    return [
        characters[start:end].tobytes().decode(errors="replace")
        for start, end in zip(starts, ends, strict=True)
    ]


def shingles(words: Words, length: int | I64) -> tuple[U64, I64]:
    """Hash every run of `length` words within a text; return hashes and the first word of each.

    Shapes: length is one for all runs, or [words]: the length of the run that begins there.

    >>> hashes, at = shingles(words_of(["a b c a b", "a b"]), 2)
    >>> at.tolist(), bool(hashes[0] == hashes[3] == hashes[4]), bool(hashes[0] == hashes[1])
    ([0, 1, 2, 3, 5], True, False)
    """
    ends = np.arange(len(words.hashes)) + length
    at = np.flatnonzero(ends <= np.repeat(words.first[1:], words.counts))
    return words.runs(at, ends[at]), at


def text_keys(words: Words) -> U64:
    """Return one hash a text: equal where the words are equal.

    >>> keys = text_keys(words_of(["One, two!", "one two", "two one", ""]))
    >>> bool(keys[0] == keys[1]), bool(keys[1] == keys[2]), int(keys[3])
    (True, False, 0)
    """
    return words.runs(words.first[:-1], words.first[1:])


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
    """Return the bytes of all texts, where words start and end in them, and the gaps between."""
    joined = "\0".join(texts)
    if joined.count("\0") != max(len(texts) - 1, 0):
        joined = "\0".join(text.replace("\0", " ") for text in texts)
    data = joined.encode("utf-8", "replace")
    if len(data) != len(joined):
        data = _normalized(data)
    data = data.translate(_LETTERS_AND_DIGITS)
    characters = np.frombuffer(data, np.uint8)
    digit = (characters - np.uint8(48)) < 10
    points = np.flatnonzero((characters == 46) | (characters == 44))
    points = points[(points > 0) & (points < len(characters) - 1)]
    points = points[digit[points - 1] & digit[points + 1]]
    in_word = np.frombuffer(data.translate(_IN_WORD), np.bool_)
    if len(points):
        in_word = in_word.copy()
        in_word[points] = True
        keep = np.ones(len(characters), dtype=bool)
        for place in _left_out(characters, digit, points):
            keep[place] = False
        characters, in_word = characters[keep], in_word[keep]
    edges = np.flatnonzero(in_word[1:] != in_word[:-1]) + 1  # starts and ends in turn
    if len(characters) and in_word[0]:
        edges = np.append(0, edges)
    if len(characters) and in_word[-1]:
        edges = np.append(edges, len(characters))
    return characters, edges[::2], edges[1::2], np.flatnonzero(characters == 0)


def _normalized(data: bytes) -> bytes:
    """Return UTF-8 in which everything beyond ASCII is normalised, run by run.

    An accent that is a character of its own joins the letter before it.
    """
    beyond = np.frombuffer(data, np.uint8) >= 0x80
    edges = np.flatnonzero(np.diff(beyond, prepend=False, append=False)).tolist()
    parts: list[bytes] = []
    done = 0
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if _begins_with_accent(data[start:end]) and start > done:
            start -= 1
        parts += [data[done:start], _normalized_run(data[start:end])]
        done = end
    return b"".join([*parts, data[done:]])


@functools.lru_cache(maxsize=1 << 14)
def _normalized_run(data: bytes) -> bytes:
    run = _INVISIBLE.sub("", _TYPOGRAPHY.sub(" ", data.decode().lower()))
    return _NO_SPACES.sub(r" \1 ", unicodedata.normalize("NFKC", run).lower()).encode()


@functools.lru_cache(maxsize=1 << 14)
def _begins_with_accent(data: bytes) -> bool:
    return unicodedata.combining(data.decode()[0]) != 0


def _scripts(characters: U8, starts: I64) -> U8:
    """Return the script of each word by the first two bytes of its first character in UTF-8."""
    scripts = np.zeros(len(starts), dtype=np.uint8)
    lead = characters[starts]
    if not (lead >= 0xE0).any():
        return scripts
    second = characters[np.minimum(starts + 1, len(characters) - 1)]
    han = ((lead >= 0xE3) & (lead <= 0xE9)) | ((lead == 0xF0) & (second >= 0xA0))
    han |= (lead == 0xEF) & (second <= 0xAB)
    thai = (lead == 0xE0) & (second >= 0xB8)
    thai |= (lead == 0xE1) & ((second <= 0x82) | (second == 0x9E) | (second == 0x9F))
    scripts[han] = SCRIPTS.index("han")
    scripts[thai] = SCRIPTS.index("thai")
    return scripts


def _left_out(characters: U8, digit: NDArray[np.bool_], points: I64) -> list[I64]:
    """Return the places that a number is read without: thousands commas, `.0` and `.00`."""
    padded = np.append(characters, np.zeros(3, dtype=np.uint8))
    digits = np.append(digit, np.zeros(3, dtype=bool))
    commas = points[characters[points] == 44]
    dots = points[characters[points] == 46]
    zero = padded[dots + 1] == 48
    one = dots[zero & ~digits[dots + 2]]
    two = dots[zero & (padded[dots + 2] == 48) & ~digits[dots + 3]]
    return [commas, one, one + 1, two, two + 1, two + 2]


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
