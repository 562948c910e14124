"""Near duplicates: found by MinHash in bands, confirmed by the share of word runs in common.

A sketch holds, for each of 126 slots, the smallest hash of the text's runs of three words that fall
into the slot (one-permutation hashing: one hash a run instead of 126). Sketches cut into 21 bands
of 6 collide in at least one band for 99.8 % of the pairs that are 0.8 alike. Collisions are only
candidates; `similarity` decides.

Source: Broder 1997 (MinHash); Li, Owen and Zhang 2012 (one permutation); Shrivastava and Li 2014
(filling of empty slots); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4 (bands).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.text.words import I64, U64, Words, scrambled, shingles

RUN = 3
BANDS = 21
ROWS_A_BAND = 6
SLOTS = BANDS * ROWS_A_BAND
EMPTY = np.iinfo(np.uint64).max

U32 = NDArray[np.uint32]
Pairs = NDArray[np.int64]


def run_hashes(words: Words) -> tuple[U64, I64]:
    """Return the hashes of the runs of three words and the text of each.

    A text shorter than a run is one run of its own.
    """
    hashes, at = shingles(words, RUN)
    text = np.repeat(np.arange(len(words.first) - 1), words.counts)[at]
    short = np.flatnonzero((words.counts < RUN) & (words.counts > 0))
    if not len(short):
        return hashes, text
    with np.errstate(over="ignore"):
        whole = scrambled(
            words.hashes[words.first[short]]
            + words.hashes[words.first[short + 1] - 1] * np.uint64(3)
        )
    together, of_text = np.concatenate([hashes, whole]), np.concatenate([text, short])
    order = np.argsort(of_text, kind="stable")
    return together[order], of_text[order]


def sketches(hashes: U64, owner: I64, owners: int) -> U64:
    """Return the smallest hash in each slot: the sketch of every owner's runs.

    Shapes: hashes, owner [runs]; result [owners, SLOTS]; EMPTY where no run fell.

    >>> from cotdistill.corpus.text.words import words_of
    >>> hashes, owner = run_hashes(words_of(["one two three four", "one two three four"]))
    >>> both = sketches(hashes, owner, 2)
    >>> both.shape, bool((both[0] == both[1]).all()), int((both[0] != EMPTY).sum())
    ((2, 126), True, 2)
    """
    smallest = np.full(owners * SLOTS, EMPTY, dtype=np.uint64)
    slot = ((hashes >> np.uint64(32)) * np.uint64(SLOTS)) >> np.uint64(32)
    np.minimum.at(smallest, owner * SLOTS + slot.astype(np.int64), scrambled(hashes))
    return smallest.reshape(owners, SLOTS)


def band_keys(sketch: U64) -> U32:
    """Return one 32-bit key for each band of each sketch, empty slots filled from the right.

    A short text leaves most slots empty, and two texts with few runs would agree in the empty ones.
    So an empty slot takes the value of the next filled one to its right, behind the last slot from
    the first again, plus how far away that is. With five slots and `.` for empty,

        . 7 . . 4    becomes    7+1  7  4+2  4+1  4

    Texts with equal runs have equal sketches, and so equal keys. Texts of which most runs are equal
    have most slots equal, and so probably all six of at least one band.

    Shapes: sketch [texts, SLOTS]; result [texts, BANDS].

    >>> from cotdistill.corpus.text.words import words_of
    >>> hashes, owner = run_hashes(words_of(["one two three", "One, two, three!", "four"]))
    >>> keys = band_keys(sketches(hashes, owner, 3))
    >>> int((keys[0] == keys[1]).sum()), int((keys[0] == keys[2]).sum())
    (21, 0)
    """
    texts = len(sketch)
    filled = sketch != EMPTY
    twice = np.concatenate([filled, filled], axis=1)
    place = np.where(twice, np.arange(2 * SLOTS), 2 * SLOTS - 1)
    nearest = np.minimum.accumulate(place[:, ::-1], axis=1)[:, ::-1][:, :SLOTS]
    with np.errstate(over="ignore"):
        values = np.take_along_axis(sketch, nearest % SLOTS, axis=1)
        values = values + (nearest - np.arange(SLOTS)).astype(np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        key = np.zeros((texts, BANDS), dtype=np.uint64)
        for value in np.moveaxis(values.reshape(texts, BANDS, ROWS_A_BAND), 2, 0):
            key = scrambled(key * np.uint64(0xD1342543DE82EF95) + value)
    return (key >> np.uint64(32)).astype(np.uint32)


def candidates(keys: U32, rows: I64) -> Pairs:
    """Return the pairs of rows whose keys of one band are equal: each with the first, and the next.

    Shapes: keys, rows [rows], rows ascending; result [pairs, 2], the lower row first.

    >>> candidates(np.array([7, 5, 7, 7], dtype=np.uint32), np.array([10, 11, 12, 13])).tolist()
    [[10, 12], [10, 13], [12, 13]]
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    opens = np.ones(len(ranked), dtype=bool)
    opens[1:] = ranked[1:] != ranked[:-1]
    leader = np.maximum.accumulate(np.where(opens, np.arange(len(ranked)), 0))
    later = np.flatnonzero(~opens)
    pairs = np.concatenate([leader[later], later - 1]), np.concatenate([later, later])
    found = np.stack([rows[order[pairs[0]]], rows[order[pairs[1]]]], axis=1)
    return np.unique(found, axis=0) if len(found) else found


