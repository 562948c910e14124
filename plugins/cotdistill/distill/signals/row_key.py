"""The identity of a training row: its exact token ids, and which of them are trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

NOT_TRAINED = -100
KEY_BYTES = 16


def row_key(input_ids: Sequence[int], labels: Sequence[int]) -> bytes:
    """Return 16 bytes for a tokenised row; the same text under another template has others.

    >>> row_key([1, 2], [-100, 2]) == row_key([1, 2], [1, 2])
    False
    """
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    digest.update(np.asarray(input_ids, dtype="<u4").tobytes())
    digest.update((np.asarray(labels) != NOT_TRAINED).astype("u1").tobytes())
    return digest.digest()


def encoded_key(input_ids: Sequence[int], labels: Sequence[int]) -> bytes:
    """Return the key of a row whose question an encoder reads: tokens of both parts count.

    >>> encoded_key([1, 2], [3, 4]) == encoded_key([1, 2], [3, 5])
    False
    """
    response = [label for label in labels if label != NOT_TRAINED]
    return row_key([*input_ids, *response], [NOT_TRAINED] * len(input_ids) + response)


def places_of(labels: Sequence[int]) -> list[int]:
    """Return the places whose next token is trained on.

    >>> places_of([-100, -100, 7, 8])
    [1, 2]
    """
    return [place - 1 for place, label in enumerate(labels) if place and label != NOT_TRAINED]


def rows_of(feature: Mapping[str, Any]) -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield where a row begins in a feature, its ids and its labels; several in a packed one.

    Packed rows begin where positions do. Rows that nothing is trained of, as padding, are left out.

    >>> packed = {"input_ids": [1, 2, 3, 4, 0], "labels": [-100, 2, -100, 4, -100],
    ...           "position_ids": [0, 1, 0, 1, 0]}
    >>> list(rows_of(packed))
    [(0, [1, 2], [-100, 2]), (2, [3, 4], [-100, 4])]
    """
    ids, labels = list(feature["input_ids"]), list(feature["labels"])
    positions = feature.get("position_ids")
    starts = [0]
    if positions is not None:
        starts = [place for place, position in enumerate(positions) if position == 0]
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        if places_of(labels[start:end]):
            yield start, ids[start:end], labels[start:end]
