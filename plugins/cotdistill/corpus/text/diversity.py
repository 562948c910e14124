"""Choosing rationales of one question that are unlike each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.text.groups import Mask
from cotdistill.corpus.text.minhash import similarity
from cotdistill.corpus.text.words import Words


def spread_out(words: Words, groups: NDArray[np.int64], cap: int) -> Mask:
    """Mark at most `cap` texts of each group: its first, then again and again the least similar.

    The next text of a group is the one whose greatest similarity to those chosen is smallest; of
    several such texts the first. Similarity is the share of runs of three words in common.

    Shapes: groups [texts]: the group of each text.
    Source: MCC-KD, arXiv:2310.14747, keeps three rationales of a question by Jaccard similarity.

    >>> from cotdistill.corpus.text.words import words_of
    >>> texts = ["we add two and two", "we add two and three", "half of eight makes four"]
    >>> spread_out(words_of(texts), np.array([0, 0, 0]), 2).tolist()
    [True, False, True]
    """
    places = np.arange(len(groups))
    names, of_text = np.unique(groups, return_inverse=True)
    newest = np.full(len(names), len(groups), dtype=np.int64)
    np.minimum.at(newest, of_text, places)
    chosen = np.zeros(len(groups), dtype=bool)
    chosen[newest] = True
    closest = np.zeros(len(groups))
    for _ in range(cap - 1):
        left = np.flatnonzero(~chosen)
        if not len(left):
            break
        pairs = np.stack([newest[of_text[left]], left], axis=1)
        closest[left] = np.maximum(closest[left], similarity(words, pairs))
        order = left[np.lexsort((left, closest[left], of_text[left]))]
        first = np.ones(len(order), dtype=bool)
        first[1:] = of_text[order][1:] != of_text[order][:-1]
        newest[of_text[order[first]]] = order[first]
        chosen[order[first]] = True
    return chosen