def similarity(words: Words, pairs: Pairs) -> NDArray[np.float64]:
    """Return, pair by pair, the share of runs of three words that two texts have in common.

    Shapes: words of all texts; pairs [pairs, 2]: numbers of texts. A pair of empty texts counts 1.
    Units: |A and B| / |A or B| over sets (Jaccard), in [0, 1].

    >>> from cotdistill.corpus.text.words import words_of
    >>> words = words_of(["a b c d e", "a b c d f", "a b"])
    >>> similarity(words, np.array([[0, 1], [2, 2]])).round(2).tolist()
    [0.5, 1.0]
    """
    runs, first = _unique_runs(words)
    one, of_one = _runs_of_pairs(runs, first, pairs[:, 0])
    two, of_two = _runs_of_pairs(runs, first, pairs[:, 1])
    common = np.bincount(of_one[np.isin(one, two, assume_unique=True)], minlength=len(pairs))
    total = np.bincount(of_one, minlength=len(pairs)) + np.bincount(of_two, minlength=len(pairs))
    return np.asarray(np.where(total == 0, 1.0, common / np.maximum(total - common, 1)))


def first_alike(pairs: Pairs, rows: int) -> I64:
    """Return, for every row, the first row that it is joined with by pairs (itself if none).

    >>> first_alike(np.array([[1, 3], [3, 4], [0, 5]]), 6).tolist()
    [0, 1, 2, 1, 1, 0]
    """
    parent = np.arange(rows, dtype=np.int64)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for low, high in pairs.tolist():
        one, two = sorted((root(low), root(high)))
        parent[two] = one
    joined = np.unique(pairs)
    for row in joined.tolist():
        parent[row] = root(row)
    return parent


def _unique_runs(words: Words) -> tuple[U64, I64]:
    """Return the runs of each text, each once, and where those of each text begin."""
    hashes, text = run_hashes(words)
    _, kept = np.unique(_marked(hashes, text), return_index=True)
    kept.sort()  # run_hashes returns the texts in order
    first = np.searchsorted(text[kept], np.arange(len(words.counts) + 1))
    return hashes[kept], first


def _runs_of_pairs(runs: U64, first: I64, texts: I64) -> tuple[U64, I64]:
    """Return the runs of the texts on one side of pairs, marked with the pair, and the pair."""
    counts = first[texts + 1] - first[texts]
    pair = np.repeat(np.arange(len(texts)), counts)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    return _marked(runs[first[texts][pair] + within], pair), pair


def _marked(hashes: U64, owner: I64) -> U64:
    with np.errstate(over="ignore"):
        return scrambled(hashes + scrambled(owner.astype(np.uint64)))
