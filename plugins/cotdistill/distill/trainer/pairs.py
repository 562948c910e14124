"""Consistency between two rationales of one question, as MCC-KD trains it: no teacher is needed.

The loss is (CE of one + CE of the other) / 2 + weight * symmetric KL of the two on the tokens of
their answers; gradients flow to both. A question is known by its prompt's token ids, so the rows
need no further columns. Source: MCC-KD, Chen et al. 2023, arXiv:2310.14747, equations 3 to 5.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from cotdistill.distill.signals.row_key import NOT_TRAINED, encoded_key, row_key
from cotdistill.distill.trainer.divergences import DIVERGENCES
from cotdistill.errors import Fault, FaultsError
from cotdistill.grading.answer_span import answer_span

Span = tuple[int, int]
SPANS = "kd_spans"
"""Which places of a batch predict a token of an answer; as many in each row of a pair."""


class PairCounts(NamedTuple):
    """Tokens of the first rationales, of the second ones, and compared answer tokens of a pair."""

    first: float
    second: float
    answers: float


@dataclass(frozen=True)
class Consistency:
    """The weight of the symmetric KL, T squared included where asked for, and the temperature."""

    weight: float
    temperature: float


@dataclass(frozen=True)
class Pairs:
    """The questions with two or more rationales whose answers were found, and where these stand.

    `groups` holds row numbers; `spans` the places of an answer's tokens in a row, by its key.
    """

    groups: tuple[tuple[int, ...], ...]
    spans: Mapping[bytes, Span]
    rows: int

    @property
    def left_out(self) -> int:
        """Rows that no pair can be made with."""
        return self.rows - sum(len(group) for group in self.groups)


def find_pairs(
    features: Iterable[Mapping[str, Any]], decode: Callable[[list[int]], str], *, encoded: bool
) -> Pairs:
    """Group rows by question and find their answers.

    `encoded` says that the question is the encoder's input; else it is the part of a row that is
    not trained on.
    """
    groups: dict[bytes, list[int]] = {}
    spans: dict[bytes, Span] = {}
    rows = 0
    for number, feature in enumerate(features):
        rows += 1
        ids, labels = list(feature["input_ids"]), list(feature["labels"])
        trained = [place for place, label in enumerate(labels) if label != NOT_TRAINED]
        span = _answer_tokens([labels[place] for place in trained], decode)
        if span is None:
            continue
        question = ids if encoded else ids[: trained[0]]
        key = encoded_key if encoded else row_key
        spans[key(ids, labels)] = trained[span[0]], trained[span[1] - 1] + 1
        groups.setdefault(np.asarray(question, "<u4").tobytes(), []).append(number)
    pairs = tuple(tuple(group) for group in groups.values() if len(group) > 1)
    return Pairs(pairs, spans, rows)


def _answer_tokens(ids: Sequence[int], decode: Callable[[list[int]], str]) -> Span | None:
    """Return which tokens of a response write its answer; ends are found by decoding prefixes."""
    text = decode(list(ids))
    found = answer_span(text)
    if found is None:
        return None

    def length(count: int) -> int:
        return len(decode(list(ids[:count])))

    begin, end = found
    first = bisect_right(range(len(ids) + 1), begin, key=length) - 1
    last = bisect_right(range(len(ids) + 1), end - 1, key=length)
    return (first, last) if 0 <= first < last <= len(ids) else None


def checked_pairs(pairs: Pairs, place: str) -> Pairs:
    """Return pairs, after saying how many rows are in none.

    Raises:
        FaultsError: there are no pairs.
    """
    if not pairs.groups:
        wrong = "no question has two rationales whose answers can be found"
        raise FaultsError(Fault(place, wrong, "two or more rows for each question"))
    if pairs.left_out:
        sys.stderr.write(
            f"note: {pairs.left_out:,} of {pairs.rows:,} rows are left out: no answer was found in "
            "them, or no other rationale of their question\n"
        )
    return pairs


class PairSampler(Sampler[int]):
    """Row numbers, two rationales of a question next to each other; others in each epoch."""

    def __init__(self, pairs: Pairs, seed: int) -> None:
        self.pairs, self.seed, self.epoch = pairs, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Draw other pairs in another order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return 2 * len(self.pairs.groups)

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng([self.seed, self.epoch])
        for question in random.permutation(len(self.pairs.groups)):
            group = self.pairs.groups[question]
            yield from (group[one] for one in random.permutation(len(group))[:2])


@dataclass(frozen=True)
class PairCollator:
    """The host's collator, and which places predict an answer's tokens.

    Of answers of unequal length the first tokens are compared, as many as the shorter one has.
    """

    collate: Callable[[list[dict[str, Any]]], dict[str, Any]]
    pairs: Pairs
    pads_left: bool
    encoded: bool

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch with `kd_spans`."""
        key = encoded_key if self.encoded else row_key
        spans = [
            self.pairs.spans[key(list(one["input_ids"]), list(one["labels"]))] for one in features
        ]
        lengths = [len(one["labels"]) for one in features]
        batch = self.collate(features)
        width = batch["labels"].shape[1]
        marked = torch.zeros(len(features), width, dtype=torch.bool)
        for number, (begin, end) in enumerate(spans):
            other = spans[number ^ 1]
            shorter = min(end - begin, other[1] - other[0])
            offset = width - lengths[number] if self.pads_left else 0
            start = begin + offset - (0 if self.encoded else 1)
            marked[number, start : start + shorter] = True
        batch[SPANS] = marked
        return batch


def counts_of(targets: Tensor, spans: Tensor) -> PairCounts:
    """Count a batch whose rows 2i and 2i + 1 are rationales of one question."""
    kept = (targets != NOT_TRAINED).sum(-1)
    return PairCounts(float(kept[0::2].sum()), float(kept[1::2].sum()), float(spans[0::2].sum()))


def consistency(
    first: Tensor, second: Tensor, temperature: float, *, measure: bool = False
) -> tuple[Tensor, float]:
    """Return the summed symmetric KL of two groups of logits, and its gradient's squared norm.

    Shapes: both [tokens][V], float32 or wider.
    """
    log_p, log_q = (torch.log_softmax(one / temperature, -1) for one in (first, second))
    p, q = log_p.exp(), log_q.exp()
    value = 0.5 * ((p - q) * (log_p - log_q)).sum()
    square = 0.0
    if measure:
        with torch.no_grad():
            for student, other in ((log_p, log_q), (log_q, log_p)):
                slopes = [
                    DIVERGENCES[name](student.detach().clone(), other.detach().clone(), 0.0)[1]
                    for name in ("forward_kl", "reverse_kl")
                ]
                half = sum(slopes) / (2 * temperature)
                square += float(half.square().sum(dtype=torch.float64))
    return value, square
